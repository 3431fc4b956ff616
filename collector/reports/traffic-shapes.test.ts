/** What a report can be made into: gaps filled, the largest groups, beside the period before, in pages, streamed; and the heatmap. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { TidegateError } from '../../errors/tidegate-error.js';
import { wasLetThrough } from '../../gateway/events/outcomes.js';
import { bucketBounds, formatInstant } from './calendar.js';
import { writeCursor } from './cursor.js';
import { latencyReport } from './latency.js';
import { bucketOf } from './percentiles.js';
import type { Principal } from './principal.js';
import { openReport, streamedRows, trafficReport, type TrafficDeps, type TrafficRow } from './traffic.js';
import { insertEvents } from '../store/insert-events.fixture.js';
import { events, NOW, openReports, OPERATOR, parse, RAGGED, RANGE, type TestReports } from './traffic-events.fixture.js';
import { csvHead, csvRow, ndjsonLine, trafficJson } from './traffic-format.js';
import type { TrafficParameters } from './traffic-query.js';

let reports: TestReports;
let deps: TrafficDeps;

before(async () => {
  reports = await openReports();
  ({ deps } = reports);
});
after(() => reports[Symbol.asyncDispose]());

const rowsOf = async (parameters: TrafficParameters, principal: Principal = OPERATOR): Promise<readonly TrafficRow[]> => (await trafficReport(deps, parse(parameters, principal))).rows;
const sumsOf = ({ requests, errors, refused, bytes_in: bytesIn, bytes_out: bytesOut, duration_ms: durations }: Omit<TrafficRow, 'time' | 'groups' | 'others' | 'partial'>) =>
  ({ requests, errors, refused, bytesIn, bytesOut, durations });
const keyOf = (row: TrafficRow): string => JSON.stringify([row.time, row.groups]);

test('gaps are filled with zeros for each group of the range, up to as_of, and nothing else changes', async () => {
  for (const parameters of [
    { ...RANGE, from: '2026-11-16T00:00:00Z', to: '2026-11-25T00:00:00Z', interval: 'day', time_zone: 'Australia/Lord_Howe', group_by: ['app', 'status_class'] },
    { from: '2026-11-21T08:00:00Z', to: '2026-11-21T10:30:00Z', interval: 'minute', group_by: ['route'] },
    { ...RAGGED, interval: 'hour', status: ['503'], group_by: ['status', 'app'] },
    { from: '2026-11-10T00:00:00Z', to: '2026-11-12T00:00:00Z', interval: 'hour' },
  ] as const) {
    const asked = parameters as unknown as TrafficParameters;
    const [plain, full] = [await rowsOf(asked), await rowsOf({ ...asked, fill: true })];
    const query = parse(asked);
    const gaps = full.filter((row) => !plain.some((other) => keyOf(other) === keyOf(row)));
    assert.deepEqual(full.filter((row) => !gaps.includes(row)), plain);
    for (const row of gaps) assert.deepEqual(sumsOf(row), { requests: 0, errors: 0, refused: 0, bytesIn: 0, bytesOut: 0, durations: { avg: null, p50: null, p90: null, p95: null, p99: null } });
    const begun = bucketBounds(query.interval, query.timeZone, query.fromMs, query.toMs).slice(0, -1).filter((startMs) => startMs < NOW - 1000);
    const groups = query.groupBy.length === 0 ? 1 : new Set(plain.map((row) => JSON.stringify(row.groups))).size;
    assert.equal(full.length, begun.length * groups);
    assert.deepEqual(full.map((row) => row.time), begun.flatMap((startMs) => Array.from({ length: groups }, () => formatInstant(startMs, query.timeZone))));
    assert.ok(gaps.length > 0);
  }
});

test('the largest groups stand in their order, and the rest together add up to all', async () => {
  for (const groupBy of [['app', 'route', 'status_class'], ['status'], ['outcome', 'method'], ['path']]) {
    const asked = { ...RANGE, interval: 'total', group_by: groupBy } as TrafficParameters;
    const all = [...await rowsOf(asked)].sort((a, b) => b.requests - a.requests);
    assert.ok(all.length > 4);
    const top = await rowsOf({ ...asked, top: 3 });
    assert.deepEqual(top.slice(0, 3).map((row) => row.requests), all.slice(0, 3).map((row) => row.requests));
    assert.deepEqual(top.slice(0, 3).map(({ groups, others }) => [groups, others]), all.slice(0, 3).map(({ groups }) => [groups, false]));
    const [rest, ...none] = top.slice(3) as [TrafficRow, ...TrafficRow[]];
    assert.deepEqual([none.length, rest.others, Object.values(rest.groups)], [0, true, groupBy.map(() => null)]);
    for (const name of ['requests', 'errors', 'refused', 'bytes_in', 'bytes_out'] as const) {
      assert.equal(rest[name], all.slice(3).reduce((sum, row) => sum + row[name], 0), name);
    }
    assert.deepEqual((await rowsOf({ ...asked, top: 1000 })).map((row) => row.others), all.map(() => false));
  }
  const days = await rowsOf({ ...RANGE, interval: 'day', group_by: ['app'], top: 2, fill: true });
  assert.deepEqual(days.map((row) => row.others), Array.from({ length: 4 }, () => [false, false, true]).flat());
  assert.equal(days.reduce((sum, row) => sum + row.requests, 0), (await rowsOf({ ...RANGE, interval: 'total' }))[0]?.requests);
});

test('beside each row stands the same of the period before, whose own report says it too', async () => {
  for (const [now, before] of [
    [{ from: '2026-11-20T00:00:00Z', to: '2026-11-22T00:00:00Z', interval: 'day' }, { from: '2026-11-18T00:00:00Z', to: '2026-11-20T00:00:00Z' }],
    // as far into the last bucket as the range goes
    [{ from: '2026-11-21T00:00:00Z', to: '2026-11-21T10:15:00Z', interval: 'day', group_by: ['app', 'status_class'] }, { from: '2026-11-20T00:00:00Z', to: '2026-11-20T10:15:00Z' }],
    [{ from: '2026-11-20T06:00:00Z', to: '2026-11-21T10:15:00Z', interval: 'total', group_by: ['service'] }, { from: '2026-11-19T01:45:00Z', to: '2026-11-20T06:00:00Z' }],
    [{ from: '2026-11-20T06:00:05.678Z', to: '2026-11-21T10:14:05.678Z', interval: 'total', group_by: ['app'] }, { from: '2026-11-19T01:46:05.678Z', to: '2026-11-20T06:00:05.678Z' }],
    // of a day under way, as much of the day before as has gone by
    [{ from: '2026-11-21T00:00:00Z', to: '2026-11-22T00:00:00Z', interval: 'total', group_by: ['app'] }, { from: '2026-11-20T00:00:00Z', to: '2026-11-20T10:08:00Z' }],
    // cut at its start, it follows on the period before: no hole between the two
    [{ from: '2026-11-20T10:15:00Z', to: '2026-11-21T10:15:00Z', interval: 'day', group_by: ['app'] }, { from: '2026-11-19T10:15:00Z', to: '2026-11-20T10:15:00Z' }],
    [{ from: '2026-11-21T08:30:00Z', to: '2026-11-21T09:30:00Z', interval: 'hour' }, { from: '2026-11-21T07:30:00Z', to: '2026-11-21T08:30:00Z' }],
    // cut at its start alone, it would overlap with what is a bucket nearer
    [{ from: '2026-11-20T10:15:00Z', to: '2026-11-22T00:00:00Z', interval: 'day' }, { from: '2026-11-18T10:15:00Z', to: '2026-11-20T00:00:00Z' }],
    // of a time to come, the day before has something
    [{ from: '2026-11-21T09:00:00Z', to: '2026-11-21T13:00:00Z', interval: 'hour', group_by: ['route'] }, { from: '2026-11-21T05:00:00Z', to: '2026-11-21T09:00:00Z' }],
    [{ from: '2026-11-22T00:00:00Z', to: '2026-11-23T00:00:00Z', interval: 'total', group_by: ['app', 'status_class'] }, { from: '2026-11-21T00:00:00Z', to: '2026-11-22T00:00:00Z' }],
    [{ from: '2026-11-21T08:30:00Z', to: '2026-11-21T09:00:00Z', interval: 'minute', group_by: ['outcome'] }, { from: '2026-11-21T08:00:00Z', to: '2026-11-21T08:30:00Z' }],
  ] as const) {
    const asked = now as unknown as TrafficParameters;
    const [own, earlier] = [await rowsOf(asked), await rowsOf({ ...asked, ...before })];
    const report = await trafficReport(deps, parse({ ...asked, compare: 'previous' }));
    assert.deepEqual([Date.parse(report.previous?.from ?? ''), Date.parse(report.previous?.to ?? '')], [Date.parse(before.from), Date.parse(before.to)]);
    assert.deepEqual(report.rows.filter(({ requests, bytes_out: bytes }) => requests > 0 || bytes > 0).map(({ previous: _, ...row }) => row), own);
    const seen = report.rows.flatMap(({ previous, groups }) => (previous === undefined || (previous.requests === 0 && previous.bytes_out === 0) ? [] : [{ time: previous.time, groups, ...sumsOf(previous) }]));
    assert.deepEqual(seen, earlier.map((row) => ({ time: row.time, groups: row.groups, ...sumsOf(row) })));
    assert.ok(earlier.length > 0);
    assert.ok(report.rows.every(({ previous }) => previous !== undefined));
    // the largest of both periods, all of them here, are the same rows by size
    if (asked.group_by !== undefined) {
      const top = await trafficReport(deps, parse({ ...asked, compare: 'previous', top: 1000 }));
      const lines = (rows: readonly TrafficRow[]): string[] => rows.map(({ time, groups, requests, previous }) => JSON.stringify([time, groups, requests, previous?.requests])).sort();
      assert.deepEqual(lines(top.rows), lines(report.rows));
    }
    const filled = await trafficReport(deps, parse({ ...asked, compare: 'previous', fill: true }));
    assert.deepEqual(filled.rows.filter((row) => report.rows.some((other) => keyOf(other) === keyOf(row))), report.rows, 'fill takes nothing away');
    // nothing of either period is made up
    assert.ok(report.rows.every((row) => row.requests + row.bytes_in + row.bytes_out + (row.previous?.requests ?? 0) + (row.previous?.bytes_in ?? 0) + (row.previous?.bytes_out ?? 0) > 0));
  }
});

test('a calendar month and the one before it are compared, however long each is; a day that the clock made shorter too', async () => {
  const previousOf = async (parameters: TrafficParameters) => (await trafficReport({ ...deps, kept: () => ({ eventsMs: 1e13, minutesMs: 1e13, quarterHoursMs: 1e13 }) }, parse({ ...parameters, compare: 'previous' }))).previous;
  const zone = 'America/New_York';
  assert.deepEqual(await previousOf({ from: '2026-11-01T00:00:00-04:00', to: '2026-12-01T00:00:00-05:00', interval: 'month', time_zone: zone }), { from: '2026-10-01T00:00:00-04:00', to: '2026-11-01T00:00:00-04:00' });
  assert.deepEqual(await previousOf({ from: '2026-03-08T00:00:00-05:00', to: '2026-03-09T00:00:00-04:00', interval: 'day', time_zone: zone }), { from: '2026-03-07T00:00:00-05:00', to: '2026-03-08T00:00:00-05:00' });
  // as far as the clock on the wall says, whenever it was turned
  assert.deepEqual(await previousOf({ from: '2026-11-01T00:00:00-04:00', to: '2026-11-15T00:00:00-05:00', interval: 'month', time_zone: zone }), { from: '2026-10-01T00:00:00-04:00', to: '2026-10-15T00:00:00-04:00' });
  assert.deepEqual(await previousOf({ from: '2026-03-01T00:00:00-05:00', to: '2026-03-15T00:00:00-04:00', interval: 'month', time_zone: zone }), { from: '2026-02-01T00:00:00-05:00', to: '2026-02-15T00:00:00-05:00' });
  assert.deepEqual(await previousOf({ from: '2026-11-01T00:00:00-04:00', to: '2026-11-01T12:00:00-05:00', interval: 'day', time_zone: zone }), { from: '2026-10-31T00:00:00-04:00', to: '2026-10-31T12:00:00-04:00' });
  await assert.rejects(previousOf({ from: '2026-03-30T00:00:00-04:00', to: '2026-03-31T00:00:00-04:00', interval: 'month', time_zone: zone }), { code: 'invalid_parameter', parameter: 'compare' });
  // 31 days into March are no days of February
  assert.deepEqual(await previousOf({ from: '2026-03-01T00:00:00-05:00', to: '2026-03-31T00:00:00-04:00', interval: 'month', time_zone: zone }), { from: '2026-02-01T00:00:00-05:00', to: '2026-03-01T00:00:00-05:00' });
  // whole days under one total, too, and of a week under way what has gone by of it
  assert.deepEqual(await previousOf({ from: '2026-11-02T00:00:00-05:00', to: '2026-11-03T00:00:00-05:00', interval: 'total', time_zone: zone }), { from: '2026-11-01T00:00:00-04:00', to: '2026-11-02T00:00:00-05:00' });
  assert.deepEqual(await previousOf({ from: '2026-11-16T00:00:00Z', to: '2026-11-23T00:00:00Z', interval: 'total' }), { from: '2026-11-09T00:00:00Z', to: '2026-11-14T10:15:00Z' });
  await assert.rejects(previousOf({ from: '1971-01-01T00:00:00Z', to: '1971-02-01T00:00:00Z', interval: 'month' }), { code: 'invalid_parameter', parameter: 'compare' });
});

test('page after page gives each row once, in the order of the whole, gaps too', async () => {
  for (const parameters of [
    { ...RANGE, interval: 'hour', group_by: ['app', 'status_class', 'route'] }, { ...RANGE, interval: 'day', group_by: ['status', 'outcome'], time_zone: 'Asia/Kathmandu' },
    { ...RAGGED, interval: 'hour', group_by: ['app'], fill: true }, { ...RANGE, interval: 'total', group_by: ['status', 'app'] },
  ] as unknown as TrafficParameters[]) {
    const whole = await rowsOf(parameters);
    for (const limit of [Math.ceil(whole.length / 7), whole.length, whole.length + 1]) {
      const paged: TrafficRow[] = [];
      let cursor: string | null = null;
      do {
        const page: Awaited<ReturnType<typeof trafficReport>> = await trafficReport(deps, parse({ ...parameters, limit, ...(cursor === null ? {} : { cursor }) }));
        assert.ok(page.rows.length === limit || page.next === null);
        paged.push(...page.rows);
        cursor = page.next ?? null;
      } while (cursor !== null);
      assert.deepEqual(paged, whole);
    }
  }
  assert.equal('next' in await trafficReport(deps, parse(RANGE)), false);
});

test('a cursor holds the range it was made of, and is good for its own question only', async () => {
  const asked: TrafficParameters = { group_by: ['app'], interval: 'hour', limit: 5 };
  const { next, from, to } = await trafficReport(deps, parse(asked));
  assert.ok(typeof next === 'string');
  // a quarter of an hour later the default range would be another
  const { from: sameFrom, to: sameTo } = await trafficReport({ ...deps, nowMs: () => NOW + 1_800_000 }, parse({ ...asked, cursor: next }));
  assert.deepEqual([sameFrom, sameTo], [from, to]);
  const refused = (parameters: TrafficParameters, principal?: Principal) =>
    { assert.throws(() => parse(parameters, principal), (error: { code: string; parameter: string }) => error.code === 'invalid_parameter' && error.parameter === 'cursor', JSON.stringify(parameters)); };
  for (const other of [{ interval: 'day' }, { group_by: ['route'] }, { group_by: [] }, { app: ['acme'] }, { status: ['200'] }, { time_zone: 'Asia/Tokyo' }, { fill: true }, { from: RANGE.from }] as TrafficParameters[]) {
    refused({ ...asked, cursor: next, ...other });
  }
  refused({ ...asked, cursor: next }, { kind: 'app', app: 'acme' });
  refused({ group_by: ['app'], interval: 'hour', cursor: next });
  for (const text of ['', 'x', '%%%', 'bnVsbA', Buffer.from('[]').toString('base64url'), Buffer.from('[1,2,"x",4,"a"]').toString('base64url'), Buffer.from('[-1,2,"x",4]').toString('base64url'), ...MOVED.map((range) => moved(next, range)), 'a'.repeat(8000)]) refused({ ...asked, cursor: text });
});

/** Ranges that a question itself may not have: their buckets would be counted for minutes. */
const MOVED = [[31_536_000_000, 1.2e14], [0, 5e12], [-1, 9e15], [Date.UTC(1970, 11, 31), NOW]] as const;

function moved(cursor: string, range: readonly [number, number]): string {
  const [, , ...rest] = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as unknown[];
  return Buffer.from(JSON.stringify([...range, ...rest])).toString('base64url');
}

test('a cursor that an app makes up to stand anywhere leads to its own rows only', async () => {
  const acme: Principal = { kind: 'app', app: 'acme' };
  const query = parse({ ...RANGE, group_by: ['app'], interval: 'hour', limit: 50 }, acme);
  for (const keys of [['globex'], [''], ["' OR 1=1 --"], ['\u0000']]) {
    const cursor = writeCursor(query, { bucket: Math.floor(query.fromMs / 1000), keys });
    const rows = await rowsOf({ ...RANGE, group_by: ['app'], interval: 'hour', limit: 50, cursor }, acme);
    assert.ok(rows.length > 0 && rows.every((row) => row.groups.app === 'acme'));
  }
});

test('what is streamed is the whole report, some rows at a time, and each page waits for its turn', async () => {
  const query = parse({ ...RANGE, interval: 'minute', group_by: ['app', 'route', 'status_class'], from: '2026-11-20T00:00:00Z' });
  const whole = (await trafficReport(deps, query)).rows;
  let turns = 0;
  const opened = await openReport(deps, query);
  const store = Object.assign(Object.create(deps.store) as typeof deps.store, {
    query: (...asked: Parameters<typeof deps.store.query>) => {
      turns += 1;
      return deps.store.query(...asked);
    },
  });
  const streamed: TrafficRow[] = [];
  for await (const row of streamedRows({ ...opened, reading: { ...opened.reading, store } }, 500)) streamed.push(row);
  assert.deepEqual(streamed, whole);
  // of no more rows than a page, nor of many more buckets than it has rows of
  assert.ok(turns > whole.length / 500 && turns < 40, `${turns} turns of ${whole.length} rows`);
});

test('CSV and NDJSON say what the JSON says, others and the period before included', async () => {
  const query = parse({ from: '2026-11-20T00:00:00Z', to: '2026-11-22T00:00:00Z', interval: 'day', group_by: ['app'], top: 2, compare: 'previous' });
  const report = await trafficReport(deps, query);
  const json = (JSON.parse(trafficJson(report)) as { rows: Record<string, unknown>[] }).rows;
  assert.deepEqual(report.rows.map((row) => JSON.parse(ndjsonLine(row)) as unknown), json);
  const head = csvHead(query).trimEnd().split(',');
  assert.equal(json.length, 6);
  for (const [index, row] of report.rows.entries()) {
    const cells: Readonly<Record<string, string>> = Object.fromEntries(csvRow(row, query).trimEnd().split(',').map((cell, i) => [head[i] ?? '', cell]));
    const said = json[index] as { time: string; app: string | null; requests: number; others?: true; previous: { time: string; requests: number } };
    assert.deepEqual([cells['time'], cells['app'], cells['requests'], cells['others'], cells['previous_time'], cells['previous_requests']],
      [said.time, said.app ?? '', String(said.requests), String(said.others ?? false), said.previous.time, String(said.previous.requests)]);
  }
});

test('what does not go together is refused by name', () => {
  for (const [parameters, parameter] of [
    [{ top: 3 }, 'top'], [{ cursor: writeCursor(parse(RANGE), { bucket: 1, keys: [] }) }, 'cursor'], [{ limit: 5, top: 3, group_by: ['app'] }, 'limit'], [{ limit: 5, compare: 'previous' }, 'limit'],
  ] as readonly (readonly [TrafficParameters, string])[]) {
    assert.throws(() => parse(parameters), (error: { code: string; parameter: string }) => error.code === 'invalid_parameter' && error.parameter === parameter, JSON.stringify(parameters));
  }
});

test('a whole report that has too many rows is refused, and says how it can be had', async () => {
  const buckets = Array.from({ length: 50_001 }, (_, i) => ({ bucket: Math.floor(parse(RANGE).fromMs / 1000), g0: `app-${i}`, n_latency: {}, n_requests: 1 }));
  const many = { ...deps, store: Object.assign(Object.create(deps.store) as typeof deps.store, { query: () => Promise.resolve(buckets) }) };
  await assert.rejects(trafficReport(many, parse({ ...RANGE, interval: 'total', group_by: ['app'] })), (error: unknown) => error instanceof TidegateError && error.code === 'report_too_large' && /limit/.test(error.message));
});

test('the heatmap counts each request that was let through in its time and its duration', async () => {
  const query = parse({ ...RANGE, interval: 'day', app: ['acme', 'globex'], time_zone: 'Asia/Kolkata' });
  const { rows } = await latencyReport(deps, query);
  const bounds = bucketBounds('day', query.timeZone, query.fromMs, query.toMs);
  const expected = new Map<string, number>();
  for (const event of events) {
    if (event.timeMs < query.fromMs || event.timeMs >= query.toMs || !['acme', 'globex'].includes(event.app) || event.requests === 0 || !wasLetThrough(event.outcome, event.attempts)) continue;
    const key = `${formatInstant(bounds[bounds.findIndex((bound) => bound > event.timeMs) - 1] as number, query.timeZone)} ${bucketOf(event.durationUs)}`;
    expected.set(key, (expected.get(key) ?? 0) + 1);
  }
  const told = new Map(rows.flatMap(({ time, durations }) => durations.map(([fromMs, toMs, requests]) => {
    assert.ok(fromMs < toMs && requests > 0);
    return [`${time} ${bucketOf(Math.sqrt(fromMs * toMs) * 1000)}`, requests] as const;
  })));
  assert.deepEqual([...told].sort(), [...expected].sort());
  for (const { requests, durations } of rows) assert.equal(requests, durations.reduce((sum, [, , count]) => sum + count, 0));
  const none = await latencyReport(deps, parse({ from: '2026-11-10T00:00:00Z', to: '2026-11-11T00:00:00Z', interval: 'hour', fill: true }));
  assert.deepEqual(none.rows.map(({ requests, durations }) => [requests, durations]), Array.from({ length: 24 }, () => [0, []]));
});

test('groups by path are bounded, whatever clients ask for: the largest stand by themselves, long ones that begin alike as one, and the report says from when paths are kept', async () => {
  const at = (hour: number): number => Date.parse('2026-11-12T00:00:00Z') + hour * 3_600_000;
  const long = `/${'x'.repeat(300)}`;
  const paths = [...Array.from({ length: 1050 }, (_, index) => `/walk/${String(index).padStart(4, '0')}`), '/walk/0007', `${long}/a`, `${long}/b`, `${long}/b`];
  await insertEvents(reports.store, [
    { timeMs: at(1), path: '', ordinal: 0, seq: 0 }, ...paths.map((path, index) => ({ timeMs: at(2 + index / 100), path, ordinal: index + 1, seq: index + 1 })),
  ].map((event) => ({ ...event, stream: '00000000000000aa', app: 'walker' })));
  const asked: TrafficParameters = { from: '2026-11-12', to: '2026-11-13', interval: 'total', group_by: ['path'] };
  await insertEvents(reports.store, [{ timeMs: at(23), path: '/late', ordinal: 9000, seq: 9000, stream: '00000000000000aa', app: 'walker', status: 503, method: 'PUT', outcome: 'draining' }]);
  for (const filter of [{ status: ['5xx'] }, { method: ['PUT'] }, { outcome: ['draining'] }, { path: ['/late'] }]) {
    const late = await trafficReport(deps, parse({ ...asked, ...filter }));
    assert.deepEqual([late.rows.map(({ requests }) => requests), late.paths_from], [[1], '2026-11-12T02:00:00Z'], 'since when paths are kept does not depend on what is asked of them');
  }
  for (const principal of [OPERATOR, { kind: 'app', app: 'walker' } as const]) {
    const { rows, ...head } = await trafficReport(deps, parse(asked, principal));
    assert.equal(head.paths_from, '2026-11-12T02:00:00Z');
    assert.deepEqual([rows.length, rows[0]?.groups, rows[0]?.requests, rows[1]?.groups, rows[1]?.requests], [1001, { path: long.slice(0, 200) }, 3, { path: '/walk/0007' }, 2]);
    assert.deepEqual([rows.at(-1)?.others, rows.at(-1)?.groups, rows.at(-1)?.requests], [true, { path: null }, 1056 - 3 - 2 - 998]);
    assert.equal(rows.reduce((sum, row) => sum + row.requests, 0), 1056);
  }
  const days = await trafficReport(deps, parse({ ...asked, group_by: ['path', 'method'], top: 2, interval: 'day' }));
  assert.deepEqual(days.rows.map(({ groups, others, requests }) => [groups.path, others, requests]), [[long.slice(0, 200), false, 3], ['/walk/0007', false, 2], [null, true, 1051]]);
  assert.equal((await trafficReport(deps, parse({ ...asked, from: '2026-11-13', to: '2026-11-14' }))).paths_from, null);
  assert.equal('paths_from' in await trafficReport(deps, parse({ ...asked, group_by: ['method'] })), false);
  assert.throws(() => parse({ ...asked, limit: 10 }), { parameter: 'limit' });
});
