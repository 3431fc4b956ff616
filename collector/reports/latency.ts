/** `GET /v1/reports/latency`: how many requests took how long, bucket of time by bucket of duration; a heatmap. */
import { csvLine, csvTime } from './csv.js';
import type { ParquetColumn } from './parquet.js';
import { durationBounds, durationCounts } from './percentiles.js';
import type { Row } from './report-store.js';
import { TidegateError } from '../../errors/tidegate-error.js';
import { bucketsOf, openReport, ownRows, type OpenedReport, type TrafficDeps, type TrafficHead } from './traffic.js';
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

/** A row holds counts of a hundred durations. */
const STREAMED_PAGE_ROWS = 1000;

export const LATENCY_CSV_HEAD = csvLine(['time', 'from_ms', 'to_ms', 'requests', 'partial']);

/** Pairs of buckets in one answer of JSON: some megabytes of text. */
const MAX_PAIRS = 100_000;

/** @throws as openReport; report_too_large */
export async function latencyReport(deps: TrafficDeps, query: TrafficQuery, signal?: AbortSignal): Promise<LatencyReport> {
  const opened = await openReport(deps, query, signal);
  const rows: LatencyRow[] = [];
  let pairs = 0;
  for await (const row of latencyRows(opened)) {
    rows.push(row);
    pairs += row.durations.length;
    if (pairs > MAX_PAIRS) throw new TidegateError('report_too_large', `The heatmap has more than ${MAX_PAIRS} counts: ask for a shorter range, or as csv or ndjson, which are streamed.`);
  }
  return { ...opened.head, rows };
}

/** All rows, some in memory at a time. @throws as openReport */
export async function* latencyRows(opened: OpenedReport): AsyncGenerator<LatencyRow> {
  const bucketOf = bucketsOf(opened.reading, opened.asOfMs);
  for await (const row of ownRows(opened, STREAMED_PAGE_ROWS)) yield { ...bucketOf(row), ...durationsOf(row) };
}

function durationsOf(row: Row): Pick<LatencyRow, 'requests' | 'durations'> {
  const counts = durationCounts(row['n_latency']);
  return { requests: counts.reduce((sum, [, count]) => sum + count, 0), durations: counts.map(([bucket, count]) => [...durationBounds(bucket), count] as const) };
}

/** A line for each pair of buckets; of a bucket without requests one that says so. */
export function latencyCsv({ time: instant, durations, partial }: LatencyRow, { dates, timeZone }: Pick<TrafficQuery, 'dates' | 'timeZone'>): string {
  const time = csvTime(instant, dates, timeZone);
  if (durations.length === 0) return csvLine([time, '', '', 0, partial]);
  return durations.map((cells) => csvLine([time, ...cells, partial])).join('');
}

/** A cell of the heatmap, as a line of CSV is. */
type LatencyCell = readonly [time: string, fromMs: number | null, toMs: number | null, requests: number, partial: boolean];

export const LATENCY_PARQUET: readonly ParquetColumn<LatencyCell>[] = [
  { name: 'time', type: 'text', of: ([time]) => time },
  { name: 'from_ms', type: 'real', nullable: true, of: ([, fromMs]) => fromMs },
  { name: 'to_ms', type: 'real', nullable: true, of: ([, , toMs]) => toMs },
  { name: 'requests', type: 'integer', of: ([, , , requests]) => requests },
  { name: 'partial', type: 'boolean', of: ([, , , , partial]) => partial },
];

export async function* latencyCells(rows: AsyncIterable<LatencyRow>): AsyncGenerator<LatencyCell> {
  for await (const { time, durations, partial } of rows) {
    if (durations.length === 0) yield [time, null, null, 0, partial];
    for (const cells of durations) yield [time, ...cells, partial];
  }
}
