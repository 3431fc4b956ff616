/** Every value is kept, eight bytes each, so that no percentile is rounded. */
import { percentileOf } from '../statistics.js';

export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly worst: number;
}

/** By nearest rank: each is a value that was measured. Sorts `values`. @throws RangeError: none */
export function percentilesOf(values: Float64Array): Percentiles {
  values.sort();
  const at = (percent: number): number => percentileOf(values, percent);
  return { p50: at(50), p99: at(99), p999: at(99.9), worst: at(100) };
}
