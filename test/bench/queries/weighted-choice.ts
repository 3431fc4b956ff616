/** Draws numbers 0 to n - 1 by their weights, at the same cost however many there are: Walker's alias method (Vose, 1991). */
import type { SeededRandom } from '../seeded-random.js';

export class WeightedChoice {
  readonly #kept: Float64Array;
  readonly #other: Uint32Array;

  /** @param weights one or more, none below 0, not all 0 */
  constructor(weights: readonly number[]) {
    const sum = weights.reduce((all, weight) => all + weight, 0);
    const shares = weights.map((weight) => (weight * weights.length) / sum);
    this.#kept = new Float64Array(weights.length).fill(1);
    this.#other = Uint32Array.from(weights, (_, i) => i);
    const small = shares.flatMap((share, i) => (share < 1 ? [i] : []));
    const large = shares.flatMap((share, i) => (share < 1 ? [] : [i]));
    for (let few = small.pop(), many = large.pop(); few !== undefined && many !== undefined; few = small.pop(), many = large.pop()) {
      this.#kept[few] = shares[few] as number;
      this.#other[few] = many;
      const rest = (shares[many] as number) + (shares[few] as number) - 1;
      shares[many] = rest;
      (rest < 1 ? small : large).push(many);
    }
  }

  draw(random: SeededRandom): number {
    const at = random.next() * this.#kept.length;
    const slot = Math.floor(at);
    return at - slot < (this.#kept[slot] as number) ? slot : this.#other[slot] as number;
  }
}
