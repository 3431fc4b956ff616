/**
 * `GET /v1/reports/traffic`: requests, errors, refusals, bytes and latency by calendar bucket and group.
 *
 * One rule chooses what is read: raw events where only they know what is asked for; else the coarsest rollup whose step divides every
 * bound of the range; else, where a bound is no whole minute, raw events.
 */
import { TidegateError } from '../../errors/tidegate-error.js';
import type { QueryParams } from '../store/store.js';
import { bucketBounds, formatInstant } from './calendar.js';
import { summarise, type DurationSummary } from './percentiles.js';
import { toldTo, type Verdict } from './completeness-answers.js';
import { MAX_ROWS, REPORT_SETTINGS, type Asker, type ReportStore, type Row } from './report-store.js';
import { needsRaw, type Group, type TrafficQuery } from './traffic-query.js';

/** One row of the answer: a bucket, the groups asked for, and the sums. */
export interface TrafficRow {
  /** RFC 3339 in the report's zone: the bucket's calendar start, also where the range begins later. */
  readonly time: string;
  readonly groups: Readonly<Partial<Record<Group, string | number>>>;
  readonly requests: number;
  readonly errors: number;
  readonly refused: number;
  readonly bytes_in: number;
  readonly bytes_out: number;
  readonly duration_ms: DurationSummary;
  /** The bucket was not over as of the report, or the range has only a part of it. */
  readonly partial: boolean;
}

export interface TrafficReport {
  /** Everything admitted and answered before this is in the numbers. */
  readonly as_of: string;
  readonly from: string;
  readonly to: string;
  readonly interval: string;
  readonly time_zone: string;
  /** False: something of the range is known to be missing, or not proven to be whole; `missing` says what. */
  readonly complete: boolean;
  readonly missing: readonly string[];
  /** Only buckets and groups with events; by time, then by group. */
  readonly rows: readonly TrafficRow[];
}

export interface TrafficDeps {
  readonly store: ReportStore;
  /** ms since the epoch; everything recorded before it is stored. */
  asOfMs(): number;
  /** Is what was recorded in the range there and whole, as far as time has gone? */
  completeness(fromMs: number, toMs: number, asker: Asker): Promise<Verdict>;
  /** How far back each is kept. */
  kept(): { readonly eventsMs: number; readonly minutesMs: number; readonly quarterHoursMs: number };
  nowMs(): number;
}

type Source = 'events' | 'minutes' | 'quarter_hours';
const MINUTE_MS = 60_000;
const QUARTER_MS = 900_000;

/** A group's column, by what is read. Fixed text: nothing of a request ever becomes part of a statement. */
const GROUP_SQL: Readonly<Record<Group, { readonly events: string; readonly rollup: string | null }>> = {
  app: { events: 'toString(t.app)', rollup: 'toString(t.app)' },
  service: { events: 'toString(t.service)', rollup: 'toString(t.service)' },
  route: { events: 'toString(t.route)', rollup: 'toString(t.route)' },
  status_class: { events: 't.status_class', rollup: 't.status_class' },
  status: { events: 't.status', rollup: null },
  method: { events: 'toString(t.method)', rollup: null },
  outcome: { events: 'toString(t.outcome)', rollup: null },
  target: { events: 'toString(t.target)', rollup: null },
  config_version: { events: 'toString(t.config_version)', rollup: null },
};

/** As the rollups' views say it in migrations/. */
const EVENT_SUMS = `
  sum(t.requests) AS n_requests, sumIf(t.requests, t.error) AS n_errors, sumIf(t.requests, NOT t.let_through) AS n_refused,
  sum(t.bytes_in) AS n_bytes_in, sum(t.bytes_out) AS n_bytes_out,
  sumIf(t.duration_us, t.let_through AND t.requests = 1) AS n_duration_us,
  sumMapIf(map(toUInt16(floor(8 * log2(greatest(t.duration_us, 1)))), toUInt64(1)), t.let_through AND t.requests = 1) AS n_latency`;

const ROLLUP_SUMS = `
  sum(t.requests) AS n_requests, sum(t.errors) AS n_errors, sum(t.refused) AS n_refused, sum(t.bytes_in) AS n_bytes_in, sum(t.bytes_out) AS n_bytes_out,
  sum(t.duration_us) AS n_duration_us, sumMap(t.latency) AS n_latency`;

/** Table, range and sums of each source. Bucket bounds are whole seconds: roundDown searches the array for the start. */
const SOURCES: Readonly<Record<Source, { readonly table: string; readonly range: string; readonly sums: string }>> = {
  events: {
    table: 'tidegate.events', sums: EVENT_SUMS,
    range: "t.time >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC') AND t.time < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')",
  },
  minutes: {
    table: 'tidegate.traffic_minute', sums: ROLLUP_SUMS,
    range: "t.time >= toDateTime({from_s:UInt32}, 'UTC') AND t.time < toDateTime({to_s:UInt32}, 'UTC')",
  },
  quarter_hours: {
    table: 'tidegate.traffic_quarter_hour', sums: ROLLUP_SUMS,
    range: "t.time >= toDateTime({from_s:UInt32}, 'UTC') AND t.time < toDateTime({to_s:UInt32}, 'UTC')",
  },
};

/** @throws range_not_kept, report_too_large, and what the store throws */
export async function trafficReport(deps: TrafficDeps, query: TrafficQuery, signal?: AbortSignal): Promise<TrafficReport> {
  const bounds = bucketBounds(query.interval, query.timeZone, query.fromMs, query.toMs);
  if (bounds.length - 1 > MAX_ROWS) throw new TidegateError('report_too_large', `The range has ${bounds.length - 1} buckets; at most ${MAX_ROWS}.`);
  const source = chooseSource(query, bounds);
  const asker: Asker = { principal: query.tenant === null ? { kind: 'operator' } : { kind: 'app', app: query.tenant }, ...(signal === undefined ? {} : { signal }) };
  await requireKept(deps, query, source, asker);
  // before the verdict, which then speaks for all up to it, and before the numbers, which hold all up to it
  const asOfMs = deps.asOfMs();
  const verdict = toldTo(asker.principal, await deps.completeness(query.fromMs, query.toMs, asker));
  const found = await deps.store.query(statement(query, source), statementParams(query, bounds), asker);
  if (found.length > MAX_ROWS) throw new TidegateError('report_too_large', `The report has more than ${MAX_ROWS} rows.`);
  const zone = query.timeZone;
  return {
    as_of: formatInstant(asOfMs, zone), from: formatInstant(query.fromMs, zone), to: formatInstant(query.toMs, zone),
    interval: query.interval, time_zone: zone,
    complete: verdict.complete, missing: verdict.reasons,
    rows: toRows(found, query, bounds, asOfMs),
  };
}

function chooseSource(query: TrafficQuery, bounds: readonly number[]): Source {
  if (needsRaw(query)) return 'events';
  const divides = (stepMs: number): boolean => query.fromMs % stepMs === 0 && query.toMs % stepMs === 0
    && bounds.every((bound) => bound % stepMs === 0 || bound < query.fromMs || bound > query.toMs);
  if (divides(QUARTER_MS)) return 'quarter_hours';
  return divides(MINUTE_MS) ? 'minutes' : 'events';
}

/** Events may be gone before their time where the store's bound on disk took the oldest days: what was counted of them then says so. */
const GONE_SQL = `SELECT toUnixTimestamp(min(t.time)) AS gone_s, toUnixTimestamp((SELECT min(min_time) FROM system.parts WHERE database = 'tidegate' AND table = 'events' AND active)) AS kept_s
FROM tidegate.traffic_quarter_hour AS t
WHERE t.time >= toDateTime({from_s:UInt32}, 'UTC') AND t.time < toDateTime({to_s:UInt32}, 'UTC')
${REPORT_SETTINGS}`;

async function requireKept(deps: TrafficDeps, query: TrafficQuery, source: Source, asker: Asker): Promise<void> {
  const kept = deps.kept();
  const keptMs = source === 'events' ? kept.eventsMs : source === 'minutes' ? kept.minutesMs : kept.quarterHoursMs;
  const earliestMs = deps.nowMs() - keptMs;
  if (query.fromMs < earliestMs) throw notKept(query, source, earliestMs);
  if (source !== 'events') return;
  const [row] = await deps.store.query(GONE_SQL, { from_s: Math.floor(query.fromMs / QUARTER_MS) * 900, to_s: Math.floor(query.toMs / 1000) }, asker);
  const goneMs = Number(row?.['gone_s'] ?? 0) * 1000;
  const restMs = Number(row?.['kept_s'] ?? 0) * 1000;
  // a quarter of an hour begins up to 15 minutes before the first event in it
  if (goneMs > 0 && (restMs === 0 || goneMs + QUARTER_MS <= restMs)) throw notKept(query, source, restMs === 0 ? deps.nowMs() : restMs);
}

function notKept(query: TrafficQuery, source: Source, earliestMs: number): TidegateError {
  const since = new Date(earliestMs).toISOString();
  return new TidegateError('range_not_kept', source === 'events'
    ? `Raw events are kept since ${since}; they are needed for ${needsRaw(query) ? 'these filters or groups' : 'a range that does not begin and end on whole minutes'}.`
    : `Counts by ${source === 'minutes' ? 'minute' : 'quarter of an hour'} are kept since ${since}${source === 'minutes' ? '; ask for whole quarters of an hour' : ''}.`);
}

/** The statement is put together from the fixed pieces above, chosen by names that were parsed; every value is a typed parameter. */
export function statement(query: TrafficQuery, source: Source): string {
  const { table, range, sums } = SOURCES[source];
  const columns = query.groupBy.map((group, index) => {
    const sql = source === 'events' ? GROUP_SQL[group].events : GROUP_SQL[group].rollup;
    if (sql === null) throw new TidegateError('internal_error', `no rollup knows ${group}`);
    return `${sql} AS g${index}`;
  });
  const groups = ['bucket', ...query.groupBy.map((_, index) => `g${index}`)].join(', ');
  const conditions = [range];
  if (query.tenant !== null) conditions.push('t.app = {tenant:String}');
  if (query.texts.app.length > 0) conditions.push('t.app IN {app:Array(String)}');
  if (query.texts.service.length > 0) conditions.push('t.service IN {service:Array(String)}');
  if (query.texts.route.length > 0) conditions.push('t.route IN {route:Array(String)}');
  if (query.texts.target.length > 0) conditions.push('t.target IN {target:Array(String)}');
  if (query.texts.config_version.length > 0) conditions.push('t.config_version IN {config_version:Array(String)}');
  if (query.texts.method.length > 0) conditions.push('has({method:Array(String)}, toString(t.method))');
  if (query.texts.outcome.length > 0) conditions.push('has({outcome:Array(String)}, toString(t.outcome))');
  if (query.statuses.length > 0) conditions.push('has({statuses:Array(UInt16)}, t.status)');
  return `SELECT ${['roundDown(toUnixTimestamp(t.time), {starts:Array(UInt32)}) AS bucket', ...columns].join(', ')},${sums}
FROM ${table} AS t
WHERE ${conditions.join('\n  AND ')}
GROUP BY ${groups}
ORDER BY ${groups}
LIMIT ${MAX_ROWS + 1}
${REPORT_SETTINGS}`;
}

export function statementParams(query: TrafficQuery, bounds: readonly number[]): QueryParams {
  return {
    from_ms: query.fromMs, to_ms: query.toMs, from_s: Math.floor(query.fromMs / 1000), to_s: Math.floor(query.toMs / 1000),
    starts: bounds.slice(0, -1).map((bound) => Math.floor(bound / 1000)),
    statuses: query.statuses, ...query.texts, ...(query.tenant === null ? {} : { tenant: query.tenant }),
  };
}

function toRows(found: readonly Row[], query: TrafficQuery, bounds: readonly number[], asOfMs: number): TrafficRow[] {
  // by the bucket's start as SQL says it: its text and whether it is whole are the same for many rows
  const buckets = new Map<number, { readonly time: string; readonly partial: boolean }>();
  for (let i = 0; i + 1 < bounds.length; i++) {
    const startMs = bounds[i] as number;
    const endMs = bounds[i + 1] as number;
    buckets.set(Math.floor(startMs / 1000), {
      time: formatInstant(startMs, query.timeZone),
      partial: endMs > asOfMs || startMs < query.fromMs || endMs > query.toMs,
    });
  }
  return found.map((row) => {
    const bucket = buckets.get(Number(row['bucket']));
    if (bucket === undefined) throw new TidegateError('internal_error', 'the store answered a bucket that was not asked for');
    const groups: Partial<Record<Group, string | number>> = {};
    query.groupBy.forEach((group, index) => { groups[group] = groupValue(group, row[`g${index}`]); });
    return {
      time: bucket.time, groups,
      requests: Number(row['n_requests']), errors: Number(row['n_errors']), refused: Number(row['n_refused']),
      bytes_in: Number(row['n_bytes_in']), bytes_out: Number(row['n_bytes_out']),
      duration_ms: summarise(row['n_latency'] as Record<string, unknown>, Number(row['n_duration_us'])),
      partial: bucket.partial,
    };
  });
}

/** `2xx`; `none` where no status was sent. */
function groupValue(group: Group, value: unknown): string | number {
  if (group === 'status_class') return Number(value) === 0 ? 'none' : `${Number(value)}xx`;
  return group === 'status' ? Number(value) : String(value);
}
