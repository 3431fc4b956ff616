/**
 * Limits that several nodes share: the node's ledger may lend only what was granted to the node. Keys are as asked for (a quota's without its day) but
 * where `dated` stands. Without a shared store there is none of this, and the ledger owns its limits whole.
 */
import type { LimitKey } from '../protocol.js';
import type { RateLimit } from './limits.js';

/** What the ledger asks of the store. Nothing here waits. */
export interface SharedLimits {
  /** The store answers, as far as is known. */
  readonly up: boolean;
  /** While it does not, each node goes on by itself, up to the whole limit. */
  readonly allowsLoss: boolean;
  /** How far this node's clock is ahead of the store's, ms; 0: not by so much that it matters. */
  readonly aheadMs: number;
  /** Units of a quota's day (dated) that the node may have lent or used in all; `committed` of them it has. Never less than that. */
  ceiling(dated: LimitKey, committed: number): number;
  /** Units that the store had left when it spoke last. */
  left(key: LimitKey): number;
  /** The share of a rate that a node makes by itself while it cannot ask. */
  alone(): number;
  /** The share of a rate that the ledger makes by itself now: 0 while the store answers. */
  share(): number;
  /** ms after which it makes sense to ask for a rate again. */
  waitMs(key: LimitKey): number;
  /** The store, or another node, did not answer: it is not known whether there is something left. */
  unknown(key: LimitKey): boolean;
  /** Asks for units; answers whether `answered` will be called. */
  ask(key: LimitKey, want: number): boolean;
  /** Asks all other nodes to give back what they don't need, then asks again; the same. */
  recall(key: LimitKey): boolean;
  /** Units were lent to a worker: more may be wanted ahead. */
  lent(key: LimitKey, units: number): void;
  /** The limit is another than before. */
  changed(key: LimitKey): void;
}

/** What the store asks of the ledger. */
export interface SharingLedger {
  /** Null: no such limit here. Opens the day if the clock has reached it. */
  quota(key: LimitKey): NodeQuota | null;
  /** Null: no such limit here. */
  rate(key: LimitKey): NodeRate | null;
  /** The store counts the day (dated) of this node: so many units more than the ledger has a record of, which are used. */
  agree(dated: LimitKey, units: number): void;
  /** By the store's clock, the day that the ledger is in has not come: back to the one that it is. */
  early(key: LimitKey): void;
  /** Another node has opened this day. */
  turn(key: LimitKey, day: string, startMs: number, endMs: number): void;
  credit(key: LimitKey, units: number): void;
  /** Whole units of a rate that no worker has. */
  idle(key: LimitKey): number;
  /** The store knows of so many of the units that were made here. */
  told(key: LimitKey, made: number): void;
  /** Takes back what no worker has of a rate. */
  takeIdle(key: LimitKey): number;
  /** What was asked for has come, or will not. */
  answered(key: LimitKey): void;
  /** Recalls what the workers hold; `done` when they have answered, or their time is over. */
  collect(key: LimitKey, done: () => void): void;
  /** The store answers again, or does not any more. */
  standing(): void;
}

export interface NodeQuota {
  readonly dated: LimitKey;
  readonly day: string;
  readonly startMs: number;
  readonly endMs: number;
  /** Lent or used. */
  readonly committed: number;
  readonly limit: number;
  /** What was used before is not known yet: nothing can be said of it. */
  readonly blocked: boolean;
  /** The store has counted it, and the ledger has forgotten nothing since. */
  readonly agreed: boolean;
}

export interface NodeRate {
  readonly limit: RateLimit;
  /** Unspent, as far as the ledger knows: with workers or not lent. */
  readonly held: number;
  /** Units made here of which the store does not know; infinite: how many is not known. */
  readonly made: number;
  /** ms for which no unit can have been granted here; infinite: never. */
  readonly idleMs: number;
}
