/** The targets of one service and the balancer that chooses among them. One a snapshot and service. */
import type { Target } from './target.js';

export interface UpstreamTargets {
  readonly all: readonly Target[];
  /** The next target that is neither in `tried` nor passed over for a refusal; if all are passed over, the one due soonest; null: all tried. */
  pick(nowMs: number, tried: readonly Target[] | null): Target | null;
}

export interface WeightedTarget {
  readonly target: Target;
  readonly weight: number;
}

export type Balancer = 'round_robin' | 'weighted_round_robin' | 'random';

/** `random()` gives [0, 1). */
export function balance(balancer: Balancer, entries: readonly WeightedTarget[], random: () => number): UpstreamTargets {
  if (balancer === 'random') return new RandomTargets(entries, random);
  return new SmoothRoundRobin(balancer === 'round_robin' ? entries.map(({ target }) => ({ target, weight: 1 })) : entries);
}

const usable = (target: Target, nowMs: number, tried: readonly Target[] | null): boolean =>
  (tried === null || !tried.includes(target)) && !target.isSkipped(nowMs);

/** When every target is passed over: better the one due soonest than none (as nginx does). */
function dueSoonest(all: readonly Target[], tried: readonly Target[] | null): Target | null {
  let best: Target | null = null;
  for (const target of all) {
    if (tried !== null && tried.includes(target)) continue;
    if (best === null || target.skippedUntilMs < best.skippedUntilMs) best = target;
  }
  return best;
}

/**
 * Smooth weighted round robin (nginx, 2012): each pick raises every candidate's score by its weight and takes the highest, which pays
 * the candidates' total. 5:1:1 gives a a b a c a a, not a a a a a b c. With weights of 1 it is plain round robin.
 */
class SmoothRoundRobin implements UpstreamTargets {
  readonly all: readonly Target[];
  readonly #weights: readonly number[];
  readonly #scores: Float64Array;

  constructor(entries: readonly WeightedTarget[]) {
    this.all = entries.map(({ target }) => target);
    this.#weights = entries.map(({ weight }) => weight);
    this.#scores = new Float64Array(entries.length);
  }

  pick(nowMs: number, tried: readonly Target[] | null): Target | null {
    const all = this.all;
    if (all.length === 1) {
      const only = all[0] as Target;
      return tried !== null && tried.includes(only) ? null : only;
    }
    let total = 0;
    let best = -1;
    for (let i = 0; i < all.length; i++) {
      if (!usable(all[i] as Target, nowMs, tried)) continue;
      const weight = this.#weights[i] as number;
      total += weight;
      const score = (this.#scores[i] as number) + weight;
      this.#scores[i] = score;
      if (best < 0 || score > (this.#scores[best] as number)) best = i;
    }
    if (best < 0) return dueSoonest(all, tried);
    this.#scores[best] = (this.#scores[best] as number) - total;
    return all[best] as Target;
  }
}

/** Random by weight. */
class RandomTargets implements UpstreamTargets {
  readonly all: readonly Target[];
  readonly #weights: readonly number[];
  readonly #random: () => number;

  constructor(entries: readonly WeightedTarget[], random: () => number) {
    this.all = entries.map(({ target }) => target);
    this.#weights = entries.map(({ weight }) => weight);
    this.#random = random;
  }

  pick(nowMs: number, tried: readonly Target[] | null): Target | null {
    let total = 0;
    for (let i = 0; i < this.all.length; i++) {
      if (usable(this.all[i] as Target, nowMs, tried)) total += this.#weights[i] as number;
    }
    if (total === 0) return dueSoonest(this.all, tried);
    let point = this.#random() * total;
    for (let i = 0; i < this.all.length; i++) {
      const target = this.all[i] as Target;
      if (!usable(target, nowMs, tried)) continue;
      point -= this.#weights[i] as number;
      if (point < 0) return target;
    }
    return dueSoonest(this.all, tried);
  }
}
