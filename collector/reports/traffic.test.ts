import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { ChdbStore } from '../store/chdb-store.js';
import { bucketBounds } from './calendar.js';
import { csvCell } from './csv.js';
import type { Principal } from './principal.js';
import { MAX_ROWS, ReportStore } from './report-store.js';
import { trafficReport, type TrafficDeps } from './traffic.js';
import { assertSame, openReports, OPERATOR, parse, plainCount, RAGGED, RANGE, type Event, type TestReports } from './traffic-events.fixture.js';
import { csvHead, csvRow, trafficJson } from './traffic-format.js';
import type { TrafficParameters } from './traffic-query.js';
import { statement, statementParams } from './traffic-statement.js';

const HOSTILE = [
  "acme' OR 1=1 --", "acme') UNION ALL SELECT * FROM tidegate.events --", '{tenant:String}', "\\' OR ''='", 'acme\u0000', "acme'", 'a,b', '*', '%',
  'app=acme', "UTC'); DROP TABLE tidegate.events; --",
];

let reports: TestReports;
let store: ChdbStore;
let deps: TrafficDeps;

before(async () => {
  reports = await openReports();
  ({ store, deps } = reports);
});
after(() => reports[Symbol.asyncDispose]());

const CASES: readonly (readonly [name: string, parameters: TrafficParameters, keep?: (event: Event) => boolean])[] = [
  ['a total', { ...RANGE, interval: 'total' }],
  ['hours', { ...RANGE, interval: 'hour' }],
  ['days in Kathmandu by app and service', { ...RANGE, interval: 'day', time_zone: 'Asia/Kathmandu', group_by: ['app,service'] }],
  ['months in Apia by all that rollups keep', { ...RANGE, interval: 'month', time_zone: 'Pacific/Apia', group_by: ['status_class', 'app', 'route,service'] }],
  ['minutes of an hour', { from: '2026-11-21T09:07:00Z', to: '2026-11-21T10:08:00Z', interval: 'minute', group_by: ['route'] }],
  ['a ragged range', { ...RAGGED, interval: 'day', time_zone: 'America/New_York', group_by: ['status_class'] }],
  ['a ragged total', { ...RAGGED, interval: 'total' }],
  ['one app, two services', { ...RANGE, app: ["o'hara"], service: ['catalogue', 'search'], route: ['item'] }, (event) => event.app === "o'hara" && event.route === 'item'],
  ['requests without an app', { ...RANGE, app: [''] }, (event) => event.app === ''],
  ['by status and method', { ...RANGE, interval: 'day', group_by: ['status', 'method', 'app'] }],
  ['by outcome, target and version', { ...RANGE, interval: 'total', group_by: ['outcome', 'target', 'config_version'] }],
  ['raw filters', { ...RANGE, interval: 'day', status: ['200', '503'], method: ['GET', 'other'], outcome: ['answered'], target: ['http://127.0.0.1:9001'], config_version: ['aaaaaaaaaaaa'] },
    (event) => [200, 503].includes(event.status) && ['GET', 'other'].includes(event.method) && event.outcome === 'answered' && event.target.endsWith('1') && event.version.startsWith('a')],
];

for (const [name, parameters, keep = () => true] of CASES) {
  test(`the report equals a plain count of the events: ${name}`, async () => {
    const query = parse(parameters);
    const report = await trafficReport(deps, query);
    const expected = plainCount(parameters, keep);
    assert.ok(expected.size > 0);
    assertSame(report.rows, expected, query.groupBy);
  });
}

test('what is asked of all apps is read from the sums that lie beside the rollups, before and after a merge; what is asked of one is not', async () => {
  const explained = async (parameters: TrafficParameters, source: 'minutes' | 'quarter_hours'): Promise<boolean> => {
    const query = parse(parameters);
    const bounds = bucketBounds(query.interval, query.timeZone, query.fromMs, query.toMs);
    const lines = await store.query<{ explain: string }>(`EXPLAIN ${statement(query, source, { limit: MAX_ROWS })}`, statementParams(query, bounds));
    return lines.some(({ explain }) => explain.includes('by_status_class'));
  };
  const minutes: TrafficParameters = { from: '2026-11-21T09:07:00Z', to: '2026-11-21T10:08:00Z', interval: 'minute' };
  const days: TrafficParameters = { ...RANGE, interval: 'day', time_zone: 'Asia/Kathmandu', group_by: ['status_class'] };
  for (const merged of [false, true]) {
    if (merged) for (const table of ['traffic_minute', 'traffic_quarter_hour']) await store.command(`OPTIMIZE TABLE tidegate.${table} FINAL`);
    assert.deepEqual([await explained(minutes, 'minutes'), await explained(days, 'quarter_hours'), await explained({ ...days, app: ['acme'] }, 'quarter_hours')], [true, true, false]);
    for (const parameters of [minutes, days]) assertSame((await trafficReport(deps, parse(parameters))).rows, plainCount(parameters, () => true), parse(parameters).groupBy);
  }
});

test('rows come by time, then by group', async () => {
  const { rows } = await trafficReport(deps, parse({ ...RANGE, interval: 'day', group_by: ['service', 'app'] }));
  const keys = rows.map((row) => [row.time, row.groups.service, row.groups.app].join('|'));
  assert.deepEqual(keys, [...keys].sort());
});

test('buckets that are not over, or cut by the range, are partial', async () => {
  const { rows, as_of: asOf } = await trafficReport(deps, parse({ from: '2026-11-19T12:00:00Z', to: '2026-11-22T00:00:00Z', interval: 'day' }));
  assert.deepEqual(rows.map((row) => [row.time.slice(0, 10), row.partial]), [['2026-11-19', true], ['2026-11-20', false], ['2026-11-21', true]]);
  assert.equal(asOf, '2026-11-21T10:07:30.250Z');
});

test('what is missing is said', async () => {
  const report = await trafficReport({ ...deps, completeness: () => Promise.resolve({ complete: false, reasons: ['stream x silent since t'] }) }, parse(RANGE));
  assert.deepEqual([report.complete, report.missing], [false, ['stream x silent since t']]);
});

test('a time of which there is no record is no time without requests', async () => {
  const of = async (from: string, to: string, since?: string | null): Promise<unknown> => {
    const { recorded, recorded_from: told } = await trafficReport({ ...deps, completeness: () => Promise.resolve({ complete: true, reasons: [], ...(since === undefined ? {} : { recorded_from: since }) }) }, parse({ from: `2026-11-${from}T00:00:00Z`, to: `2026-11-${to}T00:00:00Z`, interval: 'total' }));
    return [recorded, told];
  };
  const since = '2026-11-20T09:00:00Z';
  assert.deepEqual(await of('18', '20', since), [false, since], 'it was over when the record began');
  assert.deepEqual(await of('18', '21', since), [undefined, since], 'a part of it was not');
  assert.deepEqual(await of('21', '22', since), [undefined, undefined]);
  assert.deepEqual(await of('23', '24', since), [false, undefined], 'it has not begun');
  assert.deepEqual(await of('20', '21', null), [false, undefined], 'nothing has been recorded yet');
  assert.deepEqual(await of('20', '21'), [undefined, undefined]);
  // of the period before it is told apart
  const compared = async (since: string): Promise<unknown> => {
    const { recorded, previous } = await trafficReport({ ...deps, completeness: () => Promise.resolve({ complete: true, reasons: [], recorded_from: since }) }, parse({ from: '2026-11-21T00:00:00Z', to: '2026-11-22T00:00:00Z', interval: 'total', compare: 'previous' }));
    return [recorded, previous];
  };
  // as much of it as has gone by of the day under way
  const period = { from: '2026-11-20T00:00:00Z', to: '2026-11-20T10:08:00Z' };
  assert.deepEqual(await compared('2026-11-21T09:00:00Z'), [undefined, { ...period, recorded: false, recorded_from: '2026-11-21T09:00:00Z' }]);
  assert.deepEqual(await compared('2026-11-20T09:00:00Z'), [undefined, { ...period, recorded_from: '2026-11-20T09:00:00Z' }]);
  assert.deepEqual(await compared('2026-11-19T09:00:00Z'), [undefined, period]);
});

test('beyond what is kept, the report says so instead of counting less', async () => {
  const old = { from: '2026-10-01T00:00:00Z', to: '2026-10-02T00:00:00Z' };
  for (const [parameters, code] of [
    [{ ...old, group_by: ['status'] }, 'range_not_kept'], [{ ...old, outcome: ['answered'] }, 'range_not_kept'],
    [{ from: '2026-10-01T00:00:00.001Z', to: '2026-10-02T00:00:00Z' }, 'range_not_kept'],
    [{ from: '2026-08-01T00:00:00Z', to: '2026-08-02T00:00:00Z', interval: 'minute' }, 'range_not_kept'],
  ] as const) {
    await assert.rejects(trafficReport(deps, parse(parameters as TrafficParameters)), { code });
  }
  assert.deepEqual((await trafficReport(deps, parse({ ...old, interval: 'minute' }))).rows, []);
});

test('a range that begins before the first kept day is answered from that day on, and says so', async () => {
  const asked: TrafficParameters = { from: '2026-10-01', to: '2026-11-22', interval: 'day', group_by: ['status'], time_zone: 'Asia/Kolkata' };
  const report = await trafficReport(deps, parse(asked));
  assert.deepEqual([report.from, report.to, report.clipped], ['2026-10-23T00:00:00+05:30', '2026-11-22T00:00:00+05:30', true], 'events are kept for 30 days: since 2026-10-22T10:07:31Z');
  assert.deepEqual(report.rows, (await trafficReport(deps, parse({ ...asked, from: '2026-10-23' }))).rows);
  // pages go on with the range as it was asked for
  const page = await trafficReport(deps, parse({ ...asked, limit: 2 }));
  const rest = await trafficReport(deps, parse({ ...asked, limit: 1000, cursor: page.next ?? '' }));
  assert.deepEqual([...page.rows, ...rest.rows], report.rows);
  // less than a day is left: from the quarter of an hour on that is kept whole
  const short = await trafficReport(deps, parse({ ...asked, to: '2026-10-22T12:00:00Z', time_zone: 'UTC' }));
  assert.deepEqual([short.from, short.clipped], ['2026-10-22T10:15:00Z', true]);
  assert.equal((await trafficReport(deps, parse({ ...asked, from: '2026-11-18' }))).clipped, undefined);
  await assert.rejects(trafficReport(deps, parse({ ...asked, compare: 'previous', from: '2026-10-25', to: '2026-11-22' })), { code: 'range_not_kept', message: /^The period before begins/ }, 'half a period is none to compare with');
});

test('events that went early for want of room are not taken for none', async () => {
  const parameters: TrafficParameters = { from: '2026-10-30T00:00:00Z', to: '2026-11-21T00:00:00Z', group_by: ['status'], interval: 'total' };
  assert.equal((await trafficReport(deps, parse(parameters))).rows.length > 0, true);
  // what is left when the day's partition of events has been dropped
  await store.command(`INSERT INTO tidegate.traffic_quarter_hour (time, app, service, route, status_class, requests) VALUES ('2026-11-01 10:00:00', 'acme', 'catalogue', 'items', 2, 5)`);
  const { from, clipped } = await trafficReport(deps, parse(parameters));
  assert.deepEqual([from, clipped], ['2026-11-17T00:00:00Z', true], 'from the first day on of which they are there');
  await assert.rejects(trafficReport(deps, parse({ ...parameters, to: '2026-11-02T00:00:00Z' })), { code: 'range_not_kept' }, 'none of it is there');
  assert.ok((await trafficReport(deps, parse({ ...parameters, from: '2026-11-18T00:00:00Z' }))).rows.length > 0);
});

test('what cannot be asked is refused by name', () => {
  const cases: readonly (readonly [TrafficParameters, string])[] = [
    [{ from: 'yesteryear' }, 'from'], [{ to: '2026-11-31' }, 'to'], [{ day: '7d' }, 'day'], [{ day: 'today', from: 'yesterday' }, 'day'], [{ to: '9999-01-01T00:00:00Z' }, 'to'], [{ from: RANGE.to, to: RANGE.from }, 'from'],
    [{ from: RANGE.from, to: RANGE.from }, 'from'], [{ time_zone: 'Mars/Olympus' }, 'time_zone'], [{ group_by: ['app', 'client'] }, 'group_by'], [{ group_by: [''] }, 'group_by'],
    [{ from: '2025-01-01T00:00:00Z', to: '2026-01-01T00:00:00Z', interval: 'minute' }, 'interval'],
    ...HOSTILE.flatMap((text): (readonly [TrafficParameters, string])[] => [[{ group_by: [text] }, 'group_by'], [{ time_zone: text }, 'time_zone'], [{ from: text }, 'from']]),
  ];
  for (const [parameters, parameter] of cases) {
    assert.throws(() => parse(parameters), (error: { code: string; parameter: string }) => error.code === 'invalid_parameter' && error.parameter === parameter, JSON.stringify(parameters));
  }
});

test('an app is told whether its report is whole and what of its own was dropped, not what others lost', async () => {
  const verdict = { complete: false, reasons: ['12 events of stream 9f31 (node gw-1, worker 3) were dropped'], dropped: [{ app: 'acme', count: 5 }, { app: 'globex', count: 7 }] };
  const missing = async (principal: Principal) => (await trafficReport({ ...deps, completeness: () => Promise.resolve(verdict) }, parse(RANGE, principal))).missing;
  assert.deepEqual(await missing(OPERATOR), verdict.reasons);
  const [sentence, own, ...rest] = await missing({ kind: 'app', app: 'acme' });
  assert.match(own ?? '', /^5 events of this app were dropped/);
  assert.deepEqual(rest, []);
  assert.deepEqual(await missing({ kind: 'app', app: "o'hara" }), [sentence]);
  assert.doesNotMatch(sentence ?? '', /\d|stream|node|worker/);
});

test('an app sees its own numbers only, whatever it puts into any filter', async () => {
  const acme: Principal = { kind: 'app', app: 'acme' };
  const own = (parameters: TrafficParameters) => trafficReport(deps, parse(parameters, acme));
  const isAcme = (event: Event): boolean => event.app === 'acme';
  for (const group of ['app', 'service', 'route', 'status_class', 'status', 'method', 'outcome'] as const) {
    const parameters = { ...RANGE, interval: 'total', group_by: [group] } as const;
    assertSame((await own({ ...parameters, group_by: [group] })).rows, plainCount({ ...parameters, group_by: [group] }, isAcme), [group]);
  }
  for (const text of ['globex', '', ...HOSTILE]) {
    assert.throws(() => parse({ ...RANGE, app: [text] }, acme), { code: 'operator_only' });
    assert.throws(() => parse({ ...RANGE, app: ['acme', text] }, acme), { code: 'operator_only' });
    for (const filter of ['service', 'route'] as const) assert.deepEqual((await own({ ...RANGE, [filter]: [text] })).rows, [], `${filter}=${text}`);
  }
  for (const name of ['target', 'config_version'] as const) {
    assert.throws(() => parse({ ...RANGE, [name]: ['x'] }, acme), { code: 'operator_only', message: `${name}: for the operator only` });
    assert.throws(() => parse({ ...RANGE, group_by: [`app,${name}`] }, acme), { code: 'operator_only', message: `group_by: ${name} is for the operator only` });
  }
  assert.equal((await own({ ...RANGE, interval: 'total', app: ['acme'] })).rows.length, 1);
  // a name that is itself an attempt
  for (const text of HOSTILE) assert.deepEqual((await trafficReport(deps, parse(RANGE, { kind: 'app', app: text }))).rows, [], text);
});

test('CSV has the same numbers, and no cell that a spreadsheet would run', async () => {
  const query = parse({ ...RANGE, interval: 'day', group_by: ['app', 'target'] });
  const report = await trafficReport(deps, query);
  const lines = [csvHead(query), ...report.rows.map((row) => csvRow(row, query))].map((line) => line.replace(/\r\n$/, ''));
  assert.equal(lines[0], 'time,app,target,requests,errors,refused,bytes_in,bytes_out,duration_ms_avg,duration_ms_p50,duration_ms_p90,duration_ms_p95,duration_ms_p99,partial');
  assert.equal(lines.length, report.rows.length + 1);
  const json = JSON.parse(trafficJson(report)) as { rows: Record<string, unknown>[] };
  assert.equal(lines[1]?.split(',')[3], String(json.rows[0]?.['requests']));
  for (const [value, cell] of [
    ['=1+1', "'=1+1"], ['+1', "'+1"], ['-1', "'-1"], ['@SUM(A1)', "'@SUM(A1)"], ['\t=1', "'\t=1"], [' =1', "' =1"], ['\r=1', '"\'\r=1"'], ['=a,"b"', '"\'=a,""b"""'], ['plain', 'plain'],
  ] as const) assert.equal(csvCell(value), cell);
});

test('a report that reads too long is cut off by name, and the next one runs', async () => {
  const slow = new ReportStore({ query: () => store.query('SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) % 7 = 3 SETTINGS max_execution_time = 0.2, max_threads = 1') });
  await assert.rejects(slow.query('', {}, { principal: OPERATOR }), { code: 'report_too_large' });
  const one = new ReportStore(store);
  assert.deepEqual(await one.query('SELECT 1 AS one', {}, { principal: OPERATOR }), [{ one: 1 }]);
});
