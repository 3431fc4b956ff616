/** The questions in SQL. Rollups are sums of rows not merged yet, so every number is a sum, and percentiles are made of all the counts of a bucket of time together. */
import type * as common from '@grafana/grafana-foundation-sdk/common';
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard';
import { ClickHouseQuery, CLICKHOUSE_TYPE, select } from './clickhouse-query.js';
import { HEAT_COLUMNS, type StoreQuestions } from './store-questions.js';

const STORE: common.DataSourceRef = { type: CLICKHOUSE_TYPE, uid: '${store}' };

const TRAFFIC_COLUMNS = 'time, app, service, route, status_class, requests, errors, refused, bytes_in, bytes_out, duration_us, latency';
/** Minutes for minutes, else quarters of an hour, which reach further back and are fewer: the engine reads no row of the side whose condition is false. */
const TRAFFIC = `(
  SELECT ${TRAFFIC_COLUMNS} FROM tidegate.traffic_minute WHERE '\${interval}' = 'minute' AND $__timeFilter(time)
  UNION ALL
  SELECT ${TRAFFIC_COLUMNS} FROM tidegate.traffic_quarter_hour WHERE '\${interval}' != 'minute' AND $__timeFilter(time)
)`;
const TIME = 'toStartOfInterval(t.time, INTERVAL 1 ${interval})';
/** Quoted, and what has to be escaped is. */
const OF_APP = 't.app = ${app:sqlstring}';

/** Counts of requests by duration, those without one left out (bucket 0), as an aggregate's two arguments. */
const KNOWN = 'mapFilter((bucket, count) -> bucket > 0, t.latency)';
/** The geometric middle of the bucket that holds the rank, in ms; null where nothing was let through. */
const percentileMs = (p: number): string =>
  `if(sum(arraySum(mapValues(${KNOWN}))) = 0, NULL, pow(2, (quantileExactWeightedArray(${p / 100})(mapKeys(${KNOWN}), mapValues(${KNOWN})) + 0.5) / 8) / 1000)`;

const series = (columns: Readonly<Record<string, string>>, by?: { readonly name: string; readonly expression: string }): ClickHouseQuery => new ClickHouseQuery(select({
  columns: { time: TIME, ...(by === undefined ? {} : { [by.name]: by.expression }), ...columns },
  from: TRAFFIC, where: [OF_APP], groupBy: ['time', ...(by === undefined ? [] : [by.name])], orderBy: ['time'],
}), 'time_series');

const heatColumn = (power: number, index: number): string => {
  const [from, to] = [8 * (power - 1), 8 * power];
  const within = [...(index === 0 ? ['bucket > 0'] : [`bucket >= ${from}`]), ...(index === HEAT_COLUMNS.length - 1 ? [] : [`bucket < ${to}`])].join(' AND ');
  return `sum(arraySum(mapValues(mapFilter((bucket, count) -> ${within}, t.latency))))`;
};

const IN_MONTH = 'toYYYYMM(t.day) = toYYYYMM($__toTime, \'UTC\')';
/** A credit is noted for a day that is open: until that is closed, it is on no bill. */
const CLOSED = "(t.app, t.day) IN (SELECT app, day FROM tidegate.billing_days WHERE kind = 'usage')";
const one = (columns: Readonly<Record<string, string>>, ...where: readonly string[]): ClickHouseQuery => new ClickHouseQuery(select({ columns, from: 'billing_days', where: [IN_MONTH, CLOSED, ...where] }), 'table');
const days = (by: readonly [name: string, expression: string], columns: Readonly<Record<string, string>>, where: readonly string[] = []): ClickHouseQuery => new ClickHouseQuery(select({
  columns: { time: 'toDateTime(t.day, \'UTC\')', [by[0]]: by[1], ...columns }, from: 'billing_days', where: [IN_MONTH, CLOSED, ...where], groupBy: ['time', by[0]], orderBy: ['time'],
}), 'time_series');

/** The newest terms of each app that the configuration names. */
const TERMS = `(
  SELECT app, argMax(terms.quota, terms.from_ms) AS quota, argMax(terms.time_zone, terms.from_ms) AS zone, argMax(terms.removed, terms.from_ms) AS gone
  FROM tidegate.billing_terms AS terms GROUP BY app
)`;

const quotas = `SELECT t.app AS app, t.zone AS time_zone, left(toString(now(), t.zone), 10) AS day,
  sumIf(traffic.requests - traffic.refused, left(toString(traffic.time, t.zone), 10) = day) AS used, any(t.quota) AS quota
FROM ${TERMS} AS t
LEFT JOIN (SELECT app, time, requests, refused FROM tidegate.traffic_quarter_hour WHERE time >= now() - INTERVAL 26 HOUR) AS traffic ON traffic.app = t.app
WHERE t.quota > 0 AND NOT t.gone
GROUP BY app, time_zone, day
ORDER BY used / quota DESC`;

const apps = 'SELECT DISTINCT app FROM tidegate.traffic_quarter_hour WHERE app != \'\' AND $__timeFilter(time) ORDER BY app';

export const CLICKHOUSE: StoreQuestions = {
  folder: 'clickhouse',
  variables: [
    new dashboard.DatasourceVariableBuilder('store').label('ClickHouse').type(CLICKHOUSE_TYPE),
    new dashboard.QueryVariableBuilder('app').label('App').datasource(STORE).query(apps).definition(apps).refresh(dashboard.VariableRefresh.OnTimeRangeChanged).sort(dashboard.VariableSort.AlphabeticalAsc),
  ],
  closedDays: new dashboard.AnnotationQueryBuilder().name('Days closed').datasource(STORE).enable(true).iconColor('green').target(new ClickHouseQuery(select({
    columns: { time: 'max(t.written_at)', title: "'Day closed'", text: "concat(toString(t.day), ': ', toString(count()), ' apps')" },
    from: 'billing_days', where: ["t.kind = 'usage'", '$__timeFilter(t.written_at)'], groupBy: ['t.day'], orderBy: ['time'],
  }), 'table')),

  topApps: new ClickHouseQuery(select({
    columns: { app: "if(t.app = '', '(no app)', t.app)", requests: 'sum(t.requests)', errors: 'sum(t.errors)', refused: 'sum(t.refused)', bytes_out: 'sum(t.bytes_out)', p99_ms: percentileMs(99) },
    from: TRAFFIC, where: [], groupBy: ['app'], orderBy: ['requests DESC'], limit: 20,
  }), 'table'),
  quotas: new ClickHouseQuery(quotas, 'table'),
  traffic: series({ requests: 'sum(t.requests)', errors: 'sum(t.errors)', refused: 'sum(t.refused)' }),
  statusClasses: series({ requests: 'sum(t.requests)' }, { name: 'status_class', expression: 'toString(t.status_class)' }),
  byService: series({ requests: 'sum(t.requests)' }, { name: 'service', expression: 't.service' }),
  refusedByRoute: series({ refused: 'sum(t.refused)' }, { name: 'route', expression: 't.route' }),
  percentiles: series(Object.fromEntries([50, 90, 95, 99].map((p) => [`p${p}`, percentileMs(p)]))),
  heat: series(Object.fromEntries(HEAT_COLUMNS.map(({ name, power }, index) => [name, heatColumn(power, index)]))),
  bytes: series({ bytes_in: 'sum(t.bytes_in)', bytes_out: 'sum(t.bytes_out)' }),

  billable: one({ billable: 'sum(t.billable)' }),
  overQuota: one({ over_quota: 'sum(t.over_quota)' }),
  closedEntries: one({ days: 'count()' }, "t.kind = 'usage'"),
  acceptedGaps: one({ days: 'countIf(NOT t.complete)' }, "t.kind = 'usage'"),
  billableByDay: days(['app', 't.app'], { billable: 'sum(t.billable)' }),
  overQuotaByDay: days(['app', 't.app'], { over_quota: 'sum(t.over_quota)' }),
  daysByStatus: days(['status', "if(t.complete, 'closed', 'closed with a gap')"], { days: 'count()' }, ["t.kind = 'usage'"]),
  entries: new ClickHouseQuery(select({
    columns: {
      day: 'toString(t.day)', app: 't.app', customer: 't.customer', kind: 't.kind', for_day: 'toString(t.for_day)', requests: 't.requests', billable: 't.billable', quota: 't.quota', over_quota: 't.over_quota',
      status: `if(${CLOSED}, 'closed', 'open')`, complete: 't.complete', reason: 't.reason',
    },
    from: 'billing_days', where: [IN_MONTH], orderBy: ['t.day DESC', 't.app', 't.kind DESC'], limit: 1000,
  }), 'table'),
};
