/**
 * The tally of events that could not be written, per app. The page is made with real bytes when the stream opens, so that a full disk cannot refuse it.
 *
 *      0  header, 128 bytes: magic "TIDEDROP" | stream u64 | last seq i64 (-1: none) | rows by reason u64 x 3 | told seq + 1 u64 (0: none) |
 *         rows as of told seq u64 |
 *         reached seq + 1 u64 (0: none) | 0s | crc u32 at 124
 *    128  entry of all apps that found no room
 *    256  entry, entry, …: one an app, in the order of their first drop
 *
 *   entry, 128 bytes: name length u8 | name, 71 | rows u64 | requests u64 | counted u64 | first ms i64 | last ms i64 |
 *         counted as of told seq u64 | 0s | crc u32 at 124
 *
 * All little endian; crc is the CRC-32 of the 124 bytes before it. An entry is written by one pwrite and never crosses a memory page, so a kill leaves
 * the old one or the new one. First the entries, then the header, and only then are the answers let go: what was answered is tallied.
 *
 * `last seq` is that of the last dropped row, or of the last row written when the segments could not be flushed to disk: rows before it may be gone with
 * the page cache, and are missing then.
 *
 * `told seq` is up to where the ledger has been told what was used. When the worker dies, the ledger needs what was dropped after that: so it is noted just
 * before it is told, the header first. A told seq beyond the ledger's own mark then says that the word did not arrive, and that the figures are no help.
 */
import { closeSync, fdatasync, fdatasyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import { streamName, streamNumber } from './frame.js';
import { writeFromStart } from './write-whole.js';

export const DROPS_FILE = 'drops';
/** In the order of the page's header; never reordered. */
export const DROP_REASONS = ['spool_full', 'disk_full', 'write_failed'] as const;
export type DropReason = (typeof DROP_REASONS)[number];

const ENTRY_BYTES = 128;
const PAGE_BYTES = 256 * 1024;
const FIRST_ENTRY = 2;
const MAX_APPS = PAGE_BYTES / ENTRY_BYTES - FIRST_ENTRY;
const MAX_NAME_BYTES = 71;
const MAGIC = 'TIDEDROP';

export interface DroppedRow {
  readonly seq: number;
  readonly app: string;
  readonly timeMs: number;
  readonly requests: number;
  readonly counted: number;
}

export interface DroppedOfApp {
  /** Null: all the apps together that found no room in the page. '': requests of no app. */
  readonly app: string | null;
  readonly rows: number;
  /** Sum of `requests`, and of `counted`, of these rows. */
  readonly requests: number;
  readonly counted: number;
  /** Of `counted`: up to the told seq. */
  readonly toldCounted: number;
  /** Earliest and latest `time` among them, ms since the epoch. */
  readonly firstMs: number;
  readonly lastMs: number;
}

export interface StreamDrops {
  readonly stream: string;
  /** Of the page's header, dropped last. -1: none. */
  readonly lastSeq: number;
  /** The stream is known to have come as far as this, written or dropped; at least `lastSeq`. */
  readonly reachedSeq: number;
  readonly rows: number;
  /** Up to where the ledger has been told, as of the last drop before; -1: not since the first drop. */
  readonly toldSeq: number;
  /** Of `rows`: up to the told seq. */
  readonly toldRows: number;
  readonly byReason: Readonly<Record<DropReason, number>>;
  readonly apps: readonly DroppedOfApp[];
  /** Entries whose checksum is wrong: their counts are unknown. */
  readonly damaged: number;
}

/** The system calls that write the page once it is made; a test puts failing ones in their place. */
export interface PageCalls {
  write(fd: number, bytes: Buffer, offset: number, length: number, position: number): number;
  flush(fd: number): Promise<void>;
}

export const PAGE_CALLS: PageCalls = { write: (fd, bytes, offset, length, position) => writeSync(fd, bytes, offset, length, position), flush: promisify(fdatasync) };

interface Tally { slot: number; name: Buffer; rows: number; requests: number; counted: number; firstMs: number; lastMs: number; toldCounted: number; changed: boolean }

/** The worker's side of the page. */
export class DropPage {
  readonly #fd: number;
  readonly #stream: string;
  readonly #calls: PageCalls;
  readonly #tallies = new Map<string, Tally>();
  readonly #overflow: Tally = newTally(1, '');
  readonly #byReason: Record<DropReason, number> = { spool_full: 0, disk_full: 0, write_failed: 0 };
  /** Tallies that have changed since they were written. */
  readonly #changed: Tally[] = [];
  #lastSeq = -1;
  #rows = 0;
  #toldSeq = -1;
  #toldRows = 0;
  #reachedSeq = -1;
  #headerWritten = true;
  /** Calls that wrote, and as many of them as are flushed. */
  #writes = 0;
  #flushed = 0;

  private constructor(fd: number, stream: string, calls: PageCalls) {
    this.#fd = fd;
    this.#stream = stream;
    this.#calls = calls;
  }

  /** Makes the page in the stream's directory, flushed to disk. @param calls for tests: those that fail */
  static create(streamDir: string, stream: string, calls = PAGE_CALLS): DropPage {
    const fd = openSync(join(streamDir, DROPS_FILE), 'wx', 0o640);
    const page = new DropPage(fd, stream, calls);
    writeFromStart(fd, Buffer.alloc(PAGE_BYTES));
    page.#headerWritten = false;
    page.commit();
    fdatasyncSync(fd);
    page.#flushed = page.#writes;
    return page;
  }

  /** Opens the page of a stream that nothing was tallied of yet. */
  static open(streamDir: string, stream: string): DropPage {
    return new DropPage(openSync(join(streamDir, DROPS_FILE), 'r+'), stream, PAGE_CALLS);
  }

  /** Rows tallied since the stream was opened. The object is live. */
  get byReason(): Readonly<Record<DropReason, number>> {
    return this.#byReason;
  }

  /** Adds a row, in memory: `commit` writes. */
  add(row: DroppedRow, reason: DropReason): void {
    let tally = this.#tallies.get(row.app);
    if (tally === undefined) {
      tally = this.#tallies.size < MAX_APPS ? newTally(FIRST_ENTRY + this.#tallies.size, row.app) : this.#overflow;
      if (tally !== this.#overflow) this.#tallies.set(row.app, tally);
    }
    tally.rows++;
    tally.requests += row.requests;
    tally.counted += row.counted;
    tally.firstMs = tally.rows === 1 ? row.timeMs : Math.min(tally.firstMs, row.timeMs);
    tally.lastMs = tally.rows === 1 ? row.timeMs : Math.max(tally.lastMs, row.timeMs);
    if (!tally.changed) this.#changed.push(tally);
    tally.changed = true;
    this.#byReason[reason]++;
    this.#rows++;
    this.#lastSeq = Math.max(this.#lastSeq, row.seq);
    this.#headerWritten = false;
  }

  /** The stream has come to this seq, in memory: `commit` writes. What is not stored up to it is missing then, whatever becomes of the segments. */
  reach(seq: number): void {
    if (seq <= this.#reachedSeq) return;
    this.#reachedSeq = seq;
    this.#headerWritten = false;
  }

  /** True: there is nothing that `commit` would write. */
  get committed(): boolean {
    return this.#headerWritten;
  }

  /** Writes what has changed. What it throws (the page itself cannot be written) leaves the changes for the next commit. */
  commit(): void {
    if (this.#headerWritten) return;
    for (const tally of this.#changed) this.#writeTally(tally);
    for (const tally of this.#changed) tally.changed = false;
    this.#changed.length = 0;
    this.#writeHeader();
    this.#headerWritten = true;
  }

  /** The ledger is about to be told what was used up to `seq`, the last row written or tallied. Throws as `commit` does; then too much counts as used. */
  noteTold(seq: number): void {
    if (this.#rows === this.#toldRows) return;
    this.commit();
    this.#toldSeq = seq;
    this.#toldRows = this.#rows;
    const told = [...this.#tallies.values(), this.#overflow].filter(({ toldCounted, counted }) => toldCounted !== counted);
    for (const tally of told) tally.toldCounted = tally.counted;
    try {
      this.#writeHeader();
      for (const tally of told) this.#writeTally(tally);
    } catch (error) {
      this.#writeAllAgain();
      throw error;
    }
  }

  /** True: all of it is written, and flushed. */
  get onDisk(): boolean {
    return this.#headerWritten && this.#flushed === this.#writes;
  }

  /** Flushes what was committed. What it rejects with leaves all to be written again: of a page that was lost the kernel tells once. */
  async flush(): Promise<void> {
    const writes = this.#writes;
    try {
      await this.#calls.flush(this.#fd);
      this.#flushed = writes;
    } catch (error) {
      this.#writeAllAgain();
      throw error;
    }
  }

  /** By the next commit. */
  #writeAllAgain(): void {
    this.#headerWritten = false;
    for (const tally of [...this.#tallies.values(), this.#overflow]) {
      if (tally.rows === 0 || tally.changed) continue;
      tally.changed = true;
      this.#changed.push(tally);
    }
  }

  /** The page as it would be after a commit, as far as it is filled. */
  snapshot(): Buffer {
    const entries = [this.#header(), entryOf(this.#overflow), ...[...this.#tallies.values()].map(entryOf)];
    if (this.#overflow.rows === 0) entries[this.#overflow.slot] = Buffer.alloc(ENTRY_BYTES);
    return Buffer.concat(entries);
  }

  close(): void {
    closeSync(this.#fd);
  }

  #writeHeader(): void {
    this.#writeEntry(0, this.#header());
  }

  #writeTally(tally: Tally): void {
    this.#writeEntry(tally.slot, entryOf(tally));
  }

  #writeEntry(slot: number, entry: Buffer): void {
    this.#writes++;
    const written = this.#calls.write(this.#fd, entry, 0, ENTRY_BYTES, slot * ENTRY_BYTES);
    if (written !== ENTRY_BYTES) throw new Error(`wrote ${written} of ${ENTRY_BYTES} bytes of an entry`);
  }

  #header(): Buffer {
    const header = Buffer.alloc(ENTRY_BYTES);
    const { high, low } = streamNumber(this.#stream);
    header.write(MAGIC, 0, 'latin1');
    header.writeUInt32LE(low, 8);
    header.writeUInt32LE(high, 12);
    header.writeBigInt64LE(BigInt(this.#lastSeq), 16);
    DROP_REASONS.forEach((reason, i) => header.writeBigUInt64LE(BigInt(this.#byReason[reason]), 24 + 8 * i));
    header.writeBigUInt64LE(BigInt(this.#toldSeq + 1), 48);
    header.writeBigUInt64LE(BigInt(this.#toldRows), 56);
    header.writeBigUInt64LE(BigInt(this.#reachedSeq + 1), 64);
    return sealed(header);
  }
}

function entryOf(tally: Tally): Buffer {
  const entry = Buffer.alloc(ENTRY_BYTES);
  entry.writeUInt8(tally.name.length, 0);
  tally.name.copy(entry, 1);
  [tally.rows, tally.requests, tally.counted].forEach((value, i) => entry.writeBigUInt64LE(BigInt(value), 72 + 8 * i));
  [tally.firstMs, tally.lastMs].forEach((value, i) => entry.writeBigInt64LE(BigInt(Math.floor(value)), 96 + 8 * i));
  entry.writeBigUInt64LE(BigInt(tally.toldCounted), 112);
  return sealed(entry);
}

/** With its checksum. */
function sealed(entry: Buffer): Buffer {
  entry.writeUInt32LE(crc32(entry.subarray(0, 124)), 124);
  return entry;
}

/** The tally of a stream, or null if there is no page, or none that can be read. Reads well while the worker writes. */
export function readDrops(streamDir: string): StreamDrops | null {
  let page: Buffer;
  try {
    page = readFileSync(join(streamDir, DROPS_FILE));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  return decodeDrops(page);
}

/** Null: it is no page, or its header is damaged. */
export function decodeDrops(page: Buffer): StreamDrops | null {
  if (page.length < ENTRY_BYTES || !isSound(page.subarray(0, ENTRY_BYTES)) || page.toString('latin1', 0, 8) !== MAGIC) return null;
  const apps: DroppedOfApp[] = [];
  let damaged = 0;
  for (let slot = 1; (slot + 1) * ENTRY_BYTES <= page.length; slot++) {
    const entry = page.subarray(slot * ENTRY_BYTES, (slot + 1) * ENTRY_BYTES);
    if (isSound(entry)) apps.push(decodeEntry(entry, slot));
    else if (entry.some((byte) => byte !== 0)) damaged++;
  }
  const lastSeq = Number(page.readBigInt64LE(16));
  return {
    stream: streamName(page.readUInt32LE(12), page.readUInt32LE(8)),
    lastSeq,
    reachedSeq: Math.max(lastSeq, Number(page.readBigUInt64LE(64)) - 1),
    rows: apps.reduce((sum, entry) => sum + entry.rows, 0),
    toldSeq: Number(page.readBigUInt64LE(48)) - 1,
    toldRows: Number(page.readBigUInt64LE(56)),
    byReason: {
      spool_full: Number(page.readBigUInt64LE(24)), disk_full: Number(page.readBigUInt64LE(32)), write_failed: Number(page.readBigUInt64LE(40)),
    },
    apps,
    damaged,
  };
}

function decodeEntry(entry: Buffer, slot: number): DroppedOfApp {
  return {
    app: slot < FIRST_ENTRY ? null : entry.toString('utf8', 1, 1 + entry.readUInt8(0)),
    rows: Number(entry.readBigUInt64LE(72)),
    requests: Number(entry.readBigUInt64LE(80)),
    counted: Number(entry.readBigUInt64LE(88)),
    toldCounted: Number(entry.readBigUInt64LE(112)),
    firstMs: Number(entry.readBigInt64LE(96)),
    lastMs: Number(entry.readBigInt64LE(104)),
  };
}

/** An entry never written is all zeros, and its checksum, which is not that of zeros, is wrong. */
function isSound(entry: Buffer): boolean {
  return entry.readUInt32LE(124) === crc32(entry.subarray(0, 124));
}

function newTally(slot: number, app: string): Tally {
  const name = Buffer.alloc(MAX_NAME_BYTES);
  const { written } = new TextEncoder().encodeInto(app, name);
  return { slot, name: name.subarray(0, written), rows: 0, requests: 0, counted: 0, firstMs: 0, lastMs: 0, toldCounted: 0, changed: false };
}
