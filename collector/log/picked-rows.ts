/**
 * What of the log goes into a range: frames are gathered stream by stream, and each is judged by what is stored already, as of the range's start.
 * The same frames with the same seqs known give the same rows in the same order, always: a range that is made again is that range.
 *
 * In the range rows lie stream by stream in the order of seq, however the frames came: the coverage view tells runs apart by seq less the row's number.
 *
 * Tables are partitioned by day, and each day of an insert is parts of its own: so a range has a bounded number of days of imported logs. What workers record is of
 * today. A frame of an import is of one day, which is its first row's.
 */
import { IMPORT_WORKER, ROW_VERSION, type RowVersion } from '../../gateway/events/event.js';
import { firstRow } from '../../gateway/events/read-rows.js';
import { SeqSet, type SeqRun } from './seq-set.js';

export interface SeqRunOfStream extends SeqRun {
  /** 16 hexadecimal digits. */
  readonly stream: string;
}

export interface RangeLimits {
  readonly rows: number;
  readonly bytes: number;
  /** Of imported logs; absent: MOST_IMPORTED_DAYS. */
  readonly days?: number;
}

/** With what workers record beside them, an insert has less than 100 days: more parts at once are more than a server takes by itself (max_partitions_per_insert_block). */
export const MOST_IMPORTED_DAYS = 90;

/** 200,000 rows: larger ranges made the insert no cheaper a row, and took more memory. */
export const DEFAULT_LIMITS: RangeLimits = { rows: 200_000, bytes: 64 * 1024 * 1024 };

export interface PickedRows {
  /** Rows as they lie in the frames. */
  readonly pieces: readonly Buffer[];
  readonly rows: number;
  /** Of the rows in the pieces: another than today's where a range is made again that an older program had begun. */
  readonly version: RowVersion;
  /** New seqs in it. */
  readonly runs: readonly SeqRunOfStream[];
  /** Frames that hold nothing new: none of their rows is in the pieces. */
  readonly repeats: readonly SeqRunOfStream[];
  /** Rows in the pieces that are stored already: the INSERT leaves them out. */
  readonly leaveOut: readonly SeqRunOfStream[];
  /** Streams of imported logs, and the days (since the epoch, UTC) of those of their rows that are in the pieces. */
  readonly imports: readonly { readonly stream: string; readonly days: readonly number[] }[];
  /** Rows a second of each stream that has rows in it. */
  readonly paces: readonly { readonly stream: string; readonly rowsASecond: number }[];
}

/** More is a clock that was set. */
const MOST_ROWS_A_SECOND = 1_000_000;
const DAY_MS = 86_400_000;

/** The part of one stream in a range. */
export class StreamPicker {
  readonly stream: string;
  readonly repeats: SeqRunOfStream[] = [];
  readonly leaveOut: SeqRunOfStream[] = [];
  /** Of imported rows, since the epoch. */
  readonly days = new Set<number>();
  rows = 0;
  bytes = 0;
  readonly #stored: SeqSet;
  readonly #new = new SeqSet();
  /** Null: no frame was seen yet. */
  #imports: boolean | null = null;
  readonly #frames: { readonly firstSeq: number; readonly rows: Buffer }[] = [];

  /** @param stored seqs known as of the range's start */
  constructor(stream: string, stored: SeqSet) {
    this.stream = stream;
    this.#stored = stored;
  }

  /** One past the last new seq; 0: there is none. */
  get end(): number {
    return this.#new.end;
  }

  get runs(): SeqRunOfStream[] {
    return this.#new.runs.map((run) => ({ stream: this.stream, ...run }));
  }

  /** Which of a frame's seqs are stored. */
  stored(firstSeq: number, count: number): SeqRun[] {
    return this.#stored.within(firstSeq, firstSeq + count - 1);
  }

  /** It is an imported log, as far as frames were seen. */
  get imports(): boolean {
    return this.#imports === true;
  }

  /** The day of a frame of an imported log; null: the stream is none. */
  importedDay(rows: Buffer): number | null {
    if (this.#imports === false) return null;
    const { worker, timeMs } = firstRow(rows);
    this.#imports = worker === IMPORT_WORKER;
    return this.#imports ? Math.floor(timeMs / DAY_MS) : null;
  }

  /** False: the frame shares rows with another of this range and is not the same; nothing of it was taken. */
  take(firstSeq: number, count: number, rows: Buffer): boolean {
    const { stream } = this;
    const last = firstSeq + count - 1;
    const day = this.importedDay(rows);
    const stored = this.stored(firstSeq, count);
    const known = new SeqSet([...stored, ...this.#new.within(firstSeq, last)]).runs;
    if (known.some((run) => run.first === firstSeq && run.last === last)) {
      this.repeats.push({ stream, first: firstSeq, last });
      return true;
    }
    if (known.length > 0 && this.#new.within(firstSeq, last).length > 0) return false;
    for (const run of stored) this.leaveOut.push({ stream, ...run });
    if (day !== null) this.days.add(day);
    this.#frames.push({ firstSeq, rows });
    this.rows += count;
    this.bytes += rows.length;
    let next = firstSeq;
    for (const run of [...stored, { first: last + 1, last: last + 1 }]) {
      if (run.first > next) this.#new.add(next, run.first - 1);
      next = run.last + 1;
    }
    return true;
  }

  /** In the order of seq. */
  pieces(): Buffer[] {
    return this.#frames.sort((a, b) => a.firstSeq - b.firstSeq).map(({ rows }) => rows);
  }

  /** From the ends of the first and of the last frame's first requests; 0: too little to tell. */
  pace(): number {
    const [first, last] = [this.pieces()[0], this.pieces().at(-1)];
    if (first === undefined || last === undefined) return 0;
    const [a, b] = [firstRow(first), firstRow(last)];
    const seconds = (b.timeMs - a.timeMs) / 1000 + (b.durationUs - a.durationUs) / 1e6;
    const pace = Math.round((b.seq - a.seq) / seconds);
    return pace > 0 && pace <= MOST_ROWS_A_SECOND ? pace : 0;
  }
}

export function together(parts: readonly StreamPicker[], version: RowVersion = ROW_VERSION): PickedRows {
  return {
    version,
    pieces: parts.flatMap((part) => part.pieces()),
    rows: parts.reduce((sum, part) => sum + part.rows, 0),
    runs: parts.flatMap((part) => part.runs),
    repeats: parts.flatMap((part) => part.repeats),
    leaveOut: parts.flatMap((part) => part.leaveOut),
    imports: parts.filter((part) => part.imports).map(({ stream, days }) => ({ stream, days: [...days] })),
    paces: parts.filter((part) => part.rows > 0).map((part) => ({ stream: part.stream, rowsASecond: part.pace() })),
  };
}
