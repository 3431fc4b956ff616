/** `GET /v1/requests/{id}`: one request's event by the X-Request-Id that the client got. */
import { InvalidParameterError } from '../../errors/invalid-parameter.js';
import { TidegateError } from '../../errors/tidegate-error.js';
import { parseRequestId } from '../../gateway/events/request-id.js';
import { REPORT_SETTINGS, type Asker, type ReportStore, type Row } from './report-store.js';

/** An event's row, whole. */
export const EVENT_SQL = `SELECT
  lower(leftPad(hex(t.stream), 16, '0')) AS stream, toString(t.node) AS node, t.worker AS worker, t.seq AS seq, t.ordinal AS ordinal,
  toUnixTimestamp64Milli(t.time) AS time_ms, toUnixTimestamp64Milli(t.stored_at) AS stored_ms,
  toString(t.app) AS app, toString(t.service) AS service, toString(t.route) AS route, toString(t.target) AS target,
  toString(t.method) AS method, t.status AS status, toString(t.outcome) AS outcome, toString(t.protocol) AS protocol, toString(t.kind) AS kind,
  t.duration_us AS duration_us, t.upstream_us AS upstream_us, t.bytes_in AS bytes_in, t.bytes_out AS bytes_out,
  t.requests AS requests, t.counted AS counted, t.billable AS billable, t.attempts AS attempts,
  toString(t.client) AS client, toString(t.path) AS path, t.trace_id AS trace_id, toString(t.config_version) AS config_version,
  toString(t.refused_by) AS refused_by, toString(t.reason) AS reason
FROM tidegate.events AS t`;

/** A long connection has several rows: the first (requests 1), then interim ones. Read whole, so that the last one's totals are seen. */
const SQL = `${EVENT_SQL}
WHERE t.stream = {stream:UInt64} AND t.ordinal = {ordinal:UInt64} AND ({tenant:String} = '' OR t.app = {tenant:String})
ORDER BY t.seq
LIMIT 1000
${REPORT_SETTINGS}`;

/** How the operator's side is built, and why it refuses: not told to apps. */
const OPERATOR_COLUMNS: ReadonlySet<string> = new Set(['node', 'worker', 'target', 'config_version', 'refused_by', 'reason']);

/**
 * @returns the request's event, and under `interim` the later rows of a long connection
 * @throws invalid_parameter for what is no request id; not_found, the same whether it does not exist or is another app's
 */
export async function requestEvent(store: ReportStore, id: string, asker: Asker): Promise<Record<string, unknown>> {
  const parsed = parseRequestId(id);
  if (parsed === null) throw new InvalidParameterError('id', 'must be an X-Request-Id: 16 hexadecimal digits, -, and the request\'s number');
  const { principal } = asker;
  const rows = await store.query(SQL, {
    stream: BigInt(`0x${parsed.stream}`).toString(), ordinal: parsed.ordinal, tenant: principal.kind === 'app' ? principal.app : '',
  }, asker);
  const [first, ...interim] = rows.map((row) => eventJson(row, principal.kind === 'operator'));
  if (first === undefined) {
    throw new TidegateError('not_found', principal.kind === 'operator' ? `No event of request ${id} is stored. An event is stored within about 2 s of the request's end, and kept for a time.`
      : `No request ${id} of your app is stored, or not yet: one is stored within about 2 s of its end, and kept for a time. Requests that matched no route, or had no valid key, are of no app.`);
  }
  return { id, ...first, ...(interim.length > 0 ? { interim } : {}) };
}

/** The fields of eventJson, in their order. */
export function eventFields(whole: boolean): readonly string[] {
  const columns = [...EVENT_SQL.matchAll(/ AS (\w+)(?=[,\n])/g)].map(([, name]) => name as string).filter((name) => !name.endsWith('_ms') && (whole || !OPERATOR_COLUMNS.has(name)));
  return ['time', ...columns, 'stored_at'];
}

/** As it is told: `whole` to the operator. */
export function eventJson(row: Row, whole: boolean): Record<string, unknown> {
  const { time_ms, stored_ms, ...columns } = row;
  const told = whole ? columns : Object.fromEntries(Object.entries(columns).filter(([name]) => !OPERATOR_COLUMNS.has(name)));
  return { time: new Date(Number(time_ms)).toISOString(), ...told, stored_at: new Date(Number(stored_ms)).toISOString() };
}
