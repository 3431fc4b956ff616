/**
 * `GET /v1/requests`: the calls that match, newest or slowest first, page by page. Filters and range are those of the traffic report; the rows are raw events. A page is searched for
 * by slices of the range, so that no statement reads much more than it must, and none holds more than a page.
 */
import Type, { type Static } from 'typebox';
import { InvalidParameterError } from '../../errors/invalid-parameter.js';
import { durationMs } from '../../gateway/config/units.js';
import { formatRequestId } from '../../gateway/events/request-id.js';
import { formatInstant, isTimeZone } from './calendar.js';
import type { Dates } from './csv.js';
import { readCallCursor, writeCallCursor, type CallPosition } from './cursor.js';
import { EVENT_SQL, eventJson } from './requests.js';
import { REPORT_SETTINGS, type Asker, type Row } from './report-store.js';
import { keptRange } from './kept-range.js';
import type { TrafficDeps } from './traffic.js';
import { acceptedFormat, refuseDates, parseRange, parseTrafficQuery, TrafficParameters, type QueryContext, type TrafficQuery } from './traffic-query.js';
import { conditionParams, conditions } from './traffic-statement.js';

const { from, to, day, time_zone, app, service, route, status, outcome, path, target, cursor, dates } = TrafficParameters.properties;
const MOST = 1000;
const DEFAULT_ROWS = 100;
const ORDERS = ['time', 'duration'] as const;

export const RequestsParameters = Type.Object({
  from, to, day, time_zone, app, service, route, status, outcome, path, target, cursor,
  slower_than: Type.Optional(Type.String({ maxLength: 100, description: 'Only calls that took longer, such as 1s or 250ms.' })),
  sort: Type.Optional(Type.Enum([...ORDERS], { description: 'The newest first (default), or the slowest.' })),
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MOST, description: `Calls of a page. Default: ${DEFAULT_ROWS}; as csv by time, all that match.` })),
  format: Type.Optional(Type.Enum(['json', 'csv'], { description: 'Default: as Accept says, else json.' })), dates,
}, { additionalProperties: false });
export type RequestsParameters = Static<typeof RequestsParameters>;

export interface RequestsQuery {
  /** Range and filters. */
  readonly selection: TrafficQuery;
  /** Only what took longer; null: any. */
  readonly slowerThanUs: number | null;
  readonly order: (typeof ORDERS)[number];
  /** Null: all that match. */
  readonly limit: number | null;
  /** The last call of the page before; null: the first page. */
  readonly after: CallPosition | null;
  readonly format: 'json' | 'csv';
  readonly dates: Dates;
}

/** What is said of the whole list. */
export interface RequestsHead {
  /** Everything admitted and answered before this is in the list. */
  readonly as_of: string;
  readonly from: string;
  readonly to: string;
  /** As of a traffic report: what is older is not kept. */
  readonly clipped?: true;
}

/** As `GET /v1/requests/{id}` has it, without later rows of long connections. */
export type Call = Readonly<Record<string, unknown>> & { readonly id: string };

export interface RequestList extends RequestsHead {
  readonly rows: readonly Call[];
  /** The cursor of the next page; null: there are no more. */
  readonly next: string | null;
}

type Context = Omit<QueryContext, 'accept' | 'defaultTimeZone'> & Partial<Pick<QueryContext, 'accept' | 'defaultTimeZone'>>;

/** @throws invalid_parameter naming the parameter; operator_only where an app asks for another one, or for what is the operator's */
export function parseRequestsQuery({ limit: asked, cursor: given, time_zone: zone, from: since, to: until, day: date, slower_than: slower, sort: order = 'time', format: named, dates: form, ...filters }: RequestsParameters, context: Context): RequestsQuery {
  const known = given === undefined ? null : readCallCursor(given);
  const timeZone = zone ?? context.defaultTimeZone ?? 'UTC';
  if (!isTimeZone(timeZone)) throw new InvalidParameterError('time_zone', 'must be an IANA name such as Asia/Kolkata');
  const { fromMs, toMs } = parseRange({ from: since, to: until, day: date }, { nowMs: context.nowMs, timeZone }, known);
  const selection = parseTrafficQuery({ ...filters, from: new Date(fromMs).toISOString(), to: new Date(toMs).toISOString(), interval: 'total' }, { ...context, accept: '', defaultTimeZone: timeZone });
  const slowerThanUs = slower === undefined ? null : parseSlowerThan(slower);
  if (known !== null && !known.fits(selection, questionOf({ slowerThanUs, order }))) throw new InvalidParameterError('cursor', 'is of another question: repeat all parameters of the page before');
  const format = named ?? (acceptedFormat(context.accept ?? '') === 'csv' ? 'csv' : 'json');
  const written = (form ?? 'rfc3339') as Dates;
  refuseDates(written, format);
  // each further page of the slowest reads the whole range again
  const limit = asked ?? (format === 'csv' && order === 'time' ? null : DEFAULT_ROWS);
  return { selection, slowerThanUs, order, limit, after: known?.position ?? null, format, dates: written };
}

/** @throws invalid_parameter */
function parseSlowerThan(text: string): number {
  const [, whole = '', part = '', unit = ''] = /^(\d{1,9})(?:\.(\d{1,6}))?(ms|s|m|h|d)$/.exec(text) ?? [];
  // by digits, since 1.005 * 1000 is not 1005; what took longer than 1.5 us took longer than 1
  const us = Number((BigInt(`${whole}${part.padEnd(6, '0')}`) * BigInt(durationMs(`1${unit || 'ms'}`) * 1000)) / 1_000_000n);
  if (us === 0 || !Number.isSafeInteger(us)) throw new InvalidParameterError('slower_than', 'must be a duration of 0.001ms or more, such as 1s, 1.5s or 250ms');
  return us;
}

/** What a cursor is of, beside range and filters. */
const questionOf = ({ slowerThanUs, order }: Pick<RequestsQuery, 'slowerThanUs' | 'order'>): string => `${order} ${slowerThanUs ?? ''}`;

type Deps = Omit<TrafficDeps, 'completeness'>;

export interface OpenedList {
  readonly head: RequestsHead;
  /** As asked, with what is kept of the range. */
  readonly query: RequestsQuery;
  readonly asker: Asker;
}

/** @throws range_not_kept, report_busy, the signal's reason, and what the store throws */
export async function openList(deps: Deps, query: RequestsQuery, asker: Asker): Promise<OpenedList> {
  const kept = await keptRange(deps, query.selection, 'events', asker, 'single requests');
  return {
    head: { as_of: formatInstant(deps.asOfMs(), 'UTC'), from: formatInstant(kept.fromMs, 'UTC'), to: formatInstant(kept.toMs, 'UTC'), ...(kept.clipped ? { clipped: true } : {}) },
    query: { ...query, selection: { ...query.selection, fromMs: kept.fromMs, toMs: kept.toMs } }, asker,
  };
}

/** @throws as openList; report_too_large */
export async function requestList(deps: Deps, asked: RequestsQuery, asker: Asker): Promise<RequestList> {
  const opened = await openList(deps, asked, asker);
  const { rows, next } = await page(deps, opened, asked.limit ?? MOST, asked.after);
  return { ...opened.head, rows, next: next === null ? null : writeCallCursor(asked.selection, questionOf(asked), next) };
}

/** Of a list that is streamed: what one turn at the store brings into memory. Smaller ones would read the parts that a slice lies in again and again. */
const STREAMED_PAGE_ROWS = 20_000;

/** All that match, some in memory at a time. @throws as requestList */
export async function* streamedCalls(deps: Deps, opened: OpenedList, pageRows = STREAMED_PAGE_ROWS): AsyncGenerator<Call> {
  let { after } = opened.query;
  let sliceMs = FIRST_SLICE_MS;
  do {
    const { rows, next } = await page(deps, opened, pageRows, after, sliceMs);
    yield* rows;
    // the next page is about as long; what lies behind its end would be read for nothing
    if (next !== null) sliceMs = Math.ceil(((after?.timeMs ?? Date.parse(String(rows[0]?.['time']))) - next.timeMs) * PAGE_SPARE) + LEAST_SLICE_MS;
    after = next;
  } while (after !== null);
}

/** The newest of them lie in the newest parts of the store: what is read first, and how much further back each time that it was not enough. */
const FIRST_SLICE_MS = 900_000;
const SLICE_GROWTH = 4;
/** From page to page: wider than the one before was by so much, and by a second. */
const PAGE_SPARE = 1.25;
const LEAST_SLICE_MS = 1000;

/** @returns `next`: the last of them, where there are more */
async function page({ store }: Deps, { query, asker }: OpenedList, limit: number, after: CallPosition | null, firstSliceMs = FIRST_SLICE_MS): Promise<{ readonly rows: readonly Call[]; readonly next: CallPosition | null }> {
  const { selection, order } = query;
  const bySpeed = order === 'duration';
  let found: Row[] = [];
  let slowerThanUs = query.slowerThanUs;
  let endMs = after === null || bySpeed ? selection.toMs : Math.min(selection.toMs, after.timeMs + 1);
  // by slices, each a turn of its own: others come in between, and an asker that has left is not searched for any more
  for (let sliceMs = firstSliceMs; (bySpeed || found.length <= limit) && endMs > selection.fromMs; sliceMs *= SLICE_GROWTH) {
    const startMs = Math.max(selection.fromMs, endMs - sliceMs);
    const rows = await store.query(statement(query, slowerThanUs, bySpeed ? limit + 1 : limit + 1 - found.length, after !== null), {
      ...conditionParams(selection), from_ms: startMs, to_ms: endMs, ...(slowerThanUs === null ? {} : { slower_than_us: slowerThanUs }),
      ...(after === null ? {} : { after_ms: after.timeMs, after_us: after.durationUs, after_stream: BigInt(`0x${after.stream}`).toString(), after_ordinal: after.ordinal }),
    }, asker);
    // of one duration the newer ones were found before
    found = bySpeed ? [...found, ...rows].sort((a, b) => durationOf(b) - durationOf(a)).slice(0, limit + 1) : [...found, ...rows];
    // an older call must take longer than all of these to be among them
    if (bySpeed && found.length > limit) slowerThanUs = Math.max(slowerThanUs ?? 0, durationOf(found.at(-1) as Row));
    endMs = startMs;
  }
  const rows = found.slice(0, limit);
  const last = rows.at(-1);
  return {
    rows: rows.map((row) => ({ id: formatRequestId(String(row['stream']), Number(row['ordinal'])), ...eventJson(row, asker.principal.kind === 'operator') })),
    next: found.length > limit && last !== undefined ? { timeMs: Number(last['time_ms']), durationUs: durationOf(last), stream: String(last['stream']), ordinal: Number(last['ordinal']) } : null,
  };
}

const durationOf = (row: Row): number => Number(row['duration_us']);

/** Which calls, by few columns; then these alone are read whole, by the table's own order. */
function statement({ selection, order }: RequestsQuery, slowerThanUs: number | null, limit: number, behind: boolean): string {
  const which = `${conditions(selection, 'events')} AND t.requests = 1${slowerThanUs === null ? '' : '\n  AND t.duration_us > {slower_than_us:UInt64}'}`;
  const columns = [...(order === 'duration' ? ['t.duration_us'] : []), 't.time', 't.stream', 't.ordinal'];
  const place = `(${order === 'duration' ? '{after_us:UInt64}, ' : ''}fromUnixTimestamp64Milli({after_ms:Int64}, 'UTC'), {after_stream:UInt64}, {after_ordinal:UInt64})`;
  const newest = columns.map((column) => `${column} DESC`).join(', ');
  return `${EVENT_SQL}
WHERE ${which} AND (t.stream, t.ordinal) IN (
  SELECT t.stream, t.ordinal FROM tidegate.events AS t
  WHERE ${which}${behind ? `
    AND (${columns.join(', ')}) < ${place}` : ''}
  ORDER BY ${newest}
  LIMIT ${limit}
)
ORDER BY ${newest}
${REPORT_SETTINGS}`;
}
