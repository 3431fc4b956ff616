import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { InvalidParameterError } from '../../errors/invalid-parameter.js';
import { TidegateError } from '../../errors/tidegate-error.js';
import { formatRequestId } from '../../gateway/events/request-id.js';
import { insertEvents } from '../store/insert-events.fixture.js';
import type { Principal } from './principal.js';
import { openList, parseRequestsQuery, requestList, streamedCalls, type RequestList, type RequestsParameters } from './request-list.js';
import { requestEvent } from './requests.js';
import { events, NOW, openReports, OPERATOR, RAGGED, RANGE, type Event, type TestReports } from './traffic-events.fixture.js';

let reports: TestReports;
before(async () => { reports = await openReports(); });
after(() => reports[Symbol.asyncDispose]());

const ACME: Principal = { kind: 'app', app: 'acme' };
const idOf = (ordinal: number, stream = '0000000000000001'): string => formatRequestId(stream, ordinal);
const ask = (parameters: RequestsParameters, principal: Principal = OPERATOR): Promise<RequestList> =>
  requestList(reports.deps, parseRequestsQuery(parameters, { nowMs: NOW, principal }), { principal });
async function askAll(parameters: RequestsParameters, principal: Principal = OPERATOR): Promise<{ readonly ids: string[]; readonly pages: number }> {
  const ids: string[] = [];
  let pages = 0;
  for (let cursor: string | null = ''; cursor !== null; pages++) {
    const { rows, next }: RequestList = await ask({ ...parameters, ...(cursor === '' ? {} : { cursor }) }, principal);
    ids.push(...rows.map(({ id }) => String(id)));
    cursor = next;
  }
  return { ids, pages };
}

/** The same by the plainest way: newest first, and of one moment the later ordinal. */
function plain(fromMs: number, toMs: number, keep: (event: Event) => boolean): string[] {
  return events.map((event, ordinal) => ({ event, ordinal })).filter(({ event }) => event.requests === 1 && event.timeMs >= fromMs && event.timeMs < toMs && keep(event))
    .sort((a, b) => b.event.timeMs - a.event.timeMs || b.ordinal - a.ordinal).map(({ ordinal }) => idOf(ordinal));
}

const CASES: readonly (readonly [name: string, parameters: RequestsParameters, principal: Principal, keep: (event: Event) => boolean])[] = [
  ['all of four days', { ...RANGE, limit: 1000 }, OPERATOR, () => true],
  ['a ragged range', { ...RAGGED, limit: 997 }, OPERATOR, () => true],
  ['one app and route', { ...RANGE, app: ["o'hara"], route: ['item'], limit: 100 }, OPERATOR, (event) => event.app === "o'hara" && event.route === 'item'],
  ['statuses of a service', { ...RANGE, status: ['404', '503'], service: ['search'], limit: 500 }, OPERATOR, (event) => [404, 503].includes(event.status) && event.service === 'search'],
  ['a class of statuses, and one more', { ...RANGE, status: ['5xx,301', '404'], limit: 500 }, OPERATOR, (event) => event.status >= 500 && event.status < 600 || [301, 404].includes(event.status)],
  ['a rare outcome', { ...RANGE, outcome: ['draining'], limit: 7 }, OPERATOR, (event) => event.outcome === 'draining'],
  ['one path, exactly', { ...RANGE, path: ['/items'], limit: 1000 }, OPERATOR, (event) => event.path === '/items'],
  ['a path and all below it, and another', { ...RANGE, path: ['/items/*', '/search'], limit: 1000 }, OPERATOR, (event) => /^\/items(\/|$)|^\/search$/.test(event.path)],
  ['all paths: none of a call whose path is not kept', { ...RANGE, path: ['/*'], limit: 1000 }, ACME, (event) => event.app === 'acme' && event.path !== ''],
  ['one target', { ...RANGE, target: ['http://127.0.0.1:9002'], limit: 500 }, OPERATOR, (event) => event.target.endsWith('9002')],
  ['slow ones alone', { ...RANGE, slower_than: '20ms', limit: 50 }, OPERATOR, (event) => event.durationUs > 20_000],
  ['an app\'s own', { ...RANGE, limit: 500 }, ACME, (event) => event.app === 'acme'],
  ['nothing', { ...RANGE, service: ["x' OR 1=1 --"] }, OPERATOR, () => false],
];
for (const [name, parameters, principal, keep] of CASES) {
  test(`the calls that match, each once, newest first, over all pages: ${name}`, async () => {
    const expected = plain(Date.parse(parameters.from ?? ''), Date.parse(parameters.to ?? ''), keep);
    const { ids, pages } = await askAll(parameters, principal);
    assert.deepEqual(ids, expected);
    assert.equal(pages, Math.max(1, Math.ceil(expected.length / (parameters.limit ?? 100))));
  });
}

test('the slowest come first, each once over all pages, and of one duration the newer first', async () => {
  for (const [parameters, principal, keep] of [
    [{ ...RANGE, limit: 1000 }, OPERATOR, () => true],
    [{ ...RAGGED, limit: 97, slower_than: '15ms', path: ['/items/*'] }, OPERATOR, (event) => event.durationUs > 15_000 && /^\/items(\/|$)/.test(event.path)],
    [{ ...RANGE, limit: 333, status: ['5xx'] }, ACME, (event) => event.app === 'acme' && event.status >= 500],
  ] satisfies readonly (readonly [RequestsParameters, Principal, (event: Event) => boolean])[]) {
    const newest = plain(Date.parse(parameters.from), Date.parse(parameters.to), keep);
    const durations = new Map(events.map((event, ordinal) => [idOf(ordinal), event.durationUs]));
    const expected = newest.toSorted((a, b) => (durations.get(b) ?? 0) - (durations.get(a) ?? 0));
    assert.ok(new Set(newest.map((id) => durations.get(id))).size < newest.length, 'some take equally long');
    const { ids, pages } = await askAll({ ...parameters, sort: 'duration' }, principal);
    assert.deepEqual(ids, expected);
    assert.equal(pages, Math.ceil(expected.length / parameters.limit));
  }
});

test('slower_than is counted in whole microseconds, however it is written', () => {
  const us = (text: string): number | null => parseRequestsQuery({ ...RANGE, slower_than: text }, { nowMs: NOW, principal: OPERATOR }).slowerThanUs;
  for (const [text, expected] of [
    ['0.5ms', 500], ['1.5ms', 1500], ['0.001ms', 1], ['0.0015ms', 1], ['1.005ms', 1005], ['1.0005s', 1_000_500], ['0.25s', 250_000], ['0.000001s', 1], ['1m', 60_000_000], ['1.5h', 5_400_000_000], ['100000d', 8_640_000_000_000_000],
  ] as const) assert.equal(us(text), expected, text);
});

test('pages come apart where many calls have one moment, and a call that is stored meanwhile shifts nothing', async () => {
  const timeMs = Date.parse('2026-11-10T12:00:00.007Z');
  const made = ['00000000000000ff', '8000000000000001'].flatMap((stream) => Array.from({ length: 25 }, (_, ordinal) => ({ stream, ordinal, seq: ordinal, timeMs, app: 'twin' })));
  await insertEvents(reports.store, made);
  const parameters = { from: '2026-11-10T00:00:00Z', to: '2026-11-11T00:00:00Z', app: ['twin'], limit: 8 };
  const first = await ask(parameters);
  await insertEvents(reports.store, [{ stream: '00000000000000ff', ordinal: 99, seq: 99, timeMs: timeMs + 1, app: 'twin' }]);
  const ids = first.rows.map(({ id }) => String(id));
  for (let next = first.next; next !== null;) {
    const page: RequestList = await ask({ ...parameters, cursor: next });
    ids.push(...page.rows.map(({ id }) => String(id)));
    next = page.next;
  }
  assert.deepEqual(ids, ['8000000000000001', '00000000000000ff'].flatMap((stream) => Array.from({ length: 25 }, (_, i) => idOf(24 - i, stream))));
});

test('a row is what the request\'s own answer has, and to an app nothing of how the operator\'s side is built', async () => {
  for (const principal of [OPERATOR, ACME]) {
    const { rows, as_of: asOf, from, to } = await ask({ limit: 1, app: ['acme'] }, principal);
    const { id, ...row } = rows[0] ?? {};
    const { interim: _, ...whole } = await requestEvent(reports.deps.store, String(id), { principal });
    assert.deepEqual({ id, ...row }, whole);
    assert.equal('target' in row, principal === OPERATOR);
    assert.deepEqual([asOf, from, to], ['2026-11-21T10:07:30.250Z', '2026-11-20T10:15:00Z', '2026-11-21T10:15:00Z']);
  }
});

test('bad questions are refused as the traffic report refuses them; a cursor is good for its own question and asker alone', async () => {
  const { next } = await ask({ ...RANGE, limit: 1, service: ['search'] });
  const cursor = next ?? '';
  const invalid = async (parameters: RequestsParameters, parameter: string, principal: Principal = OPERATOR): Promise<void> => {
    await assert.rejects(async () => ask(parameters, principal), (error) => error instanceof InvalidParameterError && error.parameter === parameter, JSON.stringify(parameters));
  };
  await invalid({ from: 'yesteryear' }, 'from');
  await invalid({ from: RANGE.to, to: RANGE.from }, 'from');
  for (const text of ['', 'x', 'W10', Buffer.from('[0,1,"a",2,3,"0000000000000001",4]').toString('base64url')]) await invalid({ cursor: text }, 'cursor');
  await invalid({ cursor, service: ['catalogue'] }, 'cursor');
  await invalid({ cursor, service: ['search'], from: '2026-11-19T00:00:00Z' }, 'cursor');
  await invalid({ cursor, service: ['search'] }, 'cursor', ACME);
  await invalid({ cursor, service: ['search'], sort: 'duration' }, 'cursor');
  await invalid({ cursor, service: ['search'], slower_than: '1ms' }, 'cursor');
  for (const text of ['', '1', '-1s', '0s', '0.0009ms', '1 s', '1e3s', '1s; DROP', '999999999d']) await invalid({ slower_than: text }, 'slower_than');
  for (const text of ['5xx,', ',', '5xx 404', '6000']) await invalid({ status: [text] }, 'status');
  for (const text of ['', 'items', '*', '/items?id=1', '/items#top']) await invalid({ path: [text] }, 'path');
  await assert.rejects(async () => ask({ ...RANGE, target: ['http://127.0.0.1:9001'] }, ACME), { code: 'operator_only' });
  assert.equal((await ask({ cursor, service: ['search'], limit: 3 })).rows.length, 3, 'the range is in it, and the limit is free');
  for (const app of [['globex'], ['acme', 'globex'], ['nobody']]) {
    await assert.rejects(async () => ask({ ...RANGE, app }, ACME), (error) => error instanceof TidegateError && error.code === 'operator_only');
  }
  await assert.rejects(ask({ from: '2026-09-01T00:00:00Z', to: '2026-09-02T00:00:00Z' }), (error) =>
    error instanceof TidegateError && error.code === 'range_not_kept' && /needed for single requests\.$/.test(error.message));
});

test('days are those of the zone that is asked about, and what begins before the first kept day is listed from there', async () => {
  const day = await ask({ day: '2026-11-20', time_zone: 'Asia/Kolkata' });
  assert.deepEqual([day.from, day.to, day.clipped], ['2026-11-19T18:30:00Z', '2026-11-20T18:30:00Z', undefined]);
  assert.deepEqual(await ask({ from: 'yesterday', to: 'today', time_zone: 'Asia/Kolkata', limit: 1000 }), await ask({ day: 'yesterday', time_zone: 'Asia/Kolkata', limit: 1000 }));
  const old = await ask({ from: '2026-09-01', to: '2026-11-22', limit: 2 });
  assert.deepEqual([old.from, old.clipped], ['2026-10-23T00:00:00Z', true]);
  assert.equal((await ask({ from: '2026-09-01', to: '2026-11-22', limit: 2, cursor: old.next ?? '' })).rows.length, 2, 'a page further');
  const today = await ask({ day: 'today', limit: 1 });
  assert.equal((await ask({ day: 'today', limit: 1, cursor: today.next ?? '' })).from, today.from);
});

test('all that match are streamed, each once, newest first; how far a page reached is where the next one looks first', async () => {
  let statements = 0;
  const { store } = reports.deps;
  const counting = { ...reports.deps, store: Object.assign(Object.create(store) as typeof store, {
    query: (...args: Parameters<typeof store.query>) => { statements += 1; return store.query(...args); },
  }) };
  for (const pageRows of [100, 999, 50_000]) {
    const opened = await openList(counting, parseRequestsQuery({ ...RAGGED, app: ['acme'], format: 'csv' }, { nowMs: NOW, principal: OPERATOR }), { principal: OPERATOR });
    statements = 0;
    const ids: string[] = [];
    for await (const { id } of streamedCalls(counting, opened, pageRows)) ids.push(id);
    assert.deepEqual(ids, plain(Date.parse(RAGGED.from), Date.parse(RAGGED.to), (event) => event.app === 'acme'));
    // the first page finds out, and once in a while a page reaches further than the one before
    assert.ok(statements <= 5 + 1.5 * Math.ceil(ids.length / pageRows), `${statements} statements for ${ids.length} calls by ${pageRows}`);
  }
});

test('an asker that has left is searched for no longer', async () => {
  const gone = new AbortController();
  let statements = 0;
  const { store } = reports.deps;
  const watched = { ...reports.deps, store: Object.assign(Object.create(store) as typeof store, {
    query: (...args: Parameters<typeof store.query>) => {
      // two ask what is kept and imported
      if (++statements === 3) gone.abort(new TidegateError('report_busy', 'the asker has left'));
      return store.query(...args);
    },
  }) };
  const query = parseRequestsQuery({ ...RANGE, service: ['nobody has called it'] }, { nowMs: NOW, principal: OPERATOR });
  await assert.rejects(requestList(watched, query, { principal: OPERATOR, signal: gone.signal }), /the asker has left/);
  assert.equal(statements, 3);
});
