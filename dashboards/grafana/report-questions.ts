/** The questions to the report API (docs/reports.md, docs/billing.md). */
import type * as common from '@grafana/grafana-foundation-sdk/common';
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard';
import { INFINITY_TYPE, ReportQuery, type ReportColumn } from './report-query.js';
import { HEAT_COLUMNS, type StoreQuestions } from './store-questions.js';

const STORE: common.DataSourceRef = { type: INFINITY_TYPE, uid: '${store}' };
const RANGE = { from: '${__from:date:iso}', to: '${__to:date:iso}', time_zone: 'UTC' } as const;
const OF_APP = { ...RANGE, app: '${app}', interval: '${interval}' } as const;
/** Which the range ends in. */
const MONTH = { month: '${__to:date:YYYY-MM}' } as const;

const numberOf = (selector: string, text = selector): ReportColumn => ({ selector, text, type: 'number' });
const stringOf = (selector: string, text = selector): ReportColumn => ({ selector, text, type: 'string' });
const TIME: ReportColumn = { selector: 'time', text: 'time', type: 'timestamp' };

const series = (columns: readonly ReportColumn[], by?: string): ReportQuery => new ReportQuery({
  path: '/v1/reports/traffic', parameters: { ...OF_APP, ...(by === undefined ? { fill: 'true' } : { group_by: by }) }, rows: 'rows',
  columns: [TIME, ...(by === undefined ? [] : [stringOf(by)]), ...columns],
}, 'timeseries');

const DAYS = '/v1/billing/days';
const one = (name: string, jsonata: string): ReportQuery => new ReportQuery({ path: DAYS, parameters: MONTH, rows: `{"${name}": ${jsonata}}`, columns: [numberOf(name)] }, 'table');
/** Each day at its midnight in UTC, whatever the app's zone, so that those of all apps stand together. */
const days = (by: string, name: string, jsonata: string): ReportQuery => new ReportQuery({ path: DAYS, parameters: MONTH, rows: jsonata, columns: [TIME, stringOf(by), numberOf(name)] }, 'timeseries');
const byDay = (by: string, rows: string, name: string, value: string): string =>
  `$each(${rows}{day & "\\n" & ${by}: {"time": day[0] & "T00:00:00Z", "${by}": ${by}[0], "${name}": ${value}}}, function($row) {$row})`;

/** A row's field is found by a path, in which a dot of "1.02 ms" would lead into it: the label is the column's text alone. */
const heatField = (power: number): string => `b${power}`;
const heatSum = (fromMs: number, toMs: number): string =>
  `$reduce($d, function($sum, $row) {$sum + ($row[1] > ${fromMs} and $row[1] <= ${toMs} ? $row[2] : 0)}, 0)`;

export const REPORT_API: StoreQuestions = {
  folder: 'report-api',
  variables: [
    new dashboard.DatasourceVariableBuilder('store').label('Report API').type(INFINITY_TYPE),
    new dashboard.QueryVariableBuilder('app').label('App').datasource(STORE).query({
      refId: 'app', queryType: 'infinity',
      infinityQuery: { ...new ReportQuery({ path: '/v1/apps', parameters: {}, rows: 'apps', columns: [stringOf('name')] }, 'table').build(), refId: 'app' },
    }).definition('/v1/apps').refresh(dashboard.VariableRefresh.OnTimeRangeChanged).sort(dashboard.VariableSort.AlphabeticalAsc),
  ],
  closedDays: new dashboard.AnnotationQueryBuilder().name('Days over').datasource(STORE).enable(true).iconColor('green').target(new ReportQuery({
    path: DAYS, parameters: MONTH, rows: 'days[status = "closed" and kind = "usage"]',
    columns: [{ selector: 'day_end', text: 'time', type: 'timestamp' }, stringOf('day', 'title'), stringOf('app', 'text')],
  }, 'table')),

  topApps: new ReportQuery({
    path: '/v1/reports/traffic', parameters: { ...RANGE, interval: 'total', group_by: 'app', top: '20' },
    rows: 'rows.$merge([$, {"app": others = true ? "(all others)" : app = "" ? "(no app)" : app}])',
    columns: [stringOf('app'), numberOf('requests'), numberOf('errors'), numberOf('refused'), numberOf('bytes_out'), numberOf('duration_ms.p99', 'p99_ms')],
  }, 'table'),
  quotas: new ReportQuery({
    path: DAYS, parameters: MONTH, rows: 'days[status = "open" and kind = "usage" and quota != null]',
    columns: [stringOf('app'), stringOf('time_zone'), stringOf('day'), numberOf('requests', 'used'), numberOf('quota')],
  }, 'table'),
  traffic: series([numberOf('requests'), numberOf('errors'), numberOf('refused')]),
  statusClasses: series([numberOf('requests')], 'status_class'),
  byService: series([numberOf('requests')], 'service'),
  refusedByRoute: series([numberOf('refused')], 'route'),
  percentiles: series([50, 90, 95, 99].map((p) => numberOf(`duration_ms.p${p}`, `p${p}`))),
  heat: new ReportQuery({
    path: '/v1/reports/latency', parameters: OF_APP,
    rows: `rows.($d := durations; {"time": time, ${HEAT_COLUMNS.map(({ power, fromMs, toMs }) => `"${heatField(power)}": ${heatSum(fromMs, toMs)}`).join(', ')}})`,
    columns: [TIME, ...HEAT_COLUMNS.map(({ name, power }) => numberOf(heatField(power), name))],
  }, 'timeseries'),
  bytes: series([numberOf('bytes_in'), numberOf('bytes_out')]),

  billable: one('billable', '$sum(days[status = "closed"].billable)'),
  overQuota: one('over_quota', '$sum(days[status = "closed"].over_quota)'),
  closedEntries: one('days', '$count(days[status = "closed" and kind = "usage"])'),
  acceptedGaps: one('days', '$count(days[status = "closed" and kind = "usage" and complete = false])'),
  billableByDay: days('app', 'billable', byDay('app', 'days[status = "closed"]', 'billable', '$sum(billable)')),
  overQuotaByDay: days('app', 'over_quota', byDay('app', 'days[status = "closed"]', 'over_quota', '$sum(over_quota)')),
  daysByStatus: days('status', 'days', byDay('status', 'days[kind = "usage"]', 'days', '$count(status)')),
  entries: new ReportQuery({
    path: DAYS, parameters: MONTH, rows: 'days',
    columns: [
      stringOf('day'), stringOf('app'), stringOf('customer'), stringOf('kind'), stringOf('for_day'), numberOf('requests'), numberOf('billable'), numberOf('quota'), numberOf('over_quota'),
      stringOf('status'), { selector: 'complete', text: 'complete', type: 'boolean' }, stringOf('reason'),
    ],
  }, 'table'),
};
