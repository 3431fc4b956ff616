import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeStatus } from '../../gateway/control/control-deps.js';
import { binaryBytes, bytes, count, milliseconds, share } from './figures.js';
import { bar, sparkline } from './graph.js';
import { renderStatus } from './status.js';
import { renderTable } from './table.js';
import { columnsOf, printable, type Terminal } from './terminal.js';
import { renderTraffic, type TrafficAnswer, type TrafficAnswerRow, type TrafficView } from './traffic.js';

const PLAIN: Terminal = { columns: 80, colour: false, write: () => undefined };

const row = (requests: number, more: Partial<TrafficAnswerRow> = {}): TrafficAnswerRow => ({
  time: '2026-11-20T00:00:00+05:30', requests, errors: 0, refused: 0, bytes_in: requests * 120, bytes_out: requests * 5300,
  duration_ms: { avg: 9.871, p50: 4.12, p90: 18.5, p95: 41.02, p99: 1204 }, ...more,
});
const answer = (interval: TrafficAnswer['interval'], rows: readonly TrafficAnswerRow[]): TrafficAnswer => ({
  as_of: '2026-11-21T15:37:30+05:30', from: '2026-11-20T15:45:00+05:30', to: '2026-11-21T15:45:00+05:30', interval, time_zone: 'Asia/Kolkata', complete: true, missing: [], rows,
});
const view: TrafficView = {
  subject: 'app acme', groupBy: ['service', 'route'], top: 30,
  total: answer('total', [row(1_234_567, { errors: 1240, refused: 31 })]),
  series: answer('hour', [0, 1, 2, 5, 9, 14, 20].map((hour) => row(1000 * (hour + 1), { time: `2026-11-20T${String(16 + hour % 8).padStart(2, '0')}:00:00+05:30` }))),
  table: answer('total', [
    row(1_233_333, { service: 'catalogue', route: 'products', errors: 1240 }), row(1234, { service: 'search', route: 'query' }),
    row(7, { service: '', route: '', duration_ms: { avg: null, p50: null, p90: null, p95: null, p99: null } }),
  ]),
};

const REPORT = `\
Traffic of app acme
2026-11-20 15:45 to 2026-11-21 15:45 Asia/Kolkata, as of 15:37:30

requests 1,234,567   errors 1,240 (0.1 %)   refused 31   in 148 MB   out 6.5 GB

·▁▄▂·█▃▆·················
requests, each hour; most 21,000 in the hour of 2026-11-20 20:00

p50      4.12 ms  ▏
p90      18.5 ms  ▋
p95      41.0 ms  █▍
p99     1,204 ms  ████████████████████████████████████████
avg      9.87 ms

service    route      requests  errors  refused  p50 ms  p99 ms     out
catalogue  products  1,233,333   1,240        0    4.12   1,204  6.5 GB
search     query         1,234       0        0    4.12   1,204  6.5 MB
-          -                 7       0        0       -       -   37 kB
`;

test('a report in 80 columns', () => {
  const text = renderTraffic(PLAIN, view);
  assert.equal(text, REPORT);
  for (const line of text.split('\n')) assert.ok(line.length <= 80, line);
});

test('the totals of a large site take two lines', () => {
  const text = renderTraffic(PLAIN, { ...view, total: answer('total', [row(123_456_789_012, { errors: 1_234_567_890, refused: 123_456 })]) });
  for (const line of text.split('\n')) assert.ok(line.length <= 80, line);
});

test('a report by time, incomplete, and one of nothing', () => {
  const byTime = renderTraffic(PLAIN, {
    ...view, groupBy: ['app'], top: 1, total: { ...view.total, complete: false, missing: ['stream 00ff (node a, worker 1) is silent since 2026-11-21T00:00:00.000Z'] },
    table: answer('day', [row(5, { app: 'acme', partial: true }), row(6, { app: 'globex' })]),
  });
  assert.match(byTime, /incomplete:\n {2}stream 00ff/);
  assert.match(byTime, /2026-11-20 00:00\* {2}acme/);
  assert.match(byTime, /\* not over yet, or cut by the range\nmore rows: 1 /);
  const nothing = renderTraffic(PLAIN, { ...view, total: answer('total', []), series: answer('hour', []), table: answer('total', []) });
  assert.match(nothing, /requests 0 {3}errors 0 \(0 %\)/);
  assert.match(nothing, /·{25}\nrequests, each hour\n$/);
});

test('a time of which there is no record shows no zeros', () => {
  const none = { ...answer('total', []), recorded: false as const };
  const shown = (total: TrafficAnswer): readonly string[] => renderTraffic(PLAIN, { ...view, subject: '', total, series: answer('hour', []), table: answer('total', []) }).split('\n').slice(2);
  assert.deepEqual(shown({ ...none, recorded_from: '2026-11-21T16:02:11+05:30' }), ['not recorded: the record begins 2026-11-21 16:02', '']);
  assert.deepEqual(shown(none), ['not recorded: this time has not begun, or nothing has been recorded yet', '']);
  assert.deepEqual(shown({ ...answer('total', []), recorded_from: '2026-11-21T10:02:11+05:30' }).slice(0, 3), ['recorded from 2026-11-21 10:02 on', '', 'requests 0   errors 0 (0 %)   refused 0   in 0 B   out 0 B']);
  // lines of an imported log may be older than the record
  assert.match(shown({ ...none, rows: [row(5)] }).join('\n'), /^not recorded: .*\n\nrequests 5 /);
});

test('beside the period before, and the largest groups apart from all others', () => {
  const before = (requests: number) => ({ ...row(requests), time: '2026-11-19T15:45:00+05:30' });
  const total = { ...answer('total', [row(1200, { errors: 3, previous: { ...before(1000), duration_ms: { avg: 9, p50: 4, p90: 18, p95: 41, p99: 2408 } } })]), previous: { from: '2026-11-19T15:45:00+05:30', to: '2026-11-20T15:45:00+05:30' } };
  const table = { ...total, rows: [row(700, { app: 'acme', previous: before(1000) }), row(400, { app: '', previous: before(0) }), row(100, { app: null, others: true, previous: before(8) }), row(0, { app: 'gone', previous: before(7) })] };
  const text = renderTraffic(PLAIN, { ...view, groupBy: ['app'], total, series: answer('hour', []), table });
  assert.match(text, /before, 2026-11-19 15:45 to 2026-11-20 15:45:\n {2}requests 1,000 \(now \+20 %\) {3}errors 0 \(new\)\n {2}refused 0 \(-\) {3}p99 2,408 ms \(-50 %\)\n/);
  assert.deepEqual(text.split('\n').slice(-6, -1).map((line) => line.split(/ {2,}/).slice(0, 3)), [
    ['app', 'requests', 'change'], ['acme', '700', '-30 %'], ['-', '400', 'new'], ['all others', '100', 'x13'], ['gone', '0', '-100 %'],
  ]);
  for (const line of text.split('\n')) assert.ok(line.length <= 80, line);
  const unrecorded = { ...total, rows: [row(1200, { previous: before(0) })], previous: { ...total.previous, recorded: false as const, recorded_from: '2026-11-20T16:02:11+05:30' } };
  const alone = renderTraffic(PLAIN, { ...view, groupBy: ['app'], total: unrecorded, series: answer('hour', []), table: { ...unrecorded, rows: [row(1200, { app: 'acme', previous: before(0) })] } });
  assert.match(alone, /\nbefore, 2026-11-19 15:45 to 2026-11-20 15:45:\n {2}not recorded: the record begins 2026-11-20 16:02\n\n/);
  assert.doesNotMatch(alone, /requests 0|change/);
  const short = { ...total, from: '2026-11-21T15:45:07+05:30', to: '2026-11-21T15:45:19+05:30', previous: { from: '2026-11-21T15:44:55.250+05:30', to: '2026-11-21T15:46:00+05:30' } };
  const ofSeconds = renderTraffic(PLAIN, { ...view, groupBy: ['app'], total: short, series: answer('hour', []), table });
  assert.match(ofSeconds, /\n2026-11-21 15:45:07 to 2026-11-21 15:45:19 Asia[^]*\nbefore, 2026-11-21 15:44:55 to 2026-11-21 15:46:00:\n/);
});

test('colour only where the terminal has it', () => {
  assert.equal(renderTraffic(PLAIN, view).includes('\x1b'), false);
  const coloured = renderTraffic({ ...PLAIN, colour: true }, view);
  assert.ok(coloured.includes('\x1b[31m'));
  assert.equal(coloured.replaceAll(/\x1b\[\d+m/g, ''), renderTraffic(PLAIN, view));
});

test('a table gives way where it may, and no cell can move the cursor', () => {
  const long = 'x'.repeat(100);
  const text = renderTable(PLAIN, [{ head: 'target', align: 'left', shrinks: true }, { head: 'requests', align: 'right' }], [[long, '1,234,567'], ['a\x1b[2J\r\n', '1']]);
  for (const line of text.split('\n')) assert.ok(line.length <= 80, line);
  assert.match(text, /x…\s+1,234,567/);
  assert.match(text, /a\.\[2J\.\. /);
  assert.equal(printable('a\u202eb\u009bc'), 'a.b.c');
});

test('what the terminal has room for: COLUMNS, else its own width; nothing is cut where there is none', () => {
  assert.deepEqual([columnsOf({ isTTY: true, columns: 120 }, undefined), columnsOf({ isTTY: true, columns: 120 }, '90'), columnsOf({}, '90'), columnsOf({}, 'x'), columnsOf({ isTTY: true, columns: 10 }, '')],
    [120, 90, 90, Number.POSITIVE_INFINITY, 40]);
  const long = 'a-service-with-a-name-that-is-far-too-long-for-a-line-of-eighty';
  const shown = (columns: number): string => renderTraffic({ ...PLAIN, columns }, { ...view, groupBy: ['service', 'outcome'], table: answer('total', [row(1, { service: long, outcome: 'upstream_unavailable' })]) });
  assert.match(shown(Number.POSITIVE_INFINITY), new RegExp(`${long} +upstream_unavailable`));
  assert.match(shown(80), /a-serv[a-z-]*… +upstream_unavailable/);
});

test('a sparkline leaves nothing out', () => {
  assert.deepEqual(sparkline([0, 1, 4, 8], 80), { line: '·▂▅█', perCharacter: 1 });
  assert.deepEqual(sparkline([1, 1, 1, 0, 0], 3), { line: '█▅·', perCharacter: 2 });
  assert.deepEqual(sparkline([], 3), { line: '', perCharacter: 1 });
  assert.equal(bar(1, 1000, 10), '▏');
  assert.equal(bar(1000, 1000, 10), '█'.repeat(10));
  assert.equal(bar(0, 1000, 10), '');
});

test('figures keep the digits that matter', () => {
  assert.deepEqual([0, 999, 1000, 1_234_567].map(count), ['0', '999', '1,000', '1,234,567']);
  assert.deepEqual([0, 999, 1000, 1_234_567, 99_600, 999_960].map(bytes), ['0 B', '999 B', '1.0 kB', '1.2 MB', '100 kB', '1.0 MB']);
  assert.deepEqual([0, 1023, 1024, 8 * 2 ** 30, 20 * 2 ** 20].map(binaryBytes), ['0 B', '1023 B', '1.0 KiB', '8.0 GiB', '20 MiB']);
  assert.deepEqual([null, 0.0012, 1.234, 12.34, 1234.5].map(milliseconds), ['-', '0.001', '1.23', '12.3', '1,235']);
  assert.deepEqual([share(0, 0), share(0, 5), share(1, 1_000_000), share(1, 80), share(1, 3), share(3, 3)], ['0 %', '0 %', '<0.1 %', '1.3 %', '33 %', '100 %']);
});

const status: NodeStatus = {
  node: 'edge-1', version: '0.1.0', started_at: '2026-11-21T09:00:00.000Z', ready: true, reasons: [],
  shape: { part: 'whole', event_log: 'spool', store: 'chdb', shared_state: 'node' },
  config: {
    version: '0123456789ab', source: 'file', loaded_at: '2026-11-21T09:30:00.000Z',
    last_reload: { at: '2026-11-21T10:00:00.000Z', result: 'rejected', errors: [{ file: 'tidegate.yaml', line: 3, column: 5, path: 'services', message: 'must be array', code: 'config_schema' }] },
  },
  workers: [{ worker: 1, pid: 4711, stream: 'fedcba9876543210', state: 'serving', config_version: '0123456789ab', config_error: null, rss_bytes: 91_000_000, connections: 12 },
    { worker: 2, pid: 4712, stream: '0123456789abcdef', state: 'starting', config_version: null, config_error: null, rss_bytes: null, connections: null }],
  targets: [{ service: 'catalogue', target: 'http://127.0.0.1:9001', healthy: true }, { service: 'catalogue', target: 'http://127.0.0.1:9002', healthy: false }],
  limits: [{ key: 'qpd:app:acme:2026-11-21', limit: 1000, used: 1000, leased: 0 }, { key: 'qps:gateway', limit: 500, used: null, leased: 20 }],
  spool: { bytes: 1_200_000, max_bytes: 8_589_934_592, streams: 2, dropped: 0 }, shipping: null, sharing: null,
  collector: { lag_seconds: 0.3, stored: 12_345, gaps: 0, gaps_total: 0, repeats: 0, quarantined: 0, in_quarantine: 0, failing: null, publishing: null, billing: null, store: null }, collector_fault: null, restart: null
};
const STATUS = `\
node         edge-1, Tidegate 0.1.0, since 2026-11-21T09:00:00Z
ready        yes
shape        gateway and collector; events: spool to chdb; limits: its own
config       0123456789ab, since 2026-11-21T09:30:00Z (file)
             the reload at 2026-11-21T10:00:00Z was rejected:
             tidegate.yaml:3:5: services: must be array (config_schema)

worker   pid  state     connections  memory  config        stream
     1  4711  serving            12   91 MB  0123456789ab  fedcba9876543210
     2  4712  starting            -       -  -             0123456789abcdef

service    target                 health
catalogue  http://127.0.0.1:9001  healthy
catalogue  http://127.0.0.1:9002  out

limit                       of   used  leased
qpd:app:acme:2026-11-21  1,000  1,000       0
qps:gateway                500      -      20

spool        1.1 MiB of 8.0 GiB, 2 streams
collector    12,345 events stored since it began, lag 0.3 s, no gap, no repeat
today        complete so far (UTC)
`;

test('a status in 80 columns', () => {
  const text = renderStatus(PLAIN, status, { time_zone: 'UTC', complete: true, reasons: [] });
  assert.equal(text, STATUS);
  for (const line of text.split('\n')) assert.ok(line.length <= 80, line);
});

test('a status says what is wrong', () => {
  const text = renderStatus(PLAIN, {
    ...status, ready: false, reasons: ['0 of 2 workers serve'], workers: [], collector: null, spool: { ...status.spool, dropped: 3 },
  }, null);
  assert.match(text, /ready +no: 0 of 2 workers serve/);
  assert.match(text, /workers +none/);
  assert.match(text, /collector +does not answer/);
  assert.match(text, /3 events dropped/);
  const gaps = renderStatus(PLAIN, { ...status, collector: { lag_seconds: 90, stored: 1, gaps: 2, gaps_total: 2, repeats: 0, quarantined: 0, in_quarantine: 1, failing: null, publishing: null, billing: null, store: null } }, { time_zone: 'UTC', complete: false, reasons: ['2 events are missing'] });
  const refused = { ...status, workers: status.workers.map((worker) => ({ ...worker, config_error: worker.worker === 2 ? '127.0.0.1:80: address in use' : null })) };
  assert.match(renderStatus(PLAIN, refused, null), /\nworker 2 could not apply the configuration: 127\.0\.0\.1:80: address in use\n/);
  assert.match(gaps, /lag 90\.0 s, 2 gaps, 1 in quarantine \(tidegate quarantine list\)\n/);
  assert.match(gaps, /incomplete \(UTC\)\n +2 events are missing/);
});

test('a status of half a node says which, and does not miss the other', () => {
  const gateway = renderStatus(PLAIN, { ...status, shape: { part: 'gateway', event_log: 'kafka', store: null, shared_state: 'redis' }, collector: null }, null);
  assert.match(gateway, /shape +gateway alone; events: kafka; limits: shared by redis\n/);
  assert.match(gateway, /collector +elsewhere\n/);
  const fault = { code: 'store_access', detail: 'wrong password', since: '2026-11-21T10:00:00.000Z' };
  const collector = renderStatus(PLAIN, { ...status, shape: { part: 'collector', event_log: 'kafka', store: 'clickhouse', shared_state: 'node' }, workers: [], collector: null, collector_fault: fault }, null);
  assert.match(collector, /shape +collector alone; events: kafka to clickhouse; limits: its own\n/);
  assert.doesNotMatch(collector, /workers/);
  assert.match(collector, /collector +does not start since .*: wrong password \(store_access\); events wait in Kafka\n/);
});
