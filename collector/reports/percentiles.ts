/**
 * Percentiles out of log-scale bucket counts. Bucket i holds the durations d with i <= 8 * log2(max(d, 1 us)) < i + 1, so its bounds lie 2^(1/8) apart and its geometric middle is within
 * 4.5 % of everything in it. Bucket 0 holds what has no duration: 0 in the event, as of imported logs that say nothing of it. Counts merge by addition; percentiles never do.
 */
export interface DurationSummary {
  readonly avg: number | null;
  readonly p50: number | null;
  readonly p90: number | null;
  readonly p95: number | null;
  readonly p99: number | null;
}

export const PERCENTILES = ['p50', 'p90', 'p95', 'p99'] as const;
const NONE: DurationSummary = { avg: null, p50: null, p90: null, p95: null, p99: null };

/** Bucket of a duration in microseconds. The store's SQL says the same. */
export function bucketOf(durationUs: number): number {
  return Math.floor(8 * Math.log2(Math.max(durationUs, 1)));
}

/** Where a bucket begins and ends, in milliseconds, to four digits. */
export function durationBounds(bucket: number): readonly [fromMs: number, toMs: number] {
  return [boundMs(bucket), boundMs(bucket + 1)];
}

const boundMs = (bucket: number): number => Number((2 ** (bucket / 8) / 1000).toPrecision(4));

/** Geometric middle of a bucket, in milliseconds, to four digits. */
function middleMs(bucket: number): number {
  return Number((2 ** ((bucket + 0.5) / 8) / 1000).toPrecision(4));
}

/** Ascending, of durations that are known, without buckets that hold nothing. @param latency bucket to count, as the store answers it (keys are text in JSON) */
export function durationCounts(latency: unknown): (readonly [bucket: number, count: number])[] {
  return Object.entries(latency as Readonly<Record<string, unknown>>).map(([bucket, count]) => [Number(bucket), Number(count)] as const)
    .filter(([bucket, count]) => bucket > 0 && count > 0).sort(([a], [b]) => a - b);
}

/**
 * Nearest rank: pN is the value of rank ceil(N/100 * count).
 * @param latency as durationCounts takes it
 * @param sumUs sum of the durations counted in `latency`
 */
export function summarise(latency: Readonly<Record<string, unknown>>, sumUs: number): DurationSummary {
  const buckets = durationCounts(latency);
  const total = buckets.reduce((sum, [, count]) => sum + count, 0);
  if (total === 0) return NONE;
  const at = (percent: number): number => {
    const rank = Math.ceil((percent * total) / 100);
    let seen = 0;
    for (const [bucket, count] of buckets) {
      seen += count;
      if (seen >= rank) return middleMs(bucket);
    }
    return middleMs((buckets.at(-1) as readonly [number, number])[0]);
  };
  return { avg: Number((sumUs / total / 1000).toFixed(3)), p50: at(50), p90: at(90), p95: at(95), p99: at(99) };
}
