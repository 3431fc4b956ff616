/** `GET /v1/reports/traffic`: requests, errors, refusals, bytes and latency by calendar bucket and group. */
import { InvalidParameterError } from '../../errors/invalid-parameter.js';
import { TidegateError } from '../../errors/tidegate-error.js';
import { bucketBounds, EARLIEST_MS, formatInstant } from './calendar.js';
import { isRecorded, toldTo, type Verdict } from './completeness-answers.js';
import { writeCursor } from './cursor.js';
import { keptRange, rawFor, type KeptDeps } from './kept-range.js';
import { summarise, type DurationSummary } from './percentiles.js';
import { MAX_ROWS, type Asker, type Row } from './report-store.js';
import type { Group, TrafficQuery } from './traffic-query.js';
import { filled, foundRows, keysOf, keyText, periodBefore, positionOf, topGroups, type PeriodBefore, type Reading } from './traffic-rows.js';
import { chooseSource, firstPathStatement, gapRow, isGap, keyNames, statementParams } from './traffic-statement.js';

export interface TrafficSums {
  readonly requests: number;
  readonly errors: number;
  readonly refused: number;
  readonly bytes_in: number;
  readonly bytes_out: number;
  readonly duration_ms: DurationSummary;
}

/** One row of the answer: a bucket, the groups asked for, and the sums. */
export interface TrafficRow extends TrafficSums {
  /** RFC 3339 in the report's zone: the bucket's calendar start, also where the range begins later. */
  readonly time: string;
  /** Null: of `others`. */
  readonly groups: Readonly<Partial<Record<Group, string | number | null>>>;
  /** All groups together that are not among the largest. */
  readonly others: boolean;
  /** The bucket was not over as of the report, or the range has only a part of it. */
  readonly partial: boolean;
  /** The same of the period before. */
  readonly previous?: TrafficSums & { readonly time: string };
}

/** What is said of the whole report. */
export interface TrafficHead {
  /** Everything admitted and answered before this is in the numbers. */
  readonly as_of: string;
  readonly from: string;
  readonly to: string;
  readonly interval: string;
  readonly time_zone: string;
  /** The range that was asked for is longer: of the rest nothing is kept. Absent: it is not. */
  readonly clipped?: true;
  /** Of the range there is no record of this gateway: it was over when the record began, or has not begun. Absent: there is. */
  readonly recorded?: false;
  /** Since when there is a record, where the range begins earlier. */
  readonly recorded_from?: string;
  /** False: something of the range, or of the period before, is known to be missing, or not proven to be whole; `missing` says what. */
  readonly complete: boolean;
  readonly missing: readonly string[];
  /** With groups by path: when the first event began whose path is kept; null: none of the range is. What came before it has the path ''. */
  readonly paths_from?: string | null;
  /** What the rows are compared with. */
  readonly previous?: { readonly from: string; readonly to: string; readonly recorded?: false; readonly recorded_from?: string };
}

export interface TrafficReport extends TrafficHead {
  /** By time, then by group, or with `top` by place. Buckets and groups without events only where they are asked for. */
  readonly rows: readonly TrafficRow[];
  /** The cursor of the next page; null: this was the last. Absent: no pages were asked for. */
  readonly next?: string | null;
}

export interface TrafficDeps extends KeptDeps {
  /** ms since the epoch; everything recorded before it is stored. */
  asOfMs(): number;
  /** Is what was recorded in the range there and whole, as far as time has gone? */
  completeness(fromMs: number, toMs: number, asker: Asker): Promise<Verdict>;
}

/** Of a report that is streamed: what one turn at the store brings into memory. */
const STREAMED_PAGE_ROWS = 10_000;

/** What has been read before the first row. */
export interface OpenedReport {
  readonly head: TrafficHead;
  readonly asOfMs: number;
  /** Null: nothing is compared. */
  readonly before: PeriodBefore | null;
  readonly reading: Reading;
}

/** @throws range_not_kept, report_too_large, report_busy, and what the store throws */
export async function openReport(deps: TrafficDeps, asked: TrafficQuery, signal?: AbortSignal): Promise<OpenedReport> {
  // before the verdict, which then speaks for all up to it, and before the numbers, which hold all up to it
  const asOfMs = deps.asOfMs();
  const askedBounds = boundsOf(asked);
  const before = asked.compare ? periodBefore({ query: asked, bounds: askedBounds }, asOfMs) : null;
  if (before !== null && before.fromMs >= before.toMs) throw new InvalidParameterError('compare', 'the period before has no such part: ask for whole months');
  if ((before?.fromMs ?? asked.fromMs) < EARLIEST_MS) throw new InvalidParameterError('compare', 'the period before begins before 1971');
  // both are read from the same
  const source = chooseSource({ ...asked, fromMs: before?.fromMs ?? asked.fromMs }, [...(before?.bounds ?? []), ...askedBounds]);
  const asker: Asker = { principal: asked.principal, ...(signal === undefined ? {} : { signal }) };
  const range = { ...asked, fromMs: before?.fromMs ?? asked.fromMs };
  const kept = await keptRange(deps, range, source, asker, rawFor(asked)).catch((error: unknown) => { throw before === null ? error : ofPeriodBefore(error, before.fromMs); });
  // a period that is not there whole is none to compare with
  if (kept.clipped && before !== null) throw ofPeriodBefore(new TidegateError('range_not_kept', `What it is read from is kept since ${new Date(kept.fromMs).toISOString()}.`), before.fromMs);
  const query = kept.clipped ? { ...asked, fromMs: kept.fromMs, toMs: kept.toMs } : asked;
  const bounds = kept.clipped ? boundsOf(query) : askedBounds;
  const fromMs = before?.fromMs ?? query.fromMs;
  const judged = await deps.completeness(fromMs, query.toMs, asker);
  const verdict = toldTo(asker.principal, judged);
  const since = judged.recorded_from ?? null;
  // of both periods, or a group that has gone would be none of the largest, and none of the others
  const top = await topGroups({ store: deps.store, asker, query: { ...query, fromMs }, source, bounds });
  const paths = query.groupBy.includes('path') ? await deps.store.query(firstPathStatement(query), statementParams(query, bounds), asker) : null;
  const firstPathMs = Number(paths?.[0]?.['first_ms'] ?? 0);
  const zone = query.timeZone;
  const recordOf = (span: { readonly fromMs: number; readonly toMs: number }): Pick<TrafficHead, 'recorded' | 'recorded_from'> => ({
    ...(isRecorded(judged, span, deps.nowMs()) ? {} : { recorded: false }), ...(since !== null && Date.parse(since) > span.fromMs ? { recorded_from: formatInstant(Date.parse(since), zone) } : {}),
  });
  return {
    head: {
      as_of: formatInstant(asOfMs, zone), from: formatInstant(query.fromMs, zone), to: formatInstant(query.toMs, zone),
      interval: query.interval, time_zone: zone, ...(kept.clipped ? { clipped: true } : {}),
      ...recordOf(query),
      complete: verdict.complete, missing: verdict.reasons, ...(paths === null ? {} : { paths_from: firstPathMs > 0 ? formatInstant(firstPathMs, zone) : null }),
      ...(before === null ? {} : { previous: { from: formatInstant(before.fromMs, zone), to: formatInstant(before.toMs, zone), ...recordOf(before) } }),
    },
    asOfMs, before, reading: { store: deps.store, asker, query, source, bounds, top },
  };
}

/** @throws report_too_large */
function boundsOf({ interval, timeZone, fromMs, toMs }: TrafficQuery): number[] {
  const bounds = bucketBounds(interval, timeZone, fromMs, toMs);
  if (bounds.length - 1 > MAX_ROWS) throw new TidegateError('report_too_large', `The range has ${bounds.length - 1} buckets; at most ${MAX_ROWS}.`);
  return bounds;
}

/** The whole report, or the page that was asked for. @throws as openReport */
export async function trafficReport(deps: TrafficDeps, query: TrafficQuery, signal?: AbortSignal): Promise<TrafficReport> {
  const opened = await openReport(deps, query, signal);
  const most = query.limit ?? MAX_ROWS;
  const rows: Row[] = [];
  let more = false;
  for await (const row of opened.before !== null ? comparedRows(opened, opened.before) : ownRows(opened, most + 1)) {
    more = rows.length === most;
    if (more) break;
    rows.push(row);
  }
  if (more && query.limit === null) throw new TidegateError('report_too_large', `The report has more than ${MAX_ROWS} rows: ask for pages (limit), or as csv or ndjson, which are streamed.`);
  const last = rows.at(-1);
  return {
    ...opened.head, rows: rows.map(rowMaker(opened)),
    ...(query.limit === null ? {} : { next: more && last !== undefined ? writeCursor(query, positionOf(last, query)) : null }),
  };
}

/** All rows, some in memory at a time. @throws as openReport */
export async function* streamedRows(opened: OpenedReport, pageRows = STREAMED_PAGE_ROWS): AsyncGenerator<TrafficRow> {
  const make = rowMaker(opened);
  for await (const row of opened.before !== null ? comparedRows(opened, opened.before) : ownRows(opened, pageRows)) yield make(row);
}

/** The engine's rows of the range, with `fill` also those of gaps. @throws as openReport */
export async function* ownRows({ reading, asOfMs }: OpenedReport, pageRows = MAX_ROWS + 1): AsyncGenerator<Row> {
  // before the rows: a group that comes up between the two is not of this report
  const keys = reading.query.fill ? await keysOf(reading) : null;
  const found = foundRows(reading, pageRows);
  yield* keys === null ? found : filled(found, reading, keys, asOfMs);
}

/** Rows of either period with those of the other; `before` holds the sums of the period before. */
async function* comparedRows({ reading, asOfMs }: OpenedReport, before: PeriodBefore): AsyncGenerator<Row> {
  const { query, bounds } = reading;
  const then: Reading = { ...reading, bounds: before.bounds, query: { ...query, fromMs: before.fromMs, toMs: before.toMs } };
  const keys = await keysOf({ ...reading, bounds: [...before.bounds.slice(0, -1), ...bounds], query: { ...query, fromMs: before.fromMs } });
  if (keys.length * (bounds.length - 1) > MAX_ROWS) throw new TidegateError('report_too_large', `${bounds.length - 1} buckets of ${keys.length} groups are compared; at most ${MAX_ROWS} together.`);
  const names = keyNames(query);
  const startOf = new Map(before.bounds.slice(0, -1).map((startMs, index) => [Math.floor(startMs / 1000), Math.floor(bounds[index] as number / 1000)]));
  const earlier = new Map<string, Row>();
  for await (const row of foundRows(then, MAX_ROWS + 1)) earlier.set(`${startOf.get(Number(row['bucket']))} ${keyText(row, names)}`, row);
  // buckets to come have an earlier one too
  for await (const row of filled(foundRows(reading, MAX_ROWS + 1), reading, keys, Number.POSITIVE_INFINITY)) {
    const previous = earlier.get(`${Number(row['bucket'])} ${keyText(row, names)}`);
    const isToCome = Number(row['bucket']) * 1000 >= asOfMs;
    if ((query.fill && !isToCome) || previous !== undefined || !isGap(row)) yield { ...row, before: previous ?? gapRow(0, {}) };
  }
}

/** What is compared reaches further back than what was asked for. */
function ofPeriodBefore(error: unknown, fromMs: number): unknown {
  if (!(error instanceof TidegateError) || error.code !== 'range_not_kept') return error;
  return new TidegateError('range_not_kept', `The period before begins ${new Date(fromMs).toISOString()}. ${error.message}`, { cause: error });
}

/** When a bucket began, and whether the report has all of it. */
export interface Bucket { readonly time: string; readonly partial: boolean }

/** By the bucket's start as SQL says it: many rows share one. @throws internal_error */
export function bucketsOf({ query, bounds }: Pick<Reading, 'query' | 'bounds'>, asOfMs: number): (row: Row) => Bucket {
  const buckets = new Map<number, Bucket>();
  for (let i = 0; i + 1 < bounds.length; i++) {
    const [startMs, endMs] = [bounds[i] as number, bounds[i + 1] as number];
    buckets.set(Math.floor(startMs / 1000), { time: formatInstant(startMs, query.timeZone), partial: endMs > asOfMs || startMs < query.fromMs || endMs > query.toMs });
  }
  return (row) => {
    const bucket = buckets.get(Number(row['bucket']));
    if (bucket === undefined) throw new TidegateError('internal_error', 'the store answered a bucket that was not asked for');
    return bucket;
  };
}

function rowMaker({ reading, asOfMs, before }: OpenedReport): (row: Row) => TrafficRow {
  const { query, bounds, top } = reading;
  const bucketOf = bucketsOf(reading, asOfMs);
  const timeBefore = before === null ? null : new Map(bounds.slice(0, -1).map((startMs, index) => [Math.floor(startMs / 1000), formatInstant(before.bounds[index] as number, query.timeZone)]));
  return (row) => {
    const { time, partial } = bucketOf(row);
    const place = top === null ? null : Number(row['place']) - 1;
    const others = place !== null && place >= (top?.values[0]?.length ?? 0);
    const groups: Partial<Record<Group, string | number | null>> = {};
    query.groupBy.forEach((group, index) => { groups[group] = others ? null : groupValue(group, place === null ? row[`g${index}`] : top?.values[index]?.[place]); });
    const previous = row['before'] as Row | undefined;
    return {
      time, groups, others, ...sumsOf(row), partial,
      ...(previous === undefined ? {} : { previous: { time: timeBefore?.get(Number(row['bucket'])) ?? '', ...sumsOf(previous) } }),
    };
  };
}

function sumsOf(row: Row): TrafficSums {
  return {
    requests: Number(row['n_requests']), errors: Number(row['n_errors']), refused: Number(row['n_refused']),
    bytes_in: Number(row['n_bytes_in']), bytes_out: Number(row['n_bytes_out']),
    duration_ms: summarise(row['n_latency'] as Record<string, unknown>, Number(row['n_duration_us'])),
  };
}

/** `2xx`; `none` where no status was sent. */
function groupValue(group: Group, value: unknown): string | number {
  if (group === 'status_class') return Number(value) === 0 ? 'none' : `${Number(value)}xx`;
  return group === 'status' ? Number(value) : String(value);
}
