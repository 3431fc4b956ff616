/** How many report queries an asker may make: so many a minute, and so many under way at once. The operator is not asked about here. */
import type { LimitAnswer } from '../exchange.js';

const WINDOW_MS = 60_000;
/** Of one asker, streams of live numbers among them: each holds a connection here and one at the collector. */
export const MOST_UNDER_WAY = 32;

interface Asker {
  /** GCRA, as in policies/client-ip-limit.ts: the theoretical arrival time, ms. */
  tatMs: number;
  underWay: number;
}

export interface QuotaAnswer {
  readonly refused: 'too_many' | 'under_way' | null;
  readonly fields: LimitAnswer;
}

/** One for both origins. Holds only who asked within the last two minutes, or has a query under way: never more than there are apps and tokens. */
export class ReportQuota {
  readonly #perMinute: () => number;
  readonly #askers = new Map<string, Asker>();
  #sweptMs = Number.NEGATIVE_INFINITY;

  /** @param perMinute as in force: a changed limit holds from the next query on */
  constructor(perMinute: () => number) {
    this.#perMinute = perMinute;
  }

  get size(): number {
    return this.#askers.size;
  }

  /** Counts a query that `asker` begins; one that is refused costs nothing, any other must leave() once. @param nowMs monotonic */
  enter(asker: string, nowMs: number): QuotaAnswer {
    this.#sweep(nowMs);
    const limit = this.#perMinute();
    const costMs = WINDOW_MS / limit;
    const of = this.#askers.get(asker) ?? { tatMs: nowMs, underWay: 0 };
    // no more than can be owed: the limit was changed
    const debtMs = Math.min(Math.max(of.tatMs - nowMs, 0), WINDOW_MS);
    const afterMs = debtMs + costMs;
    const answer = (refused: QuotaAnswer['refused'], remaining: number, resetSeconds: number): QuotaAnswer =>
      ({ refused, fields: { policy: 'reports', limit, windowSeconds: WINDOW_MS / 1000, remaining, resetSeconds } });
    // the rounding of fractions, over a minute
    if (afterMs > WINDOW_MS + costMs * 1e-6) return answer('too_many', 0, (afterMs - WINDOW_MS) / 1000);
    if (of.underWay >= MOST_UNDER_WAY) return answer('under_way', Math.floor((WINDOW_MS - debtMs) / costMs + 1e-6), 1);
    of.tatMs = nowMs + afterMs;
    of.underWay += 1;
    this.#askers.set(asker, of);
    return answer(null, Math.floor((WINDOW_MS - afterMs) / costMs + 1e-6), afterMs / 1000);
  }

  leave(asker: string): void {
    const of = this.#askers.get(asker);
    if (of !== undefined) of.underWay -= 1;
  }

  /** Whoever owes nothing and has nothing under way is as good as unknown. */
  #sweep(nowMs: number): void {
    if (nowMs - this.#sweptMs < WINDOW_MS) return;
    this.#sweptMs = nowMs;
    for (const [asker, { tatMs, underWay }] of this.#askers) if (tatMs <= nowMs && underWay === 0) this.#askers.delete(asker);
  }
}
