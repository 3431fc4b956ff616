/** `GET /v1/requests`: the calls that match, newest first, page by page. Filters and range are those of the traffic report; the rows are raw events. */
import Type, { type Static } from 'typebox';
import { InvalidParameterError } from '../../errors/invalid-parameter.js';
import { formatRequestId } from '../../gateway/events/request-id.js';
import { formatInstant, isTimeZone } from './calendar.js';
import { readCallCursor, writeCallCursor, type CallPosition } from './cursor.js';
import { EVENT_SQL, eventJson } from './requests.js';
import { REPORT_SETTINGS, type Asker, type Row } from './report-store.js';
import { keptRange } from './kept-range.js';
import type { TrafficDeps } from './traffic.js';
import { parseRange, parseTrafficQuery, TrafficParameters, type QueryContext, type TrafficQuery } from './traffic-query.js';
import { conditionParams, conditions } from './traffic-statement.js';

const { from, to, day, time_zone, app, service, route, status, outcome, cursor } = TrafficParameters.properties;
const MOST = 1000;
const DEFAULT_ROWS = 100;

export const RequestsParameters = Type.Object({
  from, to, day, time_zone, app, service, route, status, outcome, cursor,
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: MOST, description: `Calls of a page. Default: ${DEFAULT_ROWS}.` })),
}, { additionalProperties: false });
export type RequestsParameters = Static<typeof RequestsParameters>;

export interface RequestsQuery {
  /** Range and filters. */
  readonly selection: TrafficQuery;
  readonly limit: number;
  /** The last call of the page before; null: the first page. */
  readonly after: CallPosition | null;
}

export interface RequestList {
  /** Everything admitted and answered before this is in the list. */
  readonly as_of: string;
  readonly from: string;
  readonly to: string;
  /** As of a traffic report: what is older is not kept. */
  readonly clipped?: true;
  /** As `GET /v1/requests/{id}` has it, without later rows of long connections. */
  readonly rows: readonly Readonly<Record<string, unknown>>[];
  /** The cursor of the next page; null: there are no more. */
  readonly next: string | null;
}

/** @throws invalid_parameter naming the parameter; operator_only where an app asks for another one */
export function parseRequestsQuery({ limit = DEFAULT_ROWS, cursor: given, time_zone: zone, from: since, to: until, day: date, ...filters }: RequestsParameters, context: Omit<QueryContext, 'accept' | 'defaultTimeZone'> & Partial<Pick<QueryContext, 'defaultTimeZone'>>): RequestsQuery {
  const known = given === undefined ? null : readCallCursor(given);
  const timeZone = zone ?? context.defaultTimeZone ?? 'UTC';
  if (!isTimeZone(timeZone)) throw new InvalidParameterError('time_zone', 'must be an IANA name such as Asia/Kolkata');
  const { fromMs, toMs } = parseRange({ from: since, to: until, day: date }, { nowMs: context.nowMs, timeZone }, known);
  const selection = parseTrafficQuery({ ...filters, from: new Date(fromMs).toISOString(), to: new Date(toMs).toISOString(), interval: 'total' }, { ...context, accept: '', defaultTimeZone: timeZone });
  if (known !== null && !known.fits(selection)) throw new InvalidParameterError('cursor', 'is of another question: repeat all parameters of the page before');
  return { selection, limit, after: known?.position ?? null };
}

/** The newest of them lie in the newest parts of the store: what is read first, and how much further back each time that it was not enough. */
const FIRST_SLICE_MS = 900_000;
const SLICE_GROWTH = 4;

/** @throws range_not_kept, report_too_large, report_busy, the signal's reason, and what the store throws */
export async function requestList(deps: Omit<TrafficDeps, 'completeness'>, { selection: asked, limit, after }: RequestsQuery, asker: Asker): Promise<RequestList> {
  const kept = await keptRange(deps, asked, 'events', asker, 'single requests');
  const selection = { ...asked, fromMs: kept.fromMs, toMs: kept.toMs };
  const asOfMs = deps.asOfMs();
  const found: Row[] = [];
  let endMs = after === null ? selection.toMs : Math.min(selection.toMs, after.timeMs + 1);
  // by slices, each a turn of its own: others come in between, and an asker that has left is not searched for any more
  for (let sliceMs = FIRST_SLICE_MS; found.length <= limit && endMs > selection.fromMs; sliceMs *= SLICE_GROWTH) {
    const startMs = Math.max(selection.fromMs, endMs - sliceMs);
    const most = limit + 1 - found.length;
    found.push(...await deps.store.query(statement(selection, most, after !== null), {
      ...conditionParams(selection), from_ms: startMs, to_ms: endMs,
      ...(after === null ? {} : { after_ms: after.timeMs, after_stream: BigInt(`0x${after.stream}`).toString(), after_ordinal: after.ordinal }),
    }, asker));
    endMs = startMs;
  }
  const rows = found.slice(0, limit);
  const last = rows.at(-1);
  return {
    as_of: formatInstant(asOfMs, 'UTC'), from: formatInstant(selection.fromMs, 'UTC'), to: formatInstant(selection.toMs, 'UTC'), ...(kept.clipped ? { clipped: true } : {}),
    rows: rows.map((row) => ({ id: idOf(row), ...eventJson(row, asker.principal.kind === 'operator') })),
    next: found.length > limit && last !== undefined ? writeCallCursor(asked, { timeMs: Number(last['time_ms']), stream: String(last['stream']), ordinal: Number(last['ordinal']) }) : null,
  };
}

const idOf = (row: Row): string => formatRequestId(String(row['stream']), Number(row['ordinal']));

/** Which calls, by few columns; then these alone are read whole, by the table's own order. */
function statement(query: TrafficQuery, limit: number, behind: boolean): string {
  const which = `${conditions(query, 'events')} AND t.requests = 1`;
  const order = 't.time DESC, t.stream DESC, t.ordinal DESC';
  return `${EVENT_SQL}
WHERE ${which} AND (t.stream, t.ordinal) IN (
  SELECT t.stream, t.ordinal FROM tidegate.events AS t
  WHERE ${which}${behind ? `
    AND (t.time, t.stream, t.ordinal) < (fromUnixTimestamp64Milli({after_ms:Int64}, 'UTC'), {after_stream:UInt64}, {after_ordinal:UInt64})` : ''}
  ORDER BY ${order}
  LIMIT ${limit}
)
ORDER BY ${order}
${REPORT_SETTINGS}`;
}
