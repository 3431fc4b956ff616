import { isQuota } from '../../policies/limits/keys.js';
import type { LimitKey } from '../protocol.js';

/** Demand is measured over this at least. */
const LEAST_SPAN_MS = 50;
/** Demand that a node's share is to cover: a quota's outlives a Redis that is away for a moment. */
const QUOTA_HORIZON_MS = 2000;
const RATE_HORIZON_MS = 200;
/** Days kept in mind: today, and the one before it whose last requests are under way. */
const DAYS = 2;

/** What a node knows of one limit that it shares. */
export class SharedKey {
  readonly key: LimitKey;
  readonly quota: boolean;
  /** Of what Redis holds of this node; -1: not known. */
  version = -1;
  /** In which it was told what this node holds; '': none. */
  epoch = '';
  /** The call under way, and whether another is to follow. */
  calling: Promise<void> | null = null;
  again = false;
  /** Units to ask for with the next call, and with the one under way. */
  want = 0;
  asking = 0;
  /** Units that Redis had left when it spoke last. */
  left = 0;
  /** Redis had none for us, and none has come since. */
  denied = false;
  /** Redis did not answer the last call, or waits for others. */
  failed = false;
  /** Not asked again before (monotonic ms). */
  emptyUntilMs = 0;
  lentAtMs = 0;
  recalledAtMs = Number.NEGATIVE_INFINITY;
  /** Other nodes were asked to give back; who has not answered. */
  recall: { readonly missing: Set<string>; readonly timer: NodeJS.Timeout } | null = null;
  /** Quotas, by dated key: what the node may have lent or used in all. */
  readonly ceilings = new Map<LimitKey, number>();
  /** Rates: as told last. */
  toldHeld = 0;
  /** Rates: units to give back with the next call. */
  back = 0;
  #consumed = 0;
  #target = 1;
  #askedAtMs = 0;

  constructor(key: LimitKey) {
    this.key = key;
    this.quota = isQuota(key);
  }

  /** Never less than what is committed. */
  ceiling(dated: LimitKey, committed: number): number {
    const ceiling = Math.max(this.ceilings.get(dated) ?? committed, committed);
    this.ceilings.set(dated, ceiling);
    if (this.ceilings.size > DAYS) {
      const [oldest = ''] = this.ceilings.keys();
      this.ceilings.delete(oldest);
    }
    return ceiling;
  }

  lent(units: number, nowMs: number): void {
    this.#consumed += units;
    this.lentAtMs = nowMs;
  }

  /** Whether more is to be asked for, with so much in hand. */
  isLow(idle: number): boolean {
    return idle <= this.#target / 2;
  }

  /** What to ask for: what is missing, and what demand will take soon. Up at once, down by halves. */
  nextWant(missing: number, idle: number, nowMs: number): number {
    const perMs = this.#consumed / Math.max(LEAST_SPAN_MS, nowMs - this.#askedAtMs);
    const demand = Math.ceil(perMs * (this.quota ? QUOTA_HORIZON_MS : RATE_HORIZON_MS));
    this.#target = Math.max(1, demand >= this.#target ? demand : Math.ceil((this.#target + demand) / 2));
    this.#consumed = 0;
    this.#askedAtMs = nowMs;
    return Math.max(1, missing, this.#target + missing - idle);
  }
}
