/** Everything that is stored of an app, to be handed over: raw events, and both rollups, in pages that take no more memory the more there is. */
import type { Asker, ReportStore, Row } from '../reports/report-store.js';
import { REPORT_SETTINGS } from '../reports/report-store.js';

export const APP_TABLES = ['events', 'traffic_minute', 'traffic_quarter_hour'] as const;
export type AppTable = (typeof APP_TABLES)[number];

const ROWS_A_PAGE = 10_000;

const EVENT = `lower(leftPad(hex(t.stream), 16, '0')) AS stream, toString(t.ordinal) AS ordinal, toString(t.seq) AS seq, toString(t.node) AS node, t.worker AS worker,
  formatDateTime(t.time, '%Y-%m-%dT%H:%i:%S.', 'UTC') || leftPad(toString(toUnixTimestamp64Milli(t.time) % 1000), 3, '0') || 'Z' AS time, toString(t.app) AS app, toString(t.service) AS service, toString(t.route) AS route,
  toString(t.target) AS target, toString(t.method) AS method, t.status AS status, toString(t.outcome) AS outcome, toString(t.protocol) AS protocol, toString(t.kind) AS kind, t.duration_us AS duration_us, t.upstream_us AS upstream_us,
  t.bytes_in AS bytes_in, t.bytes_out AS bytes_out, t.requests AS requests, t.counted AS counted, t.billable AS billable, t.attempts AS attempts, toString(t.client) AS client, toString(t.path) AS path, t.trace_id AS trace_id,
  toString(t.config_version) AS config_version, toString(t.refused_by) AS refused_by, toString(t.reason) AS reason`;

/** As objects; numbers beyond 2^53 (ordinal, seq) and the stream as text. @throws as ReportStore.query */
export async function* appRows(store: ReportStore, app: string, table: AppTable, asker: Asker): AsyncGenerator<Row> {
  const days = await store.query(
    `SELECT DISTINCT formatDateTime(t.time, '%Y%m%d') AS day FROM tidegate.${table} AS t WHERE t.app = {app:String} ORDER BY day ${REPORT_SETTINGS}`, { app }, asker);
  for (const { day } of days as readonly { day: string }[]) {
    if (table === 'events') yield* eventsOf(store, app, day, asker);
    else yield* rollupOf(store, app, table, day, asker);
  }
}

async function* eventsOf(store: ReportStore, app: string, day: string, asker: Asker): AsyncGenerator<Row> {
  let beyond = '';
  for (;;) {
    const rows = await store.query(
      `SELECT ${EVENT} FROM tidegate.events AS t WHERE t._partition_id = '${day}' AND t.app = {app:String}${beyond} ORDER BY t.stream, t.ordinal, t.seq LIMIT ${ROWS_A_PAGE} ${REPORT_SETTINGS}`, { app }, asker);
    yield* rows;
    const last = rows.at(-1);
    if (last === undefined || rows.length < ROWS_A_PAGE) return;
    const [stream, ordinal, seq] = [`0x${String(last['stream'])}`, String(last['ordinal']), String(last['seq'])];
    beyond = ` AND (t.stream > ${stream} OR (t.stream = ${stream} AND (t.ordinal > ${ordinal} OR (t.ordinal = ${ordinal} AND t.seq > ${seq}))))`;
  }
}

/** Of an app and a day there are few. */
async function* rollupOf(store: ReportStore, app: string, table: Exclude<AppTable, 'events'>, day: string, asker: Asker): AsyncGenerator<Row> {
  const sums = ['requests', 'errors', 'refused', 'bytes_in', 'bytes_out', 'duration_us'].map((column) => `sum(t.${column}) AS ${column}`).join(', ');
  yield* await store.query(
    `SELECT formatDateTime(t.time, '%Y-%m-%dT%H:%i:%SZ', 'UTC') AS at, toString(t.app) AS app, toString(t.service) AS service, toString(t.route) AS route, t.status_class AS status_class, ${sums}, sumMap(t.latency) AS latency
     FROM tidegate.${table} AS t WHERE t.app = {app:String} AND t._partition_id IN ('${day}', '${day.slice(0, 6)}') AND formatDateTime(t.time, '%Y%m%d') = '${day}'
     GROUP BY t.time, t.app, t.service, t.route, t.status_class ORDER BY t.time, t.service, t.route, t.status_class ${REPORT_SETTINGS}`, { app }, asker);
}
