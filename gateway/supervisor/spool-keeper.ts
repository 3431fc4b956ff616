/**
 * Looks after the spool once a second: moves the marks of living streams, settles and seals the streams of dead workers, keeps spare streams, and
 * tells how much room is left.
 *
 * Two orders matter. A mark is noted only after the ledger has journalled what was used up to it, and a dead stream is settled before
 * it is sealed: what lies behind a mark or in a sealed stream the collector may delete, and the ledger must not need it any more.
 */
import { sealStream, updateMark } from '../events/seal.js';
import { removeLeftovers, scanStreams, type SpooledStream } from '../events/spool.js';
import { makeSpare, spareStreams } from '../events/spare-streams.js';
import type { SpoolLog } from '../events/spool-log.js';
import type { StreamState } from '../events/stream-state.js';
import { bringBack } from '../events/tally-elsewhere.js';
import { writerLives, type WriterLives } from '../events/writer-life.js';

export interface SpoolKeeperOptions {
  readonly spoolDir: string;
  /** The stream's worker is dead. Must be harmless when it comes again for the same stream. */
  readonly beforeSeal: (stream: SpooledStream) => void;
  readonly onSealed: (stream: string) => void;
  /** How many streams are kept ready for workers that must open one on a full disk. */
  readonly spares: () => number;
  /** Bytes of all streams together. */
  readonly onRoom: (bytes: number) => void;
  /** Default: by the process alone. */
  readonly lives?: WriterLives;
  readonly log: SpoolLog;
}

const EVERY_MS = 1000;
/** Each is flushed to disk, on the loop. */
const SPARES_A_ROUND = 4;

export class SpoolKeeper {
  readonly #options: SpoolKeeperOptions;
  readonly #writerLives: WriterLives;
  /** Marks reported since the last tick. */
  readonly #marks = new Map<string, number>();
  #timer: NodeJS.Timeout | null = null;
  #bytes = 0;
  #streams = 0;
  /** Streams whose trouble has been told. */
  readonly #troubled = new Set<string>();
  #spareTold = false;
  /** Streams of living workers whose mark could not be written, and why: of such a stream nothing can be. */
  readonly #unwritten = new Map<string, string>();

  constructor(options: SpoolKeeperOptions) {
    this.#options = options;
    this.#writerLives = options.lives ?? writerLives;
  }

  get bytes(): number { return this.#bytes; }
  get streams(): number { return this.#streams; }

  /** Why events of living workers can be neither recorded nor tallied, in the file system's words; null: they can. A full disk is no such reason: marks and tallies need no room. */
  get fault(): string | null {
    return [...this.#unwritten.values()][0] ?? null;
  }

  /** Settles and seals what an earlier run left, then goes on each second. */
  start(): void {
    removeLeftovers(this.#options.spoolDir, Date.now(), this.#writerLives);
    this.tick();
    this.#timer = setInterval(() => { this.tick(); }, EVERY_MS);
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  /** A worker says that everything up to `lastSeq` is written; the ledger has it in its journal. */
  noteMark(stream: string, lastSeq: number): void {
    this.#marks.set(stream, lastSeq);
  }

  /** One round. What fails for one stream is told once, and tried again in the next round. */
  tick(): void {
    const streams = scanStreams(this.#options.spoolDir);
    this.#streams = streams.length;
    this.#bytes = streams.reduce((sum, stream) => sum + stream.bytes, 0);
    const living = new Set(streams.filter(({ state }) => this.#lives(state)).map(({ stream }) => stream));
    for (const stream of this.#unwritten.keys()) if (!living.has(stream)) this.#unwritten.delete(stream);
    for (const stream of streams) {
      if (stream.state !== null && stream.state.seal !== null) continue;
      try {
        this.#keep(stream);
        this.#troubled.delete(stream.stream);
      } catch (error) {
        if (!this.#troubled.has(stream.stream)) this.#options.log.error({ stream: stream.stream, err: error }, 'a stream cannot be marked or sealed; trying again each second');
        this.#troubled.add(stream.stream);
      }
    }
    this.#marks.clear();
    this.#keepSpares();
    this.#options.onRoom(this.#bytes);
  }

  #keepSpares(): void {
    const { spoolDir, log } = this.#options;
    try {
      const lacking = this.#options.spares() - spareStreams(spoolDir).length;
      for (let made = 0; made < Math.min(lacking, SPARES_A_ROUND); made++) makeSpare(spoolDir);
      this.#spareTold = false;
    } catch (error) {
      if (!this.#spareTold) log.error({ code: 'spool_write_failed', err: error, spares: spareStreams(spoolDir).length }, 'no spare stream can be made; trying again each second');
      this.#spareTold = true;
    }
  }

  #keep(stream: SpooledStream): void {
    if (this.#lives(stream.state)) {
      // no news: the mark's age shows it
      const mark = this.#marks.get(stream.stream);
      if (mark !== undefined) this.#mark(stream, mark);
      return;
    }
    bringBack(stream.dir, stream.stream, this.#options.log);
    this.#options.beforeSeal(stream);
    if (sealStream(stream.dir, this.#options.log, this.#writerLives) !== null) this.#options.onSealed(stream.stream);
  }

  #lives(state: StreamState | null): boolean {
    return state !== null && state.seal === null && this.#writerLives(state);
  }

  #mark({ stream, dir }: SpooledStream, lastSeq: number): void {
    try {
      updateMark(dir, lastSeq);
      this.#unwritten.delete(stream);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code !== 'ENOSPC' && code !== 'EDQUOT') this.#unwritten.set(stream, message);
      throw error;
    }
  }
}
