import type { LimitClock } from '../../policies/limits/clock.js';
import type { LeaseGrant, LeaseHolding, LimitKey } from '../protocol.js';
import type { RateLimit } from './limits.js';
import { RateBucket } from './rate-bucket.js';
import type { NodeRate, SharedLimits } from './shared-limits.js';

/**
 * The token buckets. They are not journalled; after a restart a bucket begins empty at the moment before which units may have been granted
 * (`fromMs`), and fills from there, so that the restart gives nobody a second burst.
 */
export class RateBook {
  readonly #clock: LimitClock;
  /** Monotonic ms; null: nothing was granted before, buckets begin full. */
  readonly #fromMs: number | null;
  readonly #buckets = new Map<LimitKey, RateBucket>();
  readonly #shared: SharedLimits | null;
  /** Units that this node made itself, and the store was not told; infinite: how many is not known. */
  readonly #made = new Map<LimitKey, number>();
  #limits: ReadonlyMap<LimitKey, RateLimit> = new Map();

  constructor(clock: LimitClock, fromMs: number | null, shared: SharedLimits | null) {
    this.#clock = clock;
    this.#shared = shared;
    this.#fromMs = fromMs;
  }

  /** Answers the keys whose limit is another than before. Tokens and what is out stay. */
  configure(limits: ReadonlyMap<LimitKey, RateLimit>): LimitKey[] {
    this.#limits = limits;
    const changed: LimitKey[] = [];
    for (const [key, bucket] of this.#buckets) {
      const limit = limits.get(key);
      if (limit === undefined) {
        this.#buckets.delete(key);
        changed.push(key);
      } else if (bucket.configure(limit, this.#clock.monotonicMs())) changed.push(key);
    }
    return changed;
  }

  available(key: LimitKey): number {
    return this.#bucket(key)?.available(this.#clock.monotonicMs()) ?? Number.MAX_SAFE_INTEGER;
  }

  /** Grants `want`, or a fair share of what is there; null: no token is there. */
  tryGrant(key: LimitKey, stream: string, want: number, workers: number): LeaseGrant | null {
    const bucket = this.#bucket(key);
    // the limit is gone: those who still ask finish on the configuration they began with
    if (bucket === null) return answer(key, want, want, null, 0);
    const available = bucket.available(this.#clock.monotonicMs());
    if (available < 1) return null;
    const granted = Math.min(want, workers > 1 ? Math.max(1, Math.floor(available / (2 * workers))) : available);
    bucket.grant(stream, granted);
    if (this.#shared === null) return answer(key, granted, available - granted, bucket, 0);
    if (this.#shared.share() > 0) this.#made.set(key, Number.POSITIVE_INFINITY);
    return { ...answer(key, granted, available - granted + this.#shared.left(key), bucket, 0), share: this.#shared.alone() };
  }

  denied(key: LimitKey): LeaseGrant {
    const bucket = this.#bucket(key);
    const waitMs = this.#shared?.up === true ? this.#shared.waitMs(key) : bucket?.waitMs(this.#clock.monotonicMs()) ?? 1;
    const denied = answer(key, 0, 0, bucket, waitMs);
    if (this.#shared === null) return denied;
    const shared = { ...denied, share: this.#shared.alone() };
    return this.#shared.unknown(key) ? { ...shared, unavailable: true } : shared;
  }

  /** Null: no such limit. */
  node(key: LimitKey): NodeRate | null {
    const bucket = this.#bucket(key);
    const limit = this.#limits.get(key);
    if (bucket === null || limit === undefined) return null;
    const nowMs = this.#clock.monotonicMs();
    bucket.available(nowMs);
    const lastMs = Math.max(bucket.lastGrantMs, this.#fromMs ?? Number.NEGATIVE_INFINITY);
    return { limit, held: bucket.held, made: this.#made.get(key) ?? 0, idleMs: bucket.held > 0 ? 0 : nowMs - lastMs };
  }

  /** The store knows of so many of the units that were made here. More may have been made meanwhile. */
  told(key: LimitKey, made: number): void {
    const left = made === Number.POSITIVE_INFINITY ? 0 : (this.#made.get(key) ?? 0) - made;
    if (left > 0) this.#made.set(key, left);
    else this.#made.delete(key);
  }

  credit(key: LimitKey, units: number): void {
    this.#bucket(key)?.credit(units, this.#clock.monotonicMs());
  }

  takeIdle(key: LimitKey): number {
    return this.#buckets.get(key)?.takeIdle(this.#clock.monotonicMs()) ?? 0;
  }

  /** The store answers again, or does not: buckets mint what is this node's to make. */
  standing(): void {
    const share = this.#shared?.share() ?? 1;
    for (const bucket of this.#buckets.values()) bucket.share(share, this.#clock.monotonicMs());
  }

  used(key: LimitKey, stream: string, units: number): void {
    this.#buckets.get(key)?.used(stream, units, this.#clock.monotonicMs());
  }

  /** A worker made units while it had no answer. Of a rate that the store mints, the store must take off what the node did not have. */
  made(key: LimitKey, stream: string, units: number): void {
    const short = this.#bucket(key)?.made(stream, units, this.#clock.monotonicMs()) ?? 0;
    if (this.#shared === null) return;
    // while the store is away, what the node had is not known to it either
    if (this.#shared.share() > 0) this.#made.set(key, Number.POSITIVE_INFINITY);
    else if (short > 0) this.#made.set(key, (this.#made.get(key) ?? 0) + short);
  }

  giveBack(key: LimitKey, stream: string, units: number): void {
    this.#buckets.get(key)?.giveBack(stream, units, this.#clock.monotonicMs());
  }

  /** What a worker says it holds of all rates. */
  declare(stream: string, held: readonly LeaseHolding[]): void {
    const nowMs = this.#clock.monotonicMs();
    const units = new Map(held.map((holding) => [holding.key, holding.held]));
    for (const key of units.keys()) this.#bucket(key);
    for (const [key, bucket] of this.#buckets) bucket.declare(stream, units.get(key) ?? 0, nowMs);
    // while nobody could be asked, the workers made what this bucket would have
    for (const { key, used } of held) {
      if (used === 0) continue;
      this.#buckets.get(key)?.empty(nowMs);
      if (this.#shared !== null) this.#made.set(key, Number.POSITIVE_INFINITY);
    }
  }

  holders(key: LimitKey): string[] {
    return [...this.#buckets.get(key)?.holders() ?? []];
  }

  overdrawn(key: LimitKey): boolean {
    return this.#buckets.get(key)?.overdrawn ?? false;
  }

  *status(): Generator<{ readonly key: LimitKey; readonly limit: number; readonly used: null; readonly leased: number }> {
    for (const [key, { qps }] of this.#limits) yield { key, limit: qps, used: null, leased: this.#buckets.get(key)?.outstanding ?? 0 };
  }

  #bucket(key: LimitKey): RateBucket | null {
    const known = this.#buckets.get(key);
    if (known !== undefined) return known;
    const limit = this.#limits.get(key);
    if (limit === undefined) return null;
    const nowMs = this.#clock.monotonicMs();
    const tokens = this.#fromMs === null ? limit.burst : limit.qps * Math.max(0, nowMs - this.#fromMs) / 1000;
    const bucket = new RateBucket(limit, this.#shared === null ? tokens : 0, nowMs);
    if (this.#shared !== null) bucket.share(this.#shared.share(), nowMs);
    this.#buckets.set(key, bucket);
    return bucket;
  }
}

function answer(key: LimitKey, granted: number, remaining: number, bucket: RateBucket | null, retryAfterMs: number): LeaseGrant {
  return { key, granted, remaining, limit: bucket?.qps ?? 0, burst: bucket?.burst ?? 0, retryAfterMs, dayStartMs: 0, dayEndMs: 0 };
}
