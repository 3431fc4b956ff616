/** What several rounds say together. */

export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/** @throws RangeError: no values */
export function spreadOf(values: readonly number[]): Spread {
  if (values.length === 0) throw new RangeError('the spread of no values');
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] as number;
  return {
    median: sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2,
    least: sorted[0] as number,
    most: sorted[sorted.length - 1] as number,
  };
}

/** Round by round, because what disturbs a round disturbs both sides of its ratio. @throws RangeError: different numbers of rounds */
export function ratios(values: readonly number[], to: readonly number[]): number[] {
  if (values.length !== to.length) throw new RangeError(`${values.length} rounds against ${to.length}`);
  return values.map((value, round) => value / (to[round] as number));
}

/** Nearest rank: the value of rank ceil(percent / 100 * count), one that was measured. @param sorted ascending. @throws RangeError: no values */
export function percentileOf(sorted: ArrayLike<number>, percent: number): number {
  if (sorted.length === 0) throw new RangeError('a percentile of no values');
  return sorted[Math.max(0, Math.ceil((sorted.length * percent) / 100) - 1)] as number;
}
