import type { LimitClock } from '../../policies/limits/clock.js';
import type { LeaseGrant, LeaseHolding, LimitKey } from '../protocol.js';
import type { RateLimit } from './limits.js';
import { RateBucket } from './rate-bucket.js';

/**
 * The token buckets. They are not journalled; after a restart a bucket begins empty at the moment before which units may have been granted
 * (`fromMs`), and fills from there, so that the restart gives nobody a second burst.
 */
export class RateBook {
  readonly #clock: LimitClock;
  /** Monotonic ms; null: nothing was granted before, buckets begin full. */
  readonly #fromMs: number | null;
  readonly #buckets = new Map<LimitKey, RateBucket>();
  #limits: ReadonlyMap<LimitKey, RateLimit> = new Map();

  constructor(clock: LimitClock, fromMs: number | null) {
    this.#clock = clock;
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
    return answer(key, granted, available - granted, bucket, 0);
  }

  denied(key: LimitKey): LeaseGrant {
    const bucket = this.#bucket(key);
    return answer(key, 0, 0, bucket, bucket?.waitMs(this.#clock.monotonicMs()) ?? 1);
  }

  used(key: LimitKey, stream: string, units: number): void {
    this.#buckets.get(key)?.used(stream, units, this.#clock.monotonicMs());
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
    for (const { key, used } of held) if (used > 0) this.#buckets.get(key)?.empty(nowMs);
  }

  holders(key: LimitKey): string[] {
    return [...this.#buckets.get(key)?.holders() ?? []];
  }

  overdrawn(key: LimitKey): boolean {
    return this.#buckets.get(key)?.overdrawn ?? false;
  }

  *status(): Generator<{ readonly key: LimitKey; readonly limit: number; readonly used: null; readonly leased: number }> {
    for (const [key, bucket] of this.#buckets) yield { key, limit: bucket.qps, used: null, leased: bucket.outstanding };
  }

  #bucket(key: LimitKey): RateBucket | null {
    const known = this.#buckets.get(key);
    if (known !== undefined) return known;
    const limit = this.#limits.get(key);
    if (limit === undefined) return null;
    const nowMs = this.#clock.monotonicMs();
    const tokens = this.#fromMs === null ? limit.burst : limit.qps * Math.max(0, nowMs - this.#fromMs) / 1000;
    const bucket = new RateBucket(limit, tokens, nowMs);
    this.#buckets.set(key, bucket);
    return bucket;
  }
}

function answer(key: LimitKey, granted: number, remaining: number, bucket: RateBucket | null, retryAfterMs: number): LeaseGrant {
  return { key, granted, remaining, limit: bucket?.qps ?? 0, burst: bucket?.burst ?? 0, retryAfterMs, dayStartMs: 0, dayEndMs: 0 };
}
