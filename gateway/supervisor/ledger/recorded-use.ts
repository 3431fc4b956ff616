/**
 * What the ledger learns from recorded events: the tail of a stream that is over, and, where the ledger has no word of its own, the day so far.
 */
import type { LimitKey } from '../protocol.js';

/** A row of the spool, as `readStreamEvents` gives it. */
export interface RecordedRow {
  readonly seq: number;
  /** Moment of admission, ms since the epoch: inside the day of the lease that admitted it. */
  readonly timeMs: number;
  readonly app: string;
  readonly counted: number;
  readonly requests: number;
}

/** The rows of one stream with seq >= fromSeq, in order. */
export type TailReader = (fromSeq: number) => Iterable<RecordedRow>;

/** Apps whose day has these bounds (ms since the epoch, half open). */
export interface AppsOfDay {
  readonly startMs: number;
  readonly endMs: number;
  readonly apps: readonly string[];
}

export interface RecordedDay {
  /** Streams that are not sealed, and the seq up to which their rows are in `counts`; -1: none. */
  readonly open: readonly { readonly stream: string; readonly lastSeq: number }[];
  /** Rows with counted = 1 and requests = 1 of each app within its day, by stream: stored and still in the spool, each once. */
  readonly counts: readonly { readonly app: string; readonly stream: string; readonly count: number }[];
}

/** What a dead worker dropped and tallied. */
export interface TailDrops {
  /** The seq after which these were dropped: of no use to a ledger whose mark is before it. */
  readonly afterSeq: number;
  /** All rows dropped after it. */
  readonly rows: number;
  /** Of them, those that count against the app's quota, by app. */
  readonly counted: ReadonlyMap<string, number>;
}

/** Counts what is recorded now, in the store and in the spool together. Rejects if it cannot; it is asked again a second later. */
export type RecordedToday = (days: readonly AppsOfDay[]) => Promise<RecordedDay>;

export interface TailCount {
  /** Counted requests by quota key. */
  readonly counts: ReadonlyMap<LimitKey, number>;
  /** Rows that are missing between the first and the last: dropped and tallied, or unreadable. */
  readonly holes: number;
}

/**
 * Counts a stream's rows after `mark`.
 * @param keyAt the key that a row of this app and moment counts against; null: none
 * @param lastSeq the stream's last seq, if known: rows missing before it count as holes
 */
export function countTail(read: TailReader, mark: number, lastSeq: number | null, keyAt: (app: string, timeMs: number) => LimitKey | null): TailCount {
  const counts = new Map<LimitKey, number>();
  let rows = 0;
  let last = Math.max(mark, lastSeq ?? -1);
  for (const row of read(mark + 1)) {
    rows++;
    last = Math.max(last, row.seq);
    if (row.counted !== 1 || row.requests !== 1) continue;
    const key = keyAt(row.app, row.timeMs);
    if (key !== null) counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return { counts, holes: Math.max(0, last - mark - rows) };
}
