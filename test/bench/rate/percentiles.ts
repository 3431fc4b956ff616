/** Every value is kept, eight bytes each, so that no percentile is rounded. */

export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly worst: number;
}

/** By nearest rank: each is a value that was measured. Sorts `values`. @throws RangeError: none */
export function percentilesOf(values: Float64Array): Percentiles {
  if (values.length === 0) throw new RangeError('percentiles of no values');
  values.sort();
  const at = (percent: number): number => values[Math.max(0, Math.ceil(values.length * percent / 100) - 1)] as number;
  return { p50: at(50), p99: at(99), p999: at(99.9), worst: at(100) };
}
