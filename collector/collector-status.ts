/** What the collector says of itself. */
import type { ErrorCode } from '../errors/codes.js';
import type { StoreFindings } from './completeness/store-watch.js';
import type { InsertCounts } from './log/insert-counts.js';

export interface CollectorStatus {
  /** Since this process began. */
  readonly stored: number;
  /** Met again and left out, or stored twice. */
  readonly repeats: number;
  /** Pieces of the log put aside since this process began. */
  readonly quarantined: number;
  /** Pieces in the store's quarantine that were neither replayed nor removed, whenever and by whomever they were put there; null: not counted yet. */
  readonly inQuarantine: number | null;
  readonly ranges: number;
  readonly inserts: InsertCounts;
  /** Of the files in quarantine; null: the log is Kafka, and what is set aside is in a topic of its own. */
  readonly quarantineBytes: number | null;
  /** Found missing since this process began: never goes down, as a counter must not. */
  readonly gapsTotal: number;
  /** Missing events of today and yesterday (UTC), and events stored twice, as of now. */
  readonly gaps: number;
  readonly twice: number;
  /** What was found in the store a minute ago at most; null: it was not looked at yet. */
  readonly store: StoreFindings | null;
  /** ms since the epoch: everything recorded before it is stored, but for what came between two looks, which is no lag. */
  readonly caughtUpMs: number;
  /** How long ago that was. */
  readonly lagSeconds: number;
  /** Null: all is well; else why storing fails, and since when. */
  readonly failing: { readonly code: ErrorCode; readonly detail: string; readonly since: string } | null;
}
