/**
 * The ledger's journal: one file, one JSON line a record, written before anything that follows from it is told to a worker.
 *
 *   {"format":1,"boot":"<kernel boot id>"}                 head
 *   {"crc":<CRC-32 of the record's JSON>,"record":{…}}     records, oldest first; the first ones are the snapshot of the last compaction
 *
 * What a killed process wrote stays in the page cache, so nothing is flushed to disk: after a power cut the boot id is another, and the
 * journal counts as lost. A torn last line was never answered for and is cut off. Anything else that cannot be read: lost, and the truth is
 * what the events and the living workers say.
 */
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { parseRecord, type LedgerRecord } from './records.js';

export interface LedgerLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** `fresh`: there was none, or the machine has been started since; `lost`: there is one that cannot be believed. Both: the truth is to be rebuilt. */
export type JournalFound = 'whole' | 'fresh' | 'lost';

export interface JournalContent {
  readonly found: JournalFound;
  readonly records: readonly LedgerRecord[];
}

/** fs.writeSync: answers the number of bytes written. */
export type WriteTo = (fd: number, bytes: Buffer, offset: number) => number;

const FORMAT = 1;
export const JOURNAL_FILE = 'journal.jsonl';
/** Compacted when it has grown to this, and to four times its last snapshot. */
const COMPACT_BYTES = 4 * 1024 * 1024;

export class Journal {
  readonly #path: string;
  readonly #boot: string;
  readonly #log: LedgerLog;
  readonly #writeTo: WriteTo;
  /** Open for appending; null: it could not be written, and is gone so that a restart does not believe it. */
  #fd: number | null = null;
  #bytes = 0;
  #snapshotBytes = 0;

  /** `writeTo` fails in tests as a full disk does. */
  constructor(folder: string, boot: string, log: LedgerLog, writeTo: WriteTo = writeSync) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    this.#path = join(folder, JOURNAL_FILE);
    this.#boot = boot;
    this.#log = log;
    this.#writeTo = writeTo;
  }

  /** Reads what is there. Call `compact` before the first `append`. */
  read(): JournalContent {
    let text: string;
    try {
      text = readFileSync(this.#path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { found: 'fresh', records: [] };
      this.#log.error({ err: error, code: 'ledger_journal_lost' }, 'the ledger\'s journal cannot be read; quotas are rebuilt from recorded events');
      return { found: 'lost', records: [] };
    }
    const lines = text.split('\n');
    // after the last line break: nothing, or a torn line
    lines.pop();
    const records: LedgerRecord[] = [];
    const boot = bootOf(lines[0]);
    if (boot === null) return this.#lost('it has no head of this version');
    if (boot !== this.#boot) {
      this.#log.info({}, 'the machine was started since the ledger\'s journal was written; quotas are rebuilt from recorded events');
      return { found: 'fresh', records: [] };
    }
    for (let i = 1; i < lines.length; i++) {
      const record = readLine(lines[i] as string);
      if (record === null) return this.#lost(`line ${i + 1} cannot be read`);
      records.push(record);
    }
    return { found: 'whole', records };
  }

  /** Appends the records with one write. Throws if they are not there and an older journal still is: nothing that follows from them may be told. */
  append(records: readonly LedgerRecord[]): void {
    if (records.length === 0 || this.#fd === null) return;
    let text = '';
    for (const record of records) text += line(record);
    const bytes = Buffer.from(text);
    try {
      const written = this.#writeTo(this.#fd, bytes, 0);
      if (written !== bytes.length) throw new Error(`${written} of ${bytes.length} bytes written`);
      this.#bytes += bytes.length;
    } catch (error) {
      this.#disown(error);
    }
  }

  /** Whether it is time to compact: it has grown, or it is gone and may be written again. */
  get due(): boolean {
    return this.#fd === null || this.#bytes > Math.max(COMPACT_BYTES, 4 * this.#snapshotBytes);
  }

  /** Writes the journal anew from a snapshot, beside the old one, and swaps. */
  compact(snapshot: Iterable<LedgerRecord>): void {
    const draft = `${this.#path}.tmp`;
    try {
      const parts = [`${JSON.stringify({ format: FORMAT, boot: this.#boot })}\n`];
      for (const record of snapshot) parts.push(line(record));
      const bytes = Buffer.from(parts.join(''));
      const fd = openSync(draft, 'w', 0o600);
      try {
        let written = 0;
        while (written < bytes.length) written += this.#writeTo(fd, bytes, written);
        renameSync(draft, this.#path);
      } catch (error) {
        closeSync(fd);
        throw error;
      }
      if (this.#fd !== null) closeSync(this.#fd);
      // written sequentially, so the file's own position is the end
      this.#fd = fd;
      this.#bytes = bytes.length;
      this.#snapshotBytes = bytes.length;
    } catch (error) {
      // the journal in use is still whole; without one in use, what lies there grows old
      if (this.#fd === null) this.#disown(error);
      else this.#log.error({ err: error, code: 'ledger_write_failed' }, 'the ledger\'s journal could not be compacted');
    }
  }

  close(): void {
    if (this.#fd !== null) closeSync(this.#fd);
    this.#fd = null;
  }

  /** A journal that misses a grant must not be believed later: it is emptied (a full disk allows that), and counting goes on in memory. */
  #disown(cause: unknown): void {
    const fd = this.#fd;
    try {
      // emptied, it has no head, and reads as lost
      truncateSync(this.#path, 0);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        this.#log.error({ err: error, code: 'ledger_write_failed' }, 'the ledger\'s journal can neither be written nor emptied; nothing is granted');
        throw cause;
      }
    }
    this.#fd = null;
    if (fd !== null) closeSync(fd);
    this.#log.error({ err: cause, code: 'ledger_write_failed' }, 'the ledger\'s journal cannot be written; counting goes on in memory');
  }

  #lost(reason: string): JournalContent {
    this.#log.warn({ reason, code: 'ledger_journal_lost' }, 'the ledger\'s journal cannot be believed; quotas are rebuilt from recorded events');
    return { found: 'lost', records: [] };
  }
}

function bootOf(head: string | undefined): string | null {
  try {
    const value = JSON.parse(head ?? '') as { format?: unknown; boot?: unknown } | null;
    return value?.format === FORMAT && typeof value.boot === 'string' ? value.boot : null;
  } catch {
    return null;
  }
}

function line(record: LedgerRecord): string {
  const json = JSON.stringify(record);
  return `{"crc":${crc32(json)},"record":${json}}\n`;
}

const LINE = /^\{"crc":(\d+),"record":(.*)\}$/s;

function readLine(text: string): LedgerRecord | null {
  const parts = LINE.exec(text);
  if (parts?.[1] === undefined || parts[2] === undefined || crc32(parts[2]) !== Number(parts[1])) return null;
  return parseRecord(JSON.parse(parts[2]));
}
