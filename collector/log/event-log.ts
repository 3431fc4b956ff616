/** The log that events come from, as the collector sees it: the spool on this machine, or Kafka. Which of the two it is, only `openEventLog` asks. */
import type { ErrorCode } from '../../errors/codes.js';
import type { StreamFacts } from '../completeness/stream-coverage.js';
import type { ChunkFrame } from '../../gateway/events/columns/pack-frames.js';
import type { InsertCounts } from './insert-counts.js';

/** Of the ranges that are done, since this process began. */
export interface LogTotals {
  storedRows: number;
  /** Met again and left out. */
  repeatedRows: number;
  quarantined: number;
  ranges: number;
  readonly inserts: InsertCounts;
}

export interface StepResult {
  /** Stored by this step. */
  readonly rows: number;
  /** The collector may stop: what is left is for another, or for its next start. Of the spool: all that it holds is stored. */
  readonly mayStop: boolean;
  /** There is no use in asking again sooner. */
  readonly pauseMs: number;
}

export interface Standing {
  readonly code: ErrorCode;
  readonly detail: string;
}

/** A part of the log that is read by itself, and up to when all that had reached it is stored. */
export interface LogPart {
  /** topic/partition; the topic alone: its partitions are not known. */
  readonly log: string;
  /** ms since the epoch; null: nobody has ever said. */
  readonly asOfMs: number | null;
}

/** What is read again of the log, from where its events are stored already. */
export interface ReadAgain {
  /** 16 hexadecimal digits each. */
  readonly streams: readonly string[];
  /** ms since the epoch: what is older is not wanted, if clocks are right. It is read last. */
  readonly sinceMs: number;
  /** Frames of one of the streams. They may come twice, and in any order. Resolves to false: no more is wanted. */
  take(stream: string, frames: readonly ChunkFrame[]): Promise<boolean>;
  /** Messages read, of so many as are known to be read. */
  progress(done: number, all: number): void;
  readonly signal: AbortSignal;
}

export interface EventLog {
  readonly totals: Readonly<LogTotals>;

  /**
   * Stores what can be stored now, at most one range; or waits a moment for something to come.
   * @throws what the store and the log throw: call again later; what was begun is done first then
   */
  step(): Promise<StepResult>;

  /** ms since the epoch: everything that had reached the log before it is stored. Never later than that is known to be so. */
  asOfMs(): number;

  /** Parts of the log in which there may be streams, begun since the time that the part is stored up to, that `facts` and the store know nothing of. */
  parts(): readonly LogPart[];

  /** A part of the log that stays unread until somebody mends it, while the rest goes on. Null: there is none. */
  standing(): Standing | null;

  /** Lets go of what is stored. */
  tidy(): Promise<void>;

  /** Streams of which more is known than the store's notes say: those that live, or are not stored to their end. @throws store_failed */
  facts(nowMs: number): Promise<readonly StreamFacts[]>;

  /** Streams whose coverage is needed. */
  inUse(): ReadonlySet<string>;

  /** For how long after it was stored an event may come again, ms; 0: no longer than its stream is in use. */
  readonly comesAgainMs: number;

  /** Whether it keeps events for a time after they are stored: then they can be read again. */
  readonly keepsStored: boolean;

  /** Reads what it still keeps of those streams, beside everything else. @throws events_not_kept; what the log, `take` and the signal throw */
  readAgain(wanted: ReadAgain): Promise<void>;

  /** Forgets a stream that nothing is kept of any more. */
  forget(stream: string): void;

  /** Puts what went to quarantine into the log again. @throws quarantine_unknown; quarantine_gone; what the log throws */
  replay(item: QuarantinedItem): Promise<void>;

  /**
   * Makes sure, for good, that nothing which was begun is inserted again, by whomever. Between two steps.
   * @returns null; else what stands against it, in words
   */
  settle(): Promise<string | null>;

  /** Who else reads this log, in words, where this collector knows it; null: nobody, or it is not known yet. */
  others(): string | null;

  /** Leaves the log. Nothing is lost if the process is killed instead. */
  stop(): Promise<void>;
}

/** A row of tidegate.quarantine. */
export interface QuarantinedItem {
  /** stream-segment-offset */
  readonly id: string;
  /** Where it lay: '' the spool; else topic/partition. */
  readonly log: string;
  /** 16 hexadecimal digits. */
  readonly stream: string;
  /** Of the spool, or Kafka's partition. */
  readonly segment: number;
  readonly from_offset: number;
  readonly to_offset: number;
  readonly reason: string;
  /** The copy: a file of collector/quarantine, or topic/partition/offset. */
  readonly file: string;
  /** RFC 3339 */
  readonly noted_at: string;
  readonly replayed_at: string | null;
}
