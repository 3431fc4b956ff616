/**
 * The SQL of traffic reports, and the one rule by which what they read is chosen: raw events where only they know what is asked for; else the coarsest rollup
 * whose step divides every bound of the range; else, where a bound is no whole minute, raw events.
 *
 * A statement is put together from fixed pieces, chosen by names that were parsed; every value is a typed parameter. Nothing of a request ever becomes part of it.
 */
import { TidegateError } from '../../errors/tidegate-error.js';
import type { QueryParams } from '../store/store.js';
import { isNumber, type Position } from './cursor.js';
import { REPORT_SETTINGS, type Row } from './report-store.js';
import { needsRaw, type Group, type TrafficQuery } from './traffic-query.js';

export type Source = 'events' | 'minutes' | 'quarter_hours';
const MINUTE_MS = 60_000;
export const QUARTER_MS = 900_000;

/** Of a path, where it is a group; longer ones that begin alike are one. */
const PATH_CHARACTERS = 200;

/** A group's column, by what is read. */
const GROUP_SQL: Readonly<Record<Group, { readonly events: string; readonly rollup: string | null }>> = {
  app: { events: 'toString(t.app)', rollup: 'toString(t.app)' },
  service: { events: 'toString(t.service)', rollup: 'toString(t.service)' },
  route: { events: 'toString(t.route)', rollup: 'toString(t.route)' },
  status_class: { events: 't.status_class', rollup: 't.status_class' },
  status: { events: 't.status', rollup: null },
  method: { events: 'toString(t.method)', rollup: null },
  outcome: { events: 'toString(t.outcome)', rollup: null },
  // the largest travel as a parameter, in a URL: 1,000 of them have room there
  path: { events: `substringUTF8(toString(t.path), 1, ${PATH_CHARACTERS})`, rollup: null },
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

/** What a row without events has of them. */
const NO_SUMS: Row = { n_requests: 0, n_errors: 0, n_refused: 0, n_bytes_in: 0, n_bytes_out: 0, n_duration_us: 0, n_latency: {} };

/** A row of a bucket and a key that have no events. */
export const gapRow = (bucket: number, key: Row): Row => ({ bucket, ...key, ...NO_SUMS });
/** One with events may have sums of zero too: later rows of long connections. */
export const isGap = (row: Row): boolean => row['n_latency'] === NO_SUMS['n_latency'];

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

export const tableOf = (source: Source): string => SOURCES[source].table;

export function chooseSource(query: TrafficQuery, bounds: readonly number[]): Source {
  if (needsRaw(query)) return 'events';
  const divides = (stepMs: number): boolean => query.fromMs % stepMs === 0 && query.toMs % stepMs === 0
    && bounds.every((bound) => bound % stepMs === 0 || bound < query.fromMs || bound > query.toMs);
  if (divides(QUARTER_MS)) return 'quarter_hours';
  return divides(MINUTE_MS) ? 'minutes' : 'events';
}

/** Which rows of a report: those behind `after`, `limit` at most; with `top`, the groups that stand by themselves. */
export interface Part {
  readonly limit: number;
  readonly after?: Position | null;
  readonly top?: TopGroups | null;
}

/** Values of each group as texts, the largest group first; `rest`: there are others. */
export interface TopGroups {
  readonly values: readonly (readonly string[])[];
  readonly rest: boolean;
}

/** What tells rows of a bucket apart, in their order: the groups; with `top`, their place among the largest, and one behind the last for the others. */
export function keyNames(query: TrafficQuery): readonly string[] {
  return query.top !== null ? ['place'] : query.groupBy.map((_, index) => `g${index}`);
}

function groupColumns(query: TrafficQuery, source: Source): string[] {
  return query.groupBy.map((group) => {
    const sql = source === 'events' ? GROUP_SQL[group].events : GROUP_SQL[group].rollup;
    if (sql === null) throw new TidegateError('internal_error', `no rollup knows ${group}`);
    return sql;
  });
}

function keyColumns(query: TrafficQuery, source: Source): string[] {
  const groups = groupColumns(query, source);
  if (query.top === null) return groups;
  // an array of the keys, searched for each row, took eight times as long for 30 of them, and a minute for 1,000. No name holds a line break
  return [`transform(concat(${groups.map((sql) => `toString(${sql})`).join(", '\\n', ")}, ''), {top_keys:Array(String)}, {top_places:Array(UInt16)}, {top_others:UInt16})`];
}

/** Which rows are asked for. */
export function conditions(query: TrafficQuery, source: Source): string {
  const all = [SOURCES[source].range];
  if (query.tenant !== null) all.push('t.app = {tenant:String}');
  if (query.texts.app.length > 0) all.push('t.app IN {app:Array(String)}');
  if (query.texts.service.length > 0) all.push('t.service IN {service:Array(String)}');
  if (query.texts.route.length > 0) all.push('t.route IN {route:Array(String)}');
  if (query.texts.path.length > 0) all.push('(t.path IN {path:Array(String)} OR arrayExists(below -> startsWith(t.path, below), {paths_below:Array(String)}))');
  if (query.texts.target.length > 0) all.push('t.target IN {target:Array(String)}');
  if (query.texts.config_version.length > 0) all.push('t.config_version IN {config_version:Array(String)}');
  if (query.texts.method.length > 0) all.push('has({method:Array(String)}, toString(t.method))');
  if (query.texts.outcome.length > 0) all.push('has({outcome:Array(String)}, toString(t.outcome))');
  if (query.statuses.length > 0) all.push('has({statuses:Array(UInt16)}, t.status)');
  return all.join('\n  AND ');
}

/** When the first event of the range began whose path is kept, of the apps, services and routes asked for, ms; 0: none is. The other filters are left out: the first failure does not tell since when paths are kept. */
export function firstPathStatement(asked: TrafficQuery): string {
  const query: TrafficQuery = { ...asked, statuses: [], texts: { ...asked.texts, path: [], target: [], config_version: [], method: [], outcome: [] } };
  return `SELECT toUnixTimestamp64Milli(minIf(t.time, t.path != '')) AS first_ms
FROM tidegate.events AS t
WHERE ${conditions(query, 'events')}
${REPORT_SETTINGS}`;
}

/** Rows by bucket, then by key, with their sums. */
export function statement(query: TrafficQuery, source: Source, { limit, after = null }: Part): string {
  const { table, sums } = SOURCES[source];
  const names = keyNames(query);
  const columns = keyColumns(query, source).map((sql, index) => `${sql} AS ${names[index] ?? ''}`);
  const order = ['bucket', ...names].join(', ');
  const types = query.top !== null ? ['UInt16'] : query.groupBy.map((group) => (isNumber(group) ? 'UInt16' : 'String'));
  const behind = after === null ? '' : `\nHAVING (${order}) > (${['{after_bucket:UInt32}', ...types.map((type, index) => `{after${index}:${type}}`)].join(', ')})`;
  return `SELECT ${['roundDown(toUnixTimestamp(t.time), {starts:Array(UInt32)}) AS bucket', ...columns].join(', ')},${sums}
FROM ${table} AS t
WHERE ${conditions(query, source)}
GROUP BY ${order}${behind}
ORDER BY ${order}
LIMIT ${limit}
${REPORT_SETTINGS}`;
}

/** The groups of the range, g0 and so on: in the order of rows, or with `top` by their requests. */
export function groupsStatement(query: TrafficQuery, source: Source, limit: number): string {
  const columns = groupColumns(query, source).map((sql, index) => `${sql} AS g${index}`);
  const names = columns.map((_, index) => `g${index}`).join(', ');
  return `SELECT ${columns.join(', ')}
FROM ${tableOf(source)} AS t
WHERE ${conditions(query, source)}
GROUP BY ${names}
ORDER BY ${query.top === null ? '' : 'sum(t.requests) DESC, '}${names}
LIMIT ${limit}
${REPORT_SETTINGS}`;
}

function topParams({ values: [first = [], ...others] }: TopGroups): QueryParams {
  return {
    // the engine takes no empty array for a type
    top_keys: ['\n\n none', ...first.map((value, place) => [value, ...others.map((values) => values[place] ?? '')].join('\n'))],
    top_places: [first.length + 1, ...first.map((_, place) => place + 1)], top_others: first.length + 1,
  };
}

/** Of `conditions`, but for the range. */
export function conditionParams({ statuses, texts: { path, ...texts }, tenant }: TrafficQuery): QueryParams {
  const trees = path.filter((text) => text.endsWith('/*')).map((text) => text.slice(0, -2));
  // a template ends with the asterisk itself, and lies below its own prefix
  return { statuses, ...texts, path: [...path, ...trees.filter((tree) => tree !== '')], paths_below: trees.map((tree) => `${tree}/`), ...(tenant === null ? {} : { tenant }) };
}

/** Of both statements. */
export function statementParams(query: TrafficQuery, bounds: readonly number[], { after = null, top = null }: Partial<Part> = {}): QueryParams {
  const fromS = Math.floor(query.fromMs / 1000);
  return {
    // what lies before the last page is not read again; its bucket may begin before the range
    from_ms: after === null ? query.fromMs : Math.max(query.fromMs, after.bucket * 1000), to_ms: query.toMs,
    from_s: after === null ? fromS : Math.max(fromS, after.bucket), to_s: Math.floor(query.toMs / 1000),
    starts: bounds.slice(0, -1).map((bound) => Math.floor(bound / 1000)),
    ...conditionParams(query),
    ...(after === null ? {} : { after_bucket: after.bucket, ...Object.fromEntries(after.keys.map((value, index) => [`after${index}`, value])) }),
    ...(top === null ? {} : topParams(top)),
  };
}
