/** What may be asked of `GET /v1/reports/traffic`: the schema of its query string, and the typed value made of it. */
import Type, { type Static } from 'typebox';
import { TidegateError } from '../../errors/tidegate-error.js';
import { InvalidParameterError } from '../../errors/invalid-parameter.js';
import { METHODS } from '../../gateway/events/event.js';
import { OUTCOMES } from '../../gateway/events/outcomes.js';
import { INTERVALS, isTimeZone, type Interval } from './calendar.js';
import { DATES, type Dates } from './csv.js';
import { readCursor, type Position } from './cursor.js';
import type { Principal } from './principal.js';
import { MAX_ROWS } from './report-store.js';
import { endOfStep, isAgo, isRelative, parseDay, parseInstant, type Clock } from './time-text.js';

/** Kept in the rollups. */
export const ROLLUP_GROUPS = ['app', 'service', 'route', 'status_class'] as const;
/** Known of raw events only. */
export const RAW_GROUPS = ['status', 'method', 'outcome', 'path', 'target', 'config_version'] as const;
/** How the operator's side is built: no groups and no filters of an app's. */
const OPERATOR_GROUPS = ['target', 'config_version'] as const;
export const GROUPS = [...ROLLUP_GROUPS, ...RAW_GROUPS] as const;
export type Group = (typeof GROUPS)[number];
export const FORMATS = ['json', 'csv', 'ndjson', 'parquet'] as const;
export type Format = (typeof FORMATS)[number];
/** Groups that may stand by themselves: the engine looks each row's up among them. */
const MAX_TOP = 1000;

const Texts = (description: string) => Type.Optional(Type.Array(Type.String({ maxLength: 2048 }), { maxItems: 1000, description }));
const oneOf = <const T extends readonly string[]>(values: T, description: string) => Type.Optional(Type.Enum([...values], { description }));

/** Which events a report is of, and by which time. */
const Selection = {
  from: Type.Optional(Type.String({ maxLength: 100, description: 'First instant of the range: RFC 3339; a day (2026-11-23, today, yesterday, monday), which stands for its first instant in `time_zone`; or how long ago (45m, 24h, 7d). Default: 24 h before `to`.' })),
  to: Type.Optional(Type.String({ maxLength: 100, description: 'First instant after the range, written as `from`. Default: the end of the quarter of an hour under way.' })),
  day: Type.Optional(Type.String({ maxLength: 100, description: 'In place of from and to: one day of `time_zone`, such as 2026-11-23 or yesterday.' })),
  interval: oneOf(INTERVALS, 'Length of a bucket. Default: hour.'),
  time_zone: Type.Optional(Type.String({ description: 'IANA name. Default: the app\'s own zone where one app is asked for, else UTC.' })),
  app: Texts('Only these apps; repeatable.'),
  service: Texts('Only these services; repeatable.'),
  route: Texts('Only these routes; repeatable.'),
  status: Type.Optional(Type.Array(Type.String({ maxLength: 100 }), { maxItems: 1000, description: 'Only these statuses, or classes of them such as 5xx; commas, or repeated; while raw events are kept.' })),
  method: Type.Optional(Type.Array(Type.Enum(Object.keys(METHODS)), { description: 'Only these methods; repeatable; while raw events are kept.' })),
  outcome: Type.Optional(Type.Array(Type.Enum(Object.keys(OUTCOMES)), { description: 'Only these outcomes; repeatable; while raw events are kept.' })),
  path: Texts('Only these paths, as the service\'s `record_path` keeps them; `/shop/*` is /shop and all below it, as in a route; repeatable; while raw events are kept.'),
  target: Texts('Only these targets; repeatable; while raw events are kept. The operator\'s only.'),
  config_version: Texts('Only these versions of the configuration; repeatable; while raw events are kept. The operator\'s only.'),
  fill: Type.Optional(Type.Boolean({ description: 'Buckets without events have rows of zeros, up to `as_of`.' })),
  format: oneOf(FORMATS, 'Default: as Accept says, else json.'),
  dates: oneOf(DATES, 'Of csv: rfc3339 (default), or spreadsheet, 2026-11-24 10:00:00 in time_zone, which spreadsheets take for a date.'),
};

export const TrafficParameters = Type.Object({
  ...Selection,
  group_by: Type.Optional(Type.Array(Type.String(), { maxItems: 20, description: `A list with commas, or repeated: ${ROLLUP_GROUPS.join(', ')}; while raw events are kept also ${RAW_GROUPS.join(', ')}.` })),
  top: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_TOP, description: 'Only the groups with the most requests in the range, in this order; the rest together as `others`. Default: all; of paths, which clients make up, 1000.' })),
  compare: oneOf(['previous'], 'Beside each row the same of the period before, as many buckets earlier.'),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_ROWS, description: 'Rows of a page; `next` is where the next one begins.' })),
  cursor: Type.Optional(Type.String({ maxLength: 8192, description: '`next` of the page before; everything else as it was asked there.' })),
}, { additionalProperties: false });
export type TrafficParameters = Static<typeof TrafficParameters>;

/** `GET /v1/reports/latency`. */
export const LatencyParameters = Type.Object(Selection, { additionalProperties: false });
export type LatencyParameters = Static<typeof LatencyParameters>;

export interface TrafficQuery {
  readonly fromMs: number;
  readonly toMs: number;
  readonly interval: Interval;
  readonly timeZone: string;
  readonly groupBy: readonly Group[];
  readonly fill: boolean;
  /** Null: all groups. */
  readonly top: number | null;
  readonly compare: boolean;
  /** Rows of a page; null: no pages. */
  readonly limit: number | null;
  /** The last row of the page before; null: the first page. */
  readonly after: Position | null;
  /** Empty: any. */
  readonly texts: Readonly<Record<'app' | 'service' | 'route' | 'method' | 'outcome' | 'path' | 'target' | 'config_version', readonly string[]>>;
  readonly statuses: readonly number[];
  readonly format: Format;
  readonly dates: Dates;
  /** The one app that this report may speak of; null: the operator asks. */
  readonly tenant: string | null;
  /** Whose place in the line it takes. */
  readonly principal: Principal;
}

const DAY_MS = 86_400_000;
/** Shortest length of a bucket: to refuse a range before its bounds are computed. */
const SHORTEST_MS: Readonly<Record<Interval, number>> = { minute: 60_000, hour: 3_600_000, day: DAY_MS, month: 28 * DAY_MS, total: Number.POSITIVE_INFINITY };

/** All of a class: the engine then looks for numbers alone. @throws invalid_parameter */
function parseStatus(text: string): number | readonly number[] {
  if (/^\d{1,3}$/.test(text)) return Number(text);
  if (!/^[1-9]xx$/i.test(text)) throw new InvalidParameterError('status', 'must be a status such as 502, or a class of them such as 5xx');
  return Array.from({ length: 100 }, (_, index) => Number(text[0]) * 100 + index);
}

/** What no path that is kept can look like would find nothing, and look like no traffic. @throws invalid_parameter */
function parsePath(text: string): string {
  // a template may be a regular expression
  if (!/^[/~]/.test(text)) throw new InvalidParameterError('path', 'must be a path such as /shop/cart, or /shop/* for all below one');
  if (/^\/.*[?#]/.test(text)) throw new InvalidParameterError('path', 'is kept without its query: leave out what begins with ? or #');
  return text;
}

export interface QueryContext {
  readonly nowMs: number;
  readonly principal: Principal;
  /** The zone where the query names none. */
  readonly defaultTimeZone: string;
  /** The request's Accept field. */
  readonly accept: string;
}

/** @throws invalid_parameter naming the parameter; operator_only where an app asks for another one, or for what is the operator's */
export function parseTrafficQuery(parameters: TrafficParameters, context: QueryContext): TrafficQuery {
  const cursor = parameters.cursor === undefined ? null : readCursor(parameters.cursor);
  const timeZone = parameters.time_zone ?? context.defaultTimeZone;
  if (!isTimeZone(timeZone)) throw new InvalidParameterError('time_zone', 'must be an IANA name such as Asia/Kolkata');
  const { fromMs, toMs } = parseRange(parameters, { nowMs: context.nowMs, timeZone }, cursor);
  const interval = (parameters.interval ?? 'hour') as Interval;
  const most = (toMs - fromMs) / SHORTEST_MS[interval];
  if (most > MAX_ROWS) throw new InvalidParameterError('interval', `the range has ${Math.ceil(most)} buckets of this length; at most ${MAX_ROWS}`);
  const groupBy = parseGroups(parameters.group_by ?? []);
  if (context.principal.kind === 'app') refuseOperatorGroups(groupBy, parameters);
  const query: TrafficQuery = {
    fromMs, toMs, interval, timeZone, groupBy,
    fill: parameters.fill ?? false, top: parameters.top ?? (groupBy.includes('path') ? MAX_TOP : null), compare: parameters.compare !== undefined, limit: parameters.limit ?? null, after: cursor?.position ?? null,
    texts: {
      app: parameters.app ?? [], service: parameters.service ?? [], route: parameters.route ?? [], method: parameters.method ?? [],
      outcome: parameters.outcome ?? [], path: (parameters.path ?? []).map(parsePath), target: parameters.target ?? [], config_version: parameters.config_version ?? [],
    },
    statuses: [...new Set((parameters.status ?? []).flatMap((list) => list.split(',')).flatMap(parseStatus))],
    format: parameters.format as Format | undefined ?? acceptedFormat(context.accept), dates: (parameters.dates ?? 'rfc3339') as Dates,
    tenant: tenantOf(context.principal, parameters.app ?? []),
    principal: context.principal,
  };
  refuseUnfit(query);
  if (cursor !== null && !cursor.fits(query)) throw new InvalidParameterError('cursor', 'is of another question: repeat all parameters of the page before');
  return query;
}

interface Range { readonly fromMs: number; readonly toMs: number }

/** @param known the range of the page before. @throws invalid_parameter */
export function parseRange({ from, to, day }: { readonly from?: string | undefined; readonly to?: string | undefined; readonly day?: string | undefined }, clock: Clock, known: Range | null): Range {
  if (day !== undefined) {
    if (from !== undefined || to !== undefined) throw new InvalidParameterError('day', 'does not go with from and to');
    // today may be another day by now
    if (known !== null && isRelative(day)) return known;
    const { startMs, endMs } = parseDay('day', day, clock);
    return { fromMs: startMs, toMs: endMs };
  }
  const instant = (parameter: 'from' | 'to', text: string | undefined): number | undefined => {
    if (text === undefined || (known !== null && isRelative(text))) return known?.[`${parameter}Ms`];
    return parseInstant(parameter, text, clock);
  };
  // so long as was said: from a minute's end on to a minute's end
  const toMs = instant('to', to) ?? endOfStep(from !== undefined && isAgo(from) ? from : '', clock.nowMs);
  const fromMs = instant('from', from) ?? toMs - DAY_MS;
  if (fromMs >= toMs) throw new InvalidParameterError('from', 'must be before `to`');
  return { fromMs, toMs };
}

export function acceptedFormat(accept: string): Format {
  if (/^\s*text\/csv\b/i.test(accept)) return 'csv';
  if (/^\s*application\/vnd\.apache\.parquet\b/i.test(accept)) return 'parquet';
  return /^\s*application\/(x-)?(ndjson|jsonl)\b/i.test(accept) ? 'ndjson' : 'json';
}

/** What does not go together. */
function refuseUnfit({ top, groupBy, compare, limit, after, format, dates }: TrafficQuery): void {
  refuseDates(dates, format);
  if (top !== null && groupBy.length === 0) throw new InvalidParameterError('top', 'needs group_by: of which groups?');
  if (after !== null && limit === null) throw new InvalidParameterError('cursor', 'needs limit, as the page before had it');
  // ranks and the rows of the other period would be others with each page
  if (limit !== null && top !== null) throw new InvalidParameterError('limit', `does not go with ${groupBy.includes('path') ? 'groups by path: top is their bound' : 'top, which is its own bound'}`);
  if (limit !== null && compare) throw new InvalidParameterError('limit', 'does not go with compare: ask for a shorter range');
}

/** @throws invalid_parameter */
export function refuseDates(dates: Dates, format: Format): void {
  if (dates !== 'rfc3339' && format !== 'csv') throw new InvalidParameterError('dates', 'goes with csv: other formats say instants in RFC 3339');
}

function parseGroups(values: readonly string[]): Group[] {
  const groups: Group[] = [];
  for (const name of values.flatMap((value) => value.split(','))) {
    const group = GROUPS.find((candidate) => candidate === name);
    if (group === undefined) throw new InvalidParameterError('group_by', 'not a group', GROUPS);
    if (!groups.includes(group)) groups.push(group);
  }
  return groups;
}

function refuseOperatorGroups(groupBy: readonly Group[], parameters: TrafficParameters): void {
  for (const name of OPERATOR_GROUPS) {
    if (groupBy.includes(name)) throw new TidegateError('operator_only', `group_by: ${name} is for the operator only`);
    if (parameters[name] !== undefined) throw new TidegateError('operator_only', `${name}: for the operator only`);
  }
}

/** An app that names another one gets an error, the same for every name, rather than zeros that look like no traffic. */
export function tenantOf(principal: Principal, asked: readonly string[]): string | null {
  if (principal.kind === 'operator') return null;
  if (asked.some((app) => app !== principal.app)) throw new TidegateError('operator_only', 'app: this credential reads its own app only');
  return principal.app;
}

/** True if only raw events know what is asked for. */
export function needsRaw(query: TrafficQuery): boolean {
  return query.statuses.length > 0
    || query.groupBy.some((group) => (RAW_GROUPS as readonly string[]).includes(group))
    || [query.texts.method, query.texts.outcome, query.texts.path, query.texts.target, query.texts.config_version].some((values) => values.length > 0);
}
