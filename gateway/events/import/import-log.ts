/**
 * An existing access log becomes events, exactly once per line, however often it is imported and wherever that was stopped:
 *
 *   the first line ─► the stream's number ─► lock ─► what is known of it (receipt) is compared ─► lines become rows ─► spool ─► receipt, seal
 *
 * A row's identity is the stream, which is a hash of what the log is and of what decides its rows, and its place among the lines that are rows. So the same line is always
 * the same event, and what is stored already the collector leaves out. The receipt only saves the work of writing it again.
 */
import { createHash } from 'node:crypto';
import { closeSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { TidegateError } from '../../../errors/tidegate-error.js';
import type { RecordedClient } from '../../listeners/http/recorded-client.js';
import { openLocked } from '../kernel-lock.js';
import { makeFolder } from '../make-folder.js';
import { ProcessLock } from '../process-lock.js';
import type { SpoolLog } from '../spool-log.js';
import { parseCombined } from './combined-line.js';
import { ImportStream } from './import-stream.js';
import { parseJsonLine } from './json-line.js';
import { LineReader, MOST_LINE_BYTES, type TakenLines } from './line-reader.js';
import { LogBytes } from './log-bytes.js';
import { LogRow, type BadLine } from './log-row.js';
import { ClfClock } from './log-time.js';
import { importLockFile, importsDir, readReceipt, writeReceipt, type Receipt } from './receipt.js';

export interface ImportOptions {
  readonly file: string;
  /** Absolute. */
  readonly dataDir: string;
  readonly node: string;
  readonly service: string;
  /** Null: as the lines say. */
  readonly app: string | null;
  /** Tells logs apart that begin with the same line; '': nothing has to. */
  readonly source: string;
  /** The service's record_path is `full`. */
  readonly keepsPath: boolean;
  /** What of a client's address is kept. */
  readonly recordedClient: RecordedClient;
  readonly segmentBytes: number;
  /** Of the spool as a whole. */
  readonly maxBytes: number;
  readonly log: SpoolLog;
  /** Stops it at the next line; what was read stays. */
  readonly signal: AbortSignal;
  readonly onProgress: (readBytes: number, bytes: number, lines: number) => void;
  readonly onWaiting: (why: 'room' | 'earlier' | null) => void;
  /** See ImportStream. Default: five minutes. */
  readonly giveUpAfterMs?: number;
}

export interface ImportOutcome {
  readonly file: string;
  /** '': it has no line. */
  readonly stream: string;
  /** Lines of an earlier import. */
  readonly known: number;
  /** Lines read after these. */
  readonly lines: number;
  /** Events made of them. */
  readonly rows: number;
  /** Lines that are none of a log; the first of them by number. */
  readonly bad: number;
  readonly badLines: readonly { readonly line: number; readonly why: BadLine }[];
  /** First and last time in the rows, RFC 3339; null: there is none. */
  readonly from: string | null;
  readonly to: string | null;
  /** It ends within a line, which waits for its end. */
  readonly cut: boolean;
  /** By the signal. */
  readonly stopped: boolean;
}

const GIVE_UP_AFTER_MS = 300_000;
const CHECKPOINT_EVERY_MS = 1000;
const LISTED_BAD_LINES = 20;
/** Of a log some of its first lines are lines of a log. */
const TRIED_LINES = 1000;
const BRACE = 0x7b;

/** @throws import_file, import_not_a_log, import_changed, import_running, import_sealed, import_stalled, data_dir_unusable; nothing is half written, and what is was not lost */
export async function importLog(options: ImportOptions): Promise<ImportOutcome> {
  const { file, dataDir, signal } = options;
  mustBeTheOwner(dataDir);
  const bytes = LogBytes.open(file);
  let lock: ImportLock | null = null;
  let stream = '';
  try {
    const reader = new LineReader(bytes);
    const first = await reader.firstLine();
    if (first === null) {
      if (reader.holdsMore) throw new TidegateError('import_not_a_log', `${file}: it has no whole line`);
      return nothing(file, stream, false);
    }
    stream = streamOf(first, options);
    lock = takeLock(options, stream);
    const receipt = readReceipt(dataDir, stream);
    if (receipt !== null) await mustGoOn(reader, receipt, options, bytes);
    return await new LogImport(options, bytes, reader, stream, receipt).run();
  } catch (error) {
    if (!signal.aborted || error instanceof TidegateError) throw error;
    return nothing(file, stream, true);
  } finally {
    bytes.close();
    lock?.release();
  }
}

const nothing = (file: string, stream: string, stopped: boolean): ImportOutcome =>
  ({ file, stream, known: 0, lines: 0, rows: 0, bad: 0, badLines: [], from: null, to: null, cut: false, stopped });

/** What another user writes into the spool the node may not be able to read, and then it stores nothing at all. @throws data_dir_unusable */
function mustBeTheOwner(dataDir: string): void {
  // the node has made its spool itself, whoever made the folder around it
  const owner = (statSync(join(dataDir, 'spool'), { throwIfNoEntry: false }) ?? statSync(dataDir, { throwIfNoEntry: false }))?.uid;
  const own = process.getuid?.();
  if (owner !== undefined && own !== undefined && owner !== own) throw new TidegateError('data_dir_unusable', `${dataDir} belongs to user ${owner}, and this is user ${own}: run the import as the node's own user`);
}

/** What is another stream is another log: nothing here may change with a version of the program. */
function streamOf(firstLine: Buffer, { service, app, source }: ImportOptions): string {
  return createHash('sha256').update(JSON.stringify(['tidegate import 1', service, app, source])).update(firstLine).digest('hex').slice(0, 16);
}

interface ImportLock {
  release(): void;
}

/**
 * By the kernel, so that no supervisor in another container takes this process for dead; and by name, so that who is refused is told by whom.
 * @throws import_running; data_dir_unlockable; data_dir_unusable
 */
function takeLock({ dataDir, file, log }: ImportOptions, stream: string): ImportLock {
  let held = -1;
  try {
    makeFolder(importsDir(dataDir));
    const path = importLockFile(dataDir, stream);
    const { fd, attempt } = openLocked(path, 'exclusive');
    held = fd;
    if (attempt.kind === 'busy') throw new TidegateError('import_running', `${file}: ${path} is held by another process`);
    if (attempt.kind === 'refused') throw new TidegateError('data_dir_unlockable', `${path}: ${attempt.reason}`);
    if (attempt.kind === 'no_program') log.warn({ code: 'data_dir_unlocked', data_dir: dataDir }, 'the import is not locked, because the program flock is missing: a node in another container would take it for dead');
    const named = ProcessLock.acquire(join(importsDir(dataDir), `${stream}.lock`));
    return {
      release: () => {
        named.release();
        // while it is locked: who opens it from then on makes another, and locks that
        if (held !== -1) rmSync(path, { force: true });
        closeHeld(held);
      },
    };
  } catch (cause) {
    closeHeld(held);
    if (cause instanceof TidegateError && cause.code === 'data_dir_in_use') throw new TidegateError('import_running', `${file}: ${cause.message}`, { cause });
    throw cause instanceof TidegateError ? cause : new TidegateError('data_dir_unusable', `${importsDir(dataDir)}: ${(cause as Error).message}`, { cause });
  }
}

function closeHeld(fd: number): void {
  if (fd !== -1) closeSync(fd);
}

/** Passes over what an earlier import has read. @throws import_changed: it is not what it was; the signal's reason */
async function mustGoOn(reader: LineReader, receipt: Receipt, { file, signal, onProgress }: ImportOptions, bytes: LogBytes): Promise<void> {
  const before = `an earlier import (${receipt.file}, ${receipt.at}) had read`;
  const each = (): void => {
    signal.throwIfAborted();
    onProgress(bytes.read, bytes.size, 0);
  };
  if (!await reader.pass(receipt.bytes, each)) throw new TidegateError('import_changed', `${file} begins as a log that was imported, and has ${reader.taken} bytes; ${before} ${receipt.bytes}`);
  if (reader.checksum !== receipt.sha256) throw new TidegateError('import_changed', `${file} begins as a log that was imported, and differs from it in the first ${receipt.bytes} bytes, which ${before}`);
}

class LogImport {
  readonly #options: ImportOptions;
  readonly #bytes: LogBytes;
  readonly #reader: LineReader;
  readonly #streamName: string;
  readonly #receipt: Receipt | null;
  readonly #stream: ImportStream;
  readonly #row: LogRow;
  readonly #clock = new ClfClock();
  readonly #badLines: { readonly line: number; readonly why: BadLine }[] = [];
  #lines: number;
  #rows: number;
  #bad = 0;
  #fromMs = Number.POSITIVE_INFINITY;
  #toMs = Number.NEGATIVE_INFINITY;
  #cut = false;
  /** 1: the line without an end was taken. */
  #cutRows: 0 | 1 = 0;
  /** Of the line without an end that was taken. */
  #cutSha256 = '';
  /** What is written; null: nothing yet. */
  #written: Receipt | null = null;
  #noted: Receipt | null;

  constructor(options: ImportOptions, bytes: LogBytes, reader: LineReader, stream: string, receipt: Receipt | null) {
    const { dataDir, node, segmentBytes, maxBytes, signal, onWaiting, log, giveUpAfterMs = GIVE_UP_AFTER_MS } = options;
    this.#options = options;
    this.#bytes = bytes;
    this.#reader = reader;
    this.#streamName = stream;
    this.#receipt = receipt;
    this.#noted = receipt;
    this.#lines = receipt?.lines ?? 0;
    this.#rows = receipt?.rows ?? 0;
    this.#row = new LogRow(options);
    this.#stream = new ImportStream({ spoolDir: join(dataDir, 'spool'), stream, node, segmentBytes, maxBytes, lastSegment: receipt?.segment ?? 0, signal, onWaiting, log, giveUpAfterMs });
  }

  async run(): Promise<ImportOutcome> {
    let stopped = false;
    let failure: Error | null = null;
    try {
      await this.#takeAll();
    } catch (error) {
      stopped = this.#options.signal.aborted && !(error instanceof TidegateError);
      if (!stopped) failure = error as Error;
    }
    for (const finish of [() => this.#checkpoint(), () => this.#stream.end()]) {
      try {
        await finish();
      } catch (error) {
        failure ??= error as Error;
      }
    }
    if (failure !== null) throw failure;
    return this.#outcome(stopped);
  }

  async #takeAll(): Promise<void> {
    const { signal, onProgress, file } = this.#options;
    let checkpointAtMs = performance.now() + CHECKPOINT_EVERY_MS;
    for (let taken = await this.#reader.lines(); taken !== null; taken = await this.#reader.lines()) {
      if (taken.cut) this.#takeCut(taken);
      else this.#take(taken);
      await this.#stream.write();
      this.#noteWritten();
      onProgress(this.#bytes.read, this.#bytes.size, this.#lines);
      if (performance.now() >= checkpointAtMs) {
        await this.#checkpoint();
        checkpointAtMs = performance.now() + CHECKPOINT_EVERY_MS;
      }
      signal.throwIfAborted();
    }
    if (this.#rows + this.#cutRows === 0 && this.#receipt === null) throw this.#noLog(file);
  }

  #take({ text, bounds }: TakenLines): void {
    for (let i = 0; i < bounds.length; i += 2) {
      const start = bounds[i] as number;
      const end = bounds[i + 1] as number;
      this.#lines++;
      if (start === end && start !== -1) continue;
      const why = start === -1 ? `longer than ${MOST_LINE_BYTES} bytes` : this.#parse(text, start, end, false);
      if (why === null) {
        this.#append(this.#lines);
        this.#rows++;
      } else {
        this.#refuse(why);
      }
    }
  }

  /** The last line has no break behind it. What is whole all the same is taken; it is looked at again when the file has grown. */
  #takeCut({ text, bounds: [start = -1, end = -1] }: TakenLines): void {
    this.#cut = start === -1 || this.#parse(text, start, end, !this.#bytes.compressed) !== null;
    if (this.#cut) return;
    this.#cutSha256 = createHash('sha256').update(text).digest('hex');
    if (this.#receipt !== null && this.#receipt.cut === this.#cutSha256 && this.#receipt.bytes === this.#reader.taken) return;
    this.#append(this.#lines + 1);
    this.#cutRows = 1;
  }

  #parse(text: Buffer, start: number, end: number, cut: boolean): BadLine | null {
    return text[start] === BRACE ? parseJsonLine(text, start, end, this.#row, this.#clock) : parseCombined(text, start, end, cut, this.#row, this.#clock);
  }

  #append(line: number): void {
    const row = this.#row;
    row.ordinal = line;
    if (row.timeMs < this.#fromMs) this.#fromMs = row.timeMs;
    if (row.timeMs > this.#toMs) this.#toMs = row.timeMs;
    this.#stream.append(row, this.#rows);
  }

  #refuse(why: BadLine): void {
    this.#bad++;
    if (this.#badLines.length < LISTED_BAD_LINES) this.#badLines.push({ line: this.#lines, why });
    if (this.#rows === 0 && this.#bad >= TRIED_LINES) throw this.#noLog(this.#options.file);
  }

  #noLog(file: string): TidegateError {
    const [first] = this.#badLines;
    return new TidegateError('import_not_a_log', first === undefined ? `${file}: it has no whole line`
      : `${file}: none of its ${this.#bad === TRIED_LINES ? 'first ' : ''}${this.#bad} lines is one of an access log; line ${first.line}: ${first.why}`);
  }

  /** Of whole lines: what is cut off is looked at again. */
  #noteWritten(): void {
    if (!this.#reader.betweenLines) return;
    const { file, service, app } = this.#options;
    this.#written = {
      format: 1, file, service, app: app ?? '', bytes: this.#reader.taken, sha256: this.#reader.checksum, lines: this.#lines, rows: this.#rows,
      cut: this.#cutSha256, segment: this.#stream.segment, at: new Date().toISOString(),
    };
  }

  /** What is written is on disk before the receipt says so. */
  async #checkpoint(): Promise<void> {
    const written = this.#written;
    await this.#stream.flush();
    const { bytes, cut } = this.#noted ?? { bytes: 0, cut: '' };
    // nothing was understood yet, or nothing is new
    if (written === null || this.#stream.segment === 0 || (bytes === written.bytes && cut === written.cut)) return;
    writeReceipt(this.#options.dataDir, this.#streamName, written);
    this.#noted = written;
  }

  #outcome(stopped: boolean): ImportOutcome {
    const none = this.#fromMs === Number.POSITIVE_INFINITY;
    const known = this.#receipt ?? { lines: 0, rows: 0 };
    // what was taken and waits for room is not imported
    const reached = stopped ? this.#written ?? known : { lines: this.#lines, rows: this.#rows + this.#cutRows };
    return {
      file: this.#options.file, stream: this.#streamName, known: known.lines, lines: reached.lines - known.lines, rows: reached.rows - known.rows, bad: this.#bad, badLines: this.#badLines,
      from: none ? null : new Date(this.#fromMs).toISOString(), to: none ? null : new Date(this.#toMs).toISOString(), cut: this.#cut, stopped,
    };
  }
}
