/**
 * The stream of an imported log in the spool, written as a worker writes its own, so that its rows come into the store by the same way and exactly once. What differs:
 *
 * - its number is given: the same log always has the same. A directory of it that is still there is of an earlier import, and is waited for until it is stored: nothing
 *   is ever written behind a seal, which somebody may be reading as the end;
 * - its segments are numbered on from the second in which they are begun, so that nobody takes a place in segments that have gone for one in these;
 * - a frame is of one day, and a segment of a bounded number of days, as the collector's ranges are (collector/log/picked-rows.ts);
 * - it waits where the spool is filled to a half of its bound: beyond, workers would have to drop.
 */
import { existsSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { TidegateError } from '../../../errors/tidegate-error.js';
import { RowEncoder } from '../encoder.js';
import { IMPORT_WORKER, type EventFacts } from '../event.js';
import { makeFolder } from '../make-folder.js';
import { openStreamFolder } from '../open-stream-folder.js';
import { ownIdentity } from '../process-life.js';
import { sealStream, updateMark } from '../seal.js';
import { prepareFirstSegment, SegmentWriter, SYSTEM_CALLS } from '../segment-writer.js';
import { createPlace } from '../shipper/ship-place.js';
import { OPENING_PREFIX, spoolBytes } from '../spool.js';
import type { SpoolLog } from '../spool-log.js';
import { createState, flushDirectory, readState } from '../stream-state.js';

export interface ImportStreamOptions {
  readonly spoolDir: string;
  /** 16 hexadecimal digits. */
  readonly stream: string;
  readonly node: string;
  readonly segmentBytes: number;
  /** Of the spool as a whole. */
  readonly maxBytes: number;
  /** The last segment of an earlier import; 0: none. */
  readonly lastSegment: number;
  readonly signal: AbortSignal;
  /** Told each second while it waits, and with null when it goes on. */
  readonly onWaiting: (why: 'room' | 'earlier' | null) => void;
  readonly log: SpoolLog;
  /** While it waits and nothing goes from the spool for so long, nobody takes events from it, ms. */
  readonly giveUpAfterMs: number;
}

/** As many as a chunk of Kafka has. */
const FRAME_ROWS = 1000;
/** As MOST_IMPORTED_DAYS of the collector. */
const SEGMENT_DAYS = 90;
/** Of the disk, left to workers. */
const FREE_BYTES = 1024 ** 3;
const LOOK_EVERY_MS = 200;
const DAY_MS = 86_400_000;

export class ImportStream {
  readonly #options: ImportStreamOptions;
  readonly #dir: string;
  readonly #encoder: RowEncoder;
  #frames: { readonly day: number; readonly bytes: Buffer }[] = [];
  #segments: SegmentWriter | null = null;
  #segment: number;
  /** Of the segment that is written. */
  #days = new Set<number>();
  #day = -1;
  /** The last that is written; -1: none. */
  #lastSeq = -1;
  #encodedSeq = -1;
  /** Something of it may not be on disk. */
  #lost = false;

  constructor(options: ImportStreamOptions) {
    this.#options = options;
    this.#segment = options.lastSegment;
    this.#dir = join(options.spoolDir, options.stream);
    this.#encoder = new RowEncoder(options.stream, options.node, IMPORT_WORKER);
  }

  /** The last segment that was begun, in this import or an earlier one; 0: none. */
  get segment(): number {
    return this.#segment;
  }

  /** Takes a row; `write` brings it into the spool. `seq` goes on from the row before. */
  append(facts: EventFacts, seq: number): void {
    const day = Math.floor(facts.timeMs / DAY_MS);
    if (day !== this.#day || this.#encoder.count >= FRAME_ROWS) this.#endFrame();
    this.#day = day;
    this.#encoder.append(facts, seq);
    this.#encodedSeq = seq;
  }

  /**
   * Writes what was taken. Opens the stream at the first row.
   * @throws import_stalled; data_dir_unusable; the signal's reason
   */
  async write(): Promise<void> {
    this.#endFrame();
    if (this.#frames.length === 0) return;
    const { signal, maxBytes, spoolDir } = this.#options;
    if (this.#segments === null) {
      await this.#until('earlier', () => !existsSync(this.#dir));
      this.#segments = this.#open();
    }
    await this.#until('room', () => spoolBytes(spoolDir) < maxBytes / 2 && freeBytes(spoolDir) > Math.min(maxBytes / 2, FREE_BYTES));
    signal.throwIfAborted();
    try {
      for (const { day, bytes } of this.#frames) this.#writeFrame(this.#segments, day, bytes);
    } catch (cause) {
      throw this.#unusable(cause);
    }
    this.#frames = [];
    this.#lastSeq = this.#encodedSeq;
  }

  /** What is written is on disk, and marked, when it resolves. @throws data_dir_unusable; import_sealed: some of it may lie behind a seal, where nobody reads it */
  async flush(): Promise<void> {
    if (this.#segments === null) return;
    // for good: of what the disk did not take the next flush knows nothing
    this.#lost ||= !await this.#segments.flush();
    if (this.#lost) throw this.#unusable(new Error('what was written could not be flushed to disk'));
    this.#mustBeOpen();
    this.#mark();
  }

  /** Seals the stream after what is written: no row comes behind it. @throws data_dir_unusable */
  async end(): Promise<void> {
    const segments = this.#segments;
    if (segments === null) return;
    this.#segments = null;
    const flushed = await segments.close();
    // this process writes it, and writes no more
    sealStream(this.#dir, this.#options.log, () => false);
    if (!flushed) throw this.#unusable(new Error('what was written could not be flushed to disk'));
  }

  #mark(): void {
    try {
      updateMark(this.#dir, this.#lastSeq);
    } catch (cause) {
      throw this.#unusable(cause);
    }
  }

  /** A supervisor that does not see this process takes it for dead, and seals its stream. */
  #mustBeOpen(): void {
    const state = readState(this.#dir);
    if (state === null || state.seal !== null) throw new TidegateError('import_sealed', `${this.#dir}: the node took this import for dead`);
  }

  #endFrame(): void {
    if (this.#encoder.count === 0) return;
    this.#frames.push({ day: this.#day, bytes: Buffer.from(this.#encoder.frame()) });
    this.#encoder.clear();
  }

  #writeFrame(segments: SegmentWriter, day: number, bytes: Buffer): void {
    if (!this.#days.has(day) && this.#days.size >= SEGMENT_DAYS) segments.beginSegment();
    segments.append(bytes);
    if (segments.index !== this.#segment) this.#days = new Set();
    this.#segment = segments.index;
    this.#days.add(day);
  }

  #open(): SegmentWriter {
    const { spoolDir, stream, node, segmentBytes, lastSegment, log } = this.#options;
    const now = new Date();
    const index = Math.max(lastSegment + 1, Math.floor(now.getTime() / 1000));
    try {
      makeFolder(spoolDir);
      // of an import that was killed: nobody else makes this stream
      rmSync(join(spoolDir, OPENING_PREFIX + stream), { recursive: true, force: true });
      openStreamFolder(spoolDir, stream, (opening) => {
        createState(opening, { format: 1, stream, node, worker: IMPORT_WORKER, ...ownIdentity(), openedAt: now.toISOString(), lastSeq: -1, markedAt: now.toISOString(), seal: null });
        createPlace(opening);
        prepareFirstSegment(opening, stream, SYSTEM_CALLS, index);
      });
      flushDirectory(spoolDir);
      return new SegmentWriter(this.#dir, stream, segmentBytes, log, SYSTEM_CALLS, index);
    } catch (cause) {
      throw this.#unusable(cause);
    }
  }

  async #until(why: 'room' | 'earlier', met: () => boolean): Promise<void> {
    const { signal, spoolDir, onWaiting, giveUpAfterMs } = this.#options;
    if (met()) return;
    let least = spoolBytes(spoolDir);
    let sinceMs = performance.now();
    let told = 0;
    while (!met()) {
      signal.throwIfAborted();
      if (performance.now() - told >= 1000) {
        onWaiting(why);
        told = performance.now();
        if (this.#segments !== null) this.#mark();
      }
      const bytes = spoolBytes(spoolDir);
      if (bytes < least) {
        least = bytes;
        sinceMs = performance.now();
      }
      if (performance.now() - sinceMs > giveUpAfterMs) throw new TidegateError('import_stalled', `${spoolDir}: ${why === 'room' ? 'it is filled to a half of its bound, or its disk is nearly full' : `what was imported of this log before is still in it (${this.#options.stream})`}, and nothing has gone from it for ${Math.round(giveUpAfterMs / 1000)} s`);
      await pause(LOOK_EVERY_MS);
    }
    onWaiting(null);
  }

  #unusable(cause: unknown): TidegateError {
    return cause instanceof TidegateError ? cause : new TidegateError('data_dir_unusable', `${this.#dir}: ${(cause as Error).message}`, { cause });
  }
}

function freeBytes(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}
