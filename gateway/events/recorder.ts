/**
 * The worker's side of the event log. At the end of a turn of the event loop the rows of all requests whose answers' last pieces are ready are appended as
 * one frame with one write, and only then do the last pieces go: an answered request is a recorded request.
 * The write ends in the page cache, so it outlives kill -9 of any process; a flush to disk each second bounds what a power cut can take.
 *
 * What cannot be written (the disk is full or broken, the spool's bound is reached) is tallied per app in the stream's drop page, keeps its seq, and its answer goes.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { TidegateError } from '../../errors/tidegate-error.js';
import { DropPage, type DropReason, type PageCalls } from './drop-page.js';
import { RowEncoder } from './encoder.js';
import type { EventFacts } from './event.js';
import { makeFolder } from './make-folder.js';
import { openStreamFolder } from './open-stream-folder.js';
import { ownIdentity } from './process-life.js';
import { decodeRows } from './read-rows.js';
import { prepareFirstSegment, SegmentWriter, type SegmentCalls } from './segment-writer.js';
import { takeSpare, type TakenSpare } from './spare-streams.js';
import { createPlace } from './shipper/ship-place.js';
import type { SpoolLog } from './spool-log.js';
import { createState, flushDirectory, type StreamState } from './stream-state.js';
import { keepElsewhere, removeElsewhere } from './tally-elsewhere.js';

/** The last piece of an answer, held back until its row is written. */
export interface Held {
  /** Of a request: what a log line about it is found by. */
  readonly logNames?: { readonly request_id: string; readonly trace_id?: string };
  /** Lets it go. What it throws is logged, and stops no other. */
  release(): void;
}

export interface RecorderOptions {
  /** `data_dir/spool`; made if absent. */
  readonly spoolDir: string;
  readonly node: string;
  /** Of the launcher's run; null: the data directory is not locked. */
  readonly run?: string | null;
  /** The worker's slot, 1 to N. */
  readonly worker: number;
  /** A segment that has this many bytes gets no further frame. */
  readonly segmentBytes: number;
  readonly log: SpoolLog;
  /** For tests: system calls that fail. */
  readonly calls?: SegmentCalls;
  readonly pageCalls?: PageCalls;
}

/** A turn with more bytes than this is written as several frames, far below the largest that readers take. */
const MAX_FRAME_BYTES = 4 * 1024 * 1024;
const FLUSH_EVERY_MS = 1000;
/** While nothing can be written, the log is told this often. */
const COMPLAIN_EVERY_MS = 10_000;

/**
 * Measured on two busy shared cores with Node 20.20, rows of 153 bytes, 21 a turn: 500 ns a request with its metrics. 250 of them are its share of the
 * frame's write, nearly all in the kernel; 50 of the checksum; 100 to 150 are the encoding; 30 the metrics.
 */
export class Recorder {
  /** 16 hexadecimal digits: one life of one worker. */
  readonly stream: string;
  readonly #encoder: RowEncoder;
  readonly #segments: SegmentWriter;
  readonly #drops: DropPage;
  readonly #log: SpoolLog;
  readonly #timer: NodeJS.Timeout;
  readonly #endOfTurn = (): void => { this.flushNow(); };
  #held: Held[] = [];
  /** The other list: release() may record, so a list is never walked while it grows. */
  #spare: Held[] = [];
  #beforeFrame: () => void = () => {};
  #scheduled = false;
  #closed = false;
  #nextSeq = 0;
  #lastWrittenSeq = -1;
  #lastOrdinal = 0;
  #recorded = 0;
  #spoolBytes = 0;
  #maxBytes = Number.POSITIVE_INFINITY;
  /** Since when the tally cannot be written to the stream's page, and when that was last said, by performance.now(); null: it is written. */
  #untallied: { saidAtMs: number; keptIn: string | null } | null = null;
  #flushingDrops: Promise<void> = Promise.resolve();
  #failing: { readonly code: string; rows: number; saidAtMs: number } | null = null;

  private constructor(stream: string, options: RecorderOptions, drops: DropPage, segments: SegmentWriter) {
    this.stream = stream;
    this.#encoder = new RowEncoder(stream, options.node, options.worker);
    this.#drops = drops;
    this.#segments = segments;
    this.#log = options.log;
    this.#timer = setInterval(() => { this.#everySecond(); }, FLUSH_EVERY_MS).unref();
  }

  /** Opens a new stream: its directory appears whole, on disk, before this returns. On a full disk a spare one is taken. Throws data_dir_unusable. */
  static open(options: RecorderOptions): Recorder {
    const { spoolDir, log } = options;
    try {
      const { stream, drops } = openStream(options);
      flushDirectory(spoolDir);
      return new Recorder(stream, options, drops, new SegmentWriter(join(spoolDir, stream), stream, options.segmentBytes, log, options.calls));
    } catch (error) {
      throw new TidegateError('data_dir_unusable', `cannot open an event stream in ${spoolDir}: ${(error as Error).message}`, { cause: error });
    }
  }

  /** The number of the next request of this stream, from 1: with the stream it is the request's id. */
  nextOrdinal(): number {
    return ++this.#lastOrdinal;
  }

  /**
   * Takes a row, and the answer's last piece to release once the row is written. Facts are read now; `held` is released at the end of the turn, in
   * order of record().
   */
  record(facts: EventFacts, held: Held): void {
    this.endTurn();
    if (this.#encoder.length > MAX_FRAME_BYTES) this.#writeFrame();
    this.#encoder.append(facts, this.#nextSeq);
    this.#nextSeq++;
    this.#held.push(held);
  }

  /**
   * Has `record` called at the end of each turn that has one, before its frame is written, and by close(): to record what has waited until then. Rows made
   * one after the other are cheaper than rows made between two answers, where the processor has to fetch anew each time what it works with.
   */
  beforeFrame(record: () => void): void {
    this.#beforeFrame = record;
  }

  /** Sees to it that this turn has an end, as record() does by itself. Throws after close(). */
  endTurn(): void {
    if (this.#closed) throw new Error('record() after close()');
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(this.#endOfTurn);
  }

  /** Last seq that is written, or tallied as dropped; -1: none. */
  get lastWrittenSeq(): number {
    return this.#lastWrittenSeq;
  }

  /** Rows written. */
  get recorded(): number {
    return this.#recorded;
  }

  /** Rows dropped, by reason. The object is live. */
  get dropped(): Readonly<Record<DropReason, number>> {
    return this.#drops.byReason;
  }

  /**
   * What the supervisor last saw in the whole spool, and its bound; this worker adds what it writes from now on. What the others write until they are told
   * may pass the bound: by a second's writing at most.
   */
  setRoom(spoolBytes: number, maxBytes: number): void {
    this.#spoolBytes = spoolBytes;
    this.#maxBytes = maxBytes;
  }

  /** The ledger is about to be told what was used up to `lastWrittenSeq`: what is dropped afterwards is told from what was dropped before. */
  noteTold(): void {
    try {
      this.#drops.noteTold(this.#lastWrittenSeq);
    } catch (error) {
      this.#tallyElsewhere(error);
    }
  }

  /** Writes what has been recorded, and releases it: at the end of each turn by itself. */
  flushNow(): void {
    // what is recorded in there belongs to this turn
    this.#scheduled = true;
    this.#beforeFrame();
    this.#scheduled = false;
    const held = this.#held;
    if (held.length === 0) return;
    if (this.#encoder.count > 0) this.#writeFrame();
    this.#held = this.#spare;
    this.#spare = [];
    for (let i = 0; i < held.length; i++) {
      try {
        (held[i] as Held).release();
      } catch (error) {
        this.#log.error({ code: 'internal_error', err: error, ...(held[i] as Held).logNames, stream: this.stream }, 'an answer could not be released');
      }
    }
    held.length = 0;
    this.#spare = held;
  }

  /** Writes and releases what is left, and flushes to disk. The stream is sealed by the supervisor, once this process has ended. */
  async close(): Promise<void> {
    if (this.#closed) return;
    // what is recorded by a release is written too
    do this.flushNow(); while (this.#held.length > 0 || this.#scheduled);
    this.#closed = true;
    clearInterval(this.#timer);
    this.#commitDrops();
    if (!await this.#segments.close()) this.#notFlushed(this.#lastWrittenSeq);
    await this.#flushDrops();
    this.#drops.close();
  }

  #writeFrame(): void {
    const encoder = this.#encoder;
    const { count, firstSeq } = encoder;
    const frame = encoder.frame();
    if (this.#spoolBytes + frame.length > this.#maxBytes) {
      this.#drop('spool_full', 'spool_full', null);
    } else {
      try {
        this.#segments.append(frame);
        this.#spoolBytes += frame.length;
        this.#recorded += count;
        if (this.#failing !== null) this.#recovered();
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code ?? '';
        this.#drop(code === 'ENOSPC' || code === 'EDQUOT' ? 'disk_full' : 'write_failed', code, error);
      }
    }
    this.#lastWrittenSeq = firstSeq + count - 1;
    encoder.clear();
  }

  #drop(reason: DropReason, code: string, error: unknown): void {
    let rows = 0;
    for (const row of decodeRows(this.#encoder.rows)) {
      this.#drops.add(row, reason);
      rows++;
    }
    this.#commitDrops();
    this.#complain(code, rows, error);
  }

  #commitDrops(): void {
    try {
      this.#drops.commit();
    } catch (error) {
      this.#tallyElsewhere(error);
    }
  }

  /** The page cannot be written: it is tried again each second. Until then the tally is kept where it outlives this process, if there is such a place. */
  #tallyElsewhere(error: unknown): void {
    const failing = this.#untallied ??= { saidAtMs: Number.NEGATIVE_INFINITY, keptIn: null };
    let keepError: unknown = null;
    try {
      failing.keptIn = keepElsewhere(this.stream, this.#drops.snapshot());
    } catch (caught) {
      keepError = caught;
    }
    const now = performance.now();
    if (now - failing.saidAtMs < COMPLAIN_EVERY_MS) return;
    failing.saidAtMs = now;
    const rows = Object.values(this.dropped).reduce((sum, count) => sum + count, 0);
    const fields = { code: 'spool_write_failed', err: error, stream: this.stream, dropped: rows };
    if (keepError === null) this.#log.error({ ...fields, kept_in: failing.keptIn }, 'the tally of dropped events cannot be written to the spool; it is kept elsewhere until it can: mend the disk');
    else this.#log.error({ ...fields, reason: (keepError as Error).message }, 'the tally of dropped events can be written nowhere and will be lost with this process: mend the disk');
  }

  /** To disk, off the loop; resolves when it is there, or kept elsewhere. Never rejects. */
  #flushDrops(): Promise<void> {
    this.#flushingDrops = this.#flushingDrops.then(async () => {
      if (this.#drops.onDisk) return;
      try {
        await this.#drops.flush();
      } catch (error) {
        this.#tallyElsewhere(error);
      }
      if (this.#untallied === null || !this.#drops.onDisk) return;
      removeElsewhere(this.stream);
      this.#untallied = null;
      this.#log.info({ stream: this.stream }, 'the tally of dropped events is in the spool again');
    });
    return this.#flushingDrops;
  }

  /** Rows up to this one may be gone when the file system is mounted again: the page says that they were there. */
  #notFlushed(seq: number): void {
    this.#drops.reach(seq);
    this.#commitDrops();
  }

  #everySecond(): void {
    this.#commitDrops();
    void this.#flushDrops();
    // up to now: what was written while it flushed may have failed with the rest, and is told with it
    void this.#segments.flush().then((flushed) => { if (!flushed && !this.#closed) this.#notFlushed(this.#lastWrittenSeq); });
  }

  #complain(code: string, rows: number, error: unknown): void {
    const now = performance.now();
    if (this.#failing?.code !== code) this.#failing = { code, rows: 0, saidAtMs: Number.NEGATIVE_INFINITY };
    const failing = this.#failing;
    failing.rows += rows;
    if (now - failing.saidAtMs < COMPLAIN_EVERY_MS) return;
    failing.saidAtMs = now;
    const full = code === 'spool_full';
    this.#log.error({ code: full ? 'spool_full' : 'spool_write_failed', err: error, stream: this.stream, dropped: failing.rows },
      full ? 'the spool is full: events are dropped and tallied' : 'the spool cannot be written: events are dropped and tallied');
  }

  #recovered(): void {
    this.#log.info({ stream: this.stream, dropped: this.#failing?.rows }, 'the spool is written again');
    this.#failing = null;
  }
}

function openStream(options: RecorderOptions): TakenSpare {
  const { spoolDir, node, run = null, worker, log } = options;
  const now = new Date().toISOString();
  const stateOf = (stream: string): StreamState => ({ format: 1, stream, ...(run === null ? {} : { run }), node, worker, ...ownIdentity(), openedAt: now, lastSeq: -1, markedAt: now, seal: null });
  try {
    return makeStream(options, stateOf);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const spare = code === 'ENOSPC' || code === 'EDQUOT' ? takeSpare(spoolDir, stateOf) : null;
    if (spare === null) throw error;
    log.error({ code: 'spool_write_failed', err: error, stream: spare.stream }, 'the disk has no room for a new event stream: a spare one is taken');
    return spare;
  }
}

function makeStream({ spoolDir, calls, pageCalls }: RecorderOptions, stateOf: (stream: string) => StreamState): TakenSpare {
  const stream = randomBytes(8).toString('hex');
  makeFolder(spoolDir);
  const drops = openStreamFolder(spoolDir, stream, (opening) => {
    createState(opening, stateOf(stream));
    createPlace(opening);
    const page = DropPage.create(opening, stream, pageCalls);
    // made here, so that a disk that has no room for it is met before the stream has its name
    prepareFirstSegment(opening, stream, calls);
    return page;
  });
  return { stream, drops };
}
