/** Nearest rank: the value of rank ceil(percent / 100 * count). @throws RangeError: no values */
export function percentile(values: readonly number[], percent: number): number {
  if (values.length === 0) throw new RangeError('a percentile of no values');
  return values.toSorted((a, b) => a - b)[Math.ceil((percent * values.length) / 100) - 1] as number;
}
