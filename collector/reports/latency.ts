/** `GET /v1/reports/latency`: how many requests took how long, bucket of time by bucket of duration; a heatmap. */
import { durationBounds, durationCounts } from './percentiles.js';
import type { Row } from './report-store.js';
import { bucketsOf, openReport, ownRows, type OpenedReport, type TrafficDeps, type TrafficHead } from './traffic.js';
import { csvLine } from './traffic-format.js';
import type { TrafficQuery } from './traffic-query.js';

export interface LatencyRow {
  /** RFC 3339 in the report's zone: the bucket's calendar start. */
  readonly time: string;
  /** Let through to an upstream: those that have a duration. */
  readonly requests: number;
  /** Ascending; [from, to) in milliseconds, and the requests in it. Those without any are left out. */
  readonly durations: readonly (readonly [fromMs: number, toMs: number, requests: number])[];
  readonly partial: boolean;
}

export interface LatencyReport extends TrafficHead {
  readonly rows: readonly LatencyRow[];
}

export const LATENCY_CSV_HEAD = csvLine(['time', 'from_ms', 'to_ms', 'requests', 'partial']);

/** @throws as openReport */
export async function latencyReport(deps: TrafficDeps, query: TrafficQuery, signal?: AbortSignal): Promise<LatencyReport> {
  const opened = await openReport(deps, query, signal);
  const rows: LatencyRow[] = [];
  for await (const row of latencyRows(opened)) rows.push(row);
  return { ...opened.head, rows };
}

/** No more than there are buckets in the range. */
async function* latencyRows(opened: OpenedReport): AsyncGenerator<LatencyRow> {
  const bucketOf = bucketsOf(opened.reading, opened.asOfMs);
  for await (const row of ownRows(opened)) yield { ...bucketOf(row), ...durationsOf(row) };
}

function durationsOf(row: Row): Pick<LatencyRow, 'requests' | 'durations'> {
  const counts = durationCounts(row['n_latency']);
  return { requests: counts.reduce((sum, [, count]) => sum + count, 0), durations: counts.map(([bucket, count]) => [...durationBounds(bucket), count] as const) };
}

/** A line for each pair of buckets. */
export function latencyCsv({ time, durations, partial }: LatencyRow): string {
  return durations.map((cells) => csvLine([time, ...cells, partial])).join('');
}
