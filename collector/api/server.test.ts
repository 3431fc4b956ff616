import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { request, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ERROR_CODES } from '../../errors/codes.js';
import { formatRequestId } from '../../gateway/events/request-id.js';
import { insertEvents, type MadeEvent } from '../store/insert-events.fixture.js';
import { migrate } from '../store/migrate.js';
import { ChdbStore } from '../store/chdb-store.js';
import { eventually } from '../../test/harness/deadline.js';
import { createCollectorApi, listenCollectorApi } from './server.js';
import type { FastifyInstance } from 'fastify';

const NOW = Date.parse('2026-11-21T10:07:31.250Z');
const STREAM = 'fedcba9876543210';
const folder = mkdtempSync(join(tmpdir(), 'tidegate-api-'));
const socketPath = join(folder, 'collector.sock');
const completenessAsked: (readonly [string, string])[] = [];
/** When days begin whose record is whole. */
const WHOLE: ReadonlySet<string> = new Set(['2026-11-19T00:00:00.000Z']);
const RECORDED_FROM = '2026-11-18T09:00:00.000Z';
const errors: unknown[] = [];
const warnings: (readonly [fields: Readonly<Record<string, unknown>>, text: string])[] = [];
const left: string[] = [];
const log = { debug: (_fields: unknown, text: string): void => { left.push(text); }, warn: (fields: Readonly<Record<string, unknown>>, text: string): void => { warnings.push([fields, text]); }, error: (fields: unknown): void => { errors.push(fields); } };
let store: ChdbStore;
let api: FastifyInstance;
let nowMs = NOW;
const ASIDE = { id: `${STREAM}-0-7`, log: 'events/0', stream: STREAM, segment: 0, from_offset: 7, to_offset: 8, reason: 'checksum', file: 'events.quarantine/0/0', noted_at: '2026-11-21T10:00:00Z', replayed_at: null };
const replayed: string[] = [];
const NOTHING_PUT_ASIDE = { list: () => Promise.resolve([]), replay: () => Promise.reject(new Error()) };

before(async () => {
  store = await ChdbStore.open(join(folder, 'store'));
  await migrate(store);
  // one request a second for 20 s, acme and globex by turns; the last one is a long connection with an interim row
  const rows = Array.from({ length: 20 }, (_, index) => row(index, index, NOW - (20 - index) * 1000, 1));
  await insertEvents(store, [...rows, row(19, 20, NOW - 900, 0)]);
  api = createCollectorApi({
    store, asOfMs: () => NOW, nowMs: () => nowMs, status: () => ({ lag_seconds: 0.5 }),
    kept: () => ({ eventsMs: 30 * 86_400_000, minutesMs: 90 * 86_400_000, quarterHoursMs: 1100 * 86_400_000 }),
    quarantine: {
      list: () => Promise.resolve([ASIDE]),
      replay: (id) => {
        replayed.push(id);
        return Promise.resolve(ASIDE);
      },
    },
    completeness: (spans) => {
      completenessAsked.push(...spans.map(({ fromMs, toMs }) => [new Date(fromMs).toISOString(), new Date(toMs).toISOString()] as const));
      return Promise.resolve(spans.map(({ fromMs }) => {
        const complete = WHOLE.has(new Date(fromMs).toISOString());
        return { complete, reasons: complete ? [] : ['3 events of stream x (node n1, worker 2) were dropped'], streams: [{ stream: STREAM, stored: 20 }], dropped: complete ? [] : [{ app: 'acme', count: 1 }, { app: 'globex', count: 2 }], recorded_from: RECORDED_FROM };
      }));
    },
    log,
  });
  await listenCollectorApi(api, socketPath);
});
after(async () => {
  await api.close();
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

function row(ordinal: number, seq: number, timeMs: number, requests: 0 | 1): MadeEvent {
  return {
    stream: STREAM, node: 'n1', worker: 2, ordinal, seq, timeMs, durationUs: 2500, upstreamUs: 2000, bytesIn: 10, bytesOut: 20, kind: requests === 1 ? 'request' : 'interim', requests,
    configVersion: 'aaaaaaaaaaaa', app: ordinal % 2 === 0 ? 'acme' : 'globex', client: '10.0.0.0/24', service: 'catalogue', route: 'items', target: 'http://127.0.0.1:9001', path: '/items',
  };
}

interface Answer { readonly status: number; readonly body: Record<string, unknown>; readonly text: string; readonly headers: Record<string, unknown> }

async function ask(url: string, principal: string | null, headers: Record<string, string> = {}): Promise<Answer> {
  const answer = await api.inject({ url, headers: { ...(principal === null ? {} : { 'x-tidegate-principal': principal }), ...headers } });
  const json = String(answer.headers['content-type']).includes('json');
  return { status: answer.statusCode, text: answer.body, headers: answer.headers, body: json ? answer.json<Record<string, unknown>>() : {} };
}

const PATHS = ['/v1/reports/traffic', '/v1/reports/latency', '/v1/reports/live', '/v1/completeness', '/v1/requests', `/v1/requests/${formatRequestId(STREAM, 0)}`];

test('nothing is answered to who is nobody', async () => {
  for (const path of PATHS) for (const principal of [null, '', 'app:', 'Operator', 'operator,operator', 'admin']) {
    const { status, body } = await ask(path, principal);
    assert.deepEqual([status, body['code']], [401, 'unauthenticated'], `${path} ${principal}`);
  }
});

test('a report in JSON and CSV, by parameter and by Accept', async () => {
  const json = await ask('/v1/reports/traffic?interval=total&group_by=app,service', 'operator');
  const rows = json.body['rows'] as Record<string, unknown>[];
  assert.deepEqual(rows.map((one) => [one['app'], one['service'], one['requests'], one['bytes_out']]), [['acme', 'catalogue', 10, 200], ['globex', 'catalogue', 10, 220]]);
  assert.deepEqual([json.body['complete'], json.body['missing'], json.body['as_of']], [false, ['3 events of stream x (node n1, worker 2) were dropped'], '2026-11-21T10:07:31.250Z']);
  for (const csv of [await ask('/v1/reports/traffic?format=csv', 'operator'), await ask('/v1/reports/traffic', 'operator', { accept: 'text/csv' })]) {
    assert.match(String(csv.headers['content-type']), /^text\/csv/);
    assert.match(String(csv.headers['content-disposition']), /filename="traffic.csv"/);
    assert.equal(csv.headers['x-tidegate-complete'], 'false');
    assert.equal(csv.text.split('\r\n').length, 3);
  }
});

test('zeros of a time before the record began are told from a count, in CSV by a header field', async () => {
  const asked = async (range: string): Promise<unknown> => (await ask(`/v1/reports/traffic?format=csv&${range}`, 'operator')).headers['x-tidegate-recorded'];
  assert.deepEqual([await asked('from=2026-11-16&to=2026-11-18'), await asked('from=2026-11-16&to=2026-11-19')], ['false', undefined]);
});

test('the default zone is the one the supervisor names', async () => {
  const { body } = await ask('/v1/reports/traffic', 'app:acme', { 'x-tidegate-time-zone': 'Asia/Kolkata' });
  assert.equal(body['time_zone'], 'Asia/Kolkata');
  assert.equal((await ask('/v1/reports/traffic?time_zone=UTC', 'app:acme', { 'x-tidegate-time-zone': 'Asia/Kolkata' })).body['time_zone'], 'UTC');
});

test('bad parameters are named, with what is allowed', async () => {
  const cases: readonly (readonly [string, string, boolean])[] = [
    ['format=xml', 'format', true], ['interval=week', 'interval', true], ['interval=hour&interval=day', 'interval', true],
    ['group_by=client', 'group_by', true], ['method=get', 'method', true], ['outcome=ok', 'outcome', true], ['status=abc', 'status', false], ['status=1000', 'status', false], ['status=0xx', 'status', false], ['status=5x', 'status', false],
    ['from=now', 'from', false], ['time_zone=Nowhere', 'time_zone', false], ['limit=0', 'limit', false], ['limit=50001', 'limit', false], ['top=0', 'top', false], ['top=x&group_by=app', 'top', false], ['compare=next', 'compare', true], ['fill=maybe', 'fill', false], ['cursor=x&limit=1', 'cursor', false], ['page=2', 'page', false], ['__proto__=1', '__proto__', false],
  ];
  for (const [query, parameter, listed] of cases) {
    const { status, body } = await ask(`/v1/reports/traffic?${query}`, 'operator');
    assert.deepEqual([status, body['code'], body['parameter'], Array.isArray(body['allowed'])], [400, 'invalid_parameter', parameter, listed], query);
  }
  assert.equal((await ask('/v1/reports/traffic?group_by=status&from=2026-09-01T00:00:00Z&to=2026-09-02T00:00:00Z', 'operator')).body['code'], 'range_not_kept');
  // of raw events alone
  for (const name of ['status', 'method', 'outcome', 'path', 'target', 'config_version']) assert.ok(ERROR_CODES.range_not_kept.remedy.includes(name), name);
  for (const [query, parameter] of [['status=abc', 'status'], ['outcome=ok', 'outcome'], ['limit=1001', 'limit'], ['cursor=x', 'cursor'], ['from=now', 'from'], ['method=GET', 'method'], ['interval=day', 'interval']] as const) {
    const { status, body } = await ask(`/v1/requests?${query}`, 'operator');
    assert.deepEqual([status, body['code'], body['parameter']], [400, 'invalid_parameter', parameter], query);
  }
  for (const path of ['/v1/completeness?day=2026-02-30', '/v1/completeness?day=someday', '/v1/completeness?day=0000-01-01']) {
    assert.equal((await ask(path, 'operator')).body['parameter'], 'day', path);
  }
  assert.equal((await ask('/v1/completeness?day=2011-12-30&time_zone=Pacific/Apia', 'operator')).body['parameter'], 'day');
});

test('a request is found by its id, by its own app and the operator only', async () => {
  const id = formatRequestId(STREAM, 4);
  const { body } = await ask(`/v1/requests/${id}`, 'operator');
  assert.deepEqual({ ...body, stored_at: '' }, {
    id, time: '2026-11-21T10:07:15.250Z', stream: STREAM, node: 'n1', worker: 2, seq: 4, ordinal: 4, app: 'acme', service: 'catalogue', route: 'items',
    target: 'http://127.0.0.1:9001', method: 'GET', status: 200, outcome: 'answered', protocol: 'http/1.1', kind: 'request', duration_us: 2500, upstream_us: 2000,
    bytes_in: 10, bytes_out: 20, requests: 1, counted: 1, billable: 1, attempts: 1, client: '10.0.0.0/24', path: '/items', trace_id: '', config_version: 'aaaaaaaaaaaa', refused_by: '', reason: '', stored_at: '',
  });
  const own = (await ask(`/v1/requests/${id}`, 'app:acme')).body;
  assert.deepEqual(Object.keys(body).filter((name) => !(name in own)).sort(), ['config_version', 'node', 'reason', 'refused_by', 'target', 'worker'], 'how the operator\'s side is built is not told to apps');
  for (const query of ['target=x', 'config_version=x', 'group_by=target', 'group_by=app,config_version']) {
    const refused = await ask(`/v1/reports/traffic?${query}`, 'app:acme');
    assert.deepEqual([refused.status, refused.body['code'], String(refused.body['detail']).split(':')[0]], [403, 'operator_only', query.split('=')[0]], query);
  }
  const foreign = await ask(`/v1/requests/${id}`, 'app:globex');
  const unknown = await ask(`/v1/requests/${formatRequestId(STREAM, 999)}`, 'app:globex');
  assert.deepEqual([foreign.status, foreign.body['code'], foreign.body['title']], [404, 'not_found', unknown.body['title']]);
  // nothing of whose it is, and nothing that is not so
  for (const { body: told } of [foreign, unknown]) assert.match(String(told['detail']), /^No request \S+ of your app is stored, or not yet: one is stored within about 2 s of its end, .* Requests that matched no route, or had no valid key, are of no app\.$/);
  assert.match(String((await ask(`/v1/requests/${formatRequestId(STREAM, 999)}`, 'operator')).body['detail']), /^No event of request/);
  for (const text of ["x' OR 1=1", '1', `${STREAM}-`, `${STREAM}-1%20OR%201`, '%00']) assert.equal((await ask(`/v1/requests/${encodeURIComponent(text)}`, 'operator')).body['parameter'], 'id', text);
  const long = (await ask(`/v1/requests/${formatRequestId(STREAM, 19)}`, 'operator')).body;
  assert.deepEqual([long['requests'], (long['interim'] as Record<string, unknown>[]).map((one) => one['seq'])], [1, [20]]);
});

test('live numbers: the last ten seconds and today, an app its own alone', async () => {
  const site = (await ask('/v1/reports/live', 'operator')).body;
  // 10 s before as_of, excluded, to as_of, included: the requests of -9 s to -1 s
  assert.deepEqual(site['site'], { qps: 0.9, requests: 20, errors: 0, refused: 0 });
  assert.deepEqual(site['apps'], { acme: { qps: 0.4, requests: 10, errors: 0, refused: 0 }, globex: { qps: 0.5, requests: 10, errors: 0, refused: 0 } });
  assert.deepEqual([site['day'], site['time_zone']], ['2026-11-21', 'UTC']);
  const own = await ask('/v1/reports/live?time_zone=Asia/Kolkata', 'app:acme');
  assert.deepEqual([own.body['site'], own.body['apps'], own.body['services']], [
    { qps: 0.4, requests: 10, errors: 0, refused: 0 }, { acme: { qps: 0.4, requests: 10, errors: 0, refused: 0 } }, { catalogue: { qps: 0.4, requests: 10, errors: 0, refused: 0 } },
  ]);
  assert.equal(own.text.includes('globex'), false);
});

test('live numbers stream, one event a second', { timeout: 60_000 }, async () => {
  const reader = request({ socketPath, path: '/v1/reports/live', headers: { accept: 'text/event-stream', 'x-tidegate-principal': 'app:globex' } }).end();
  const [response] = await once(reader, 'response') as [IncomingMessage];
  assert.match(String(response.headers['content-type']), /^text\/event-stream/);
  let text = '';
  for await (const piece of response) {
    text += String(piece);
    nowMs += 1000;
    if (text.split('\n\n').length > 2) break;
  }
  nowMs = NOW;
  const events = text.split('\n\n').filter((event) => event !== '').map((event) => JSON.parse(event.replace(/^data: /, '')) as { apps: object });
  assert.deepEqual(events.map((event) => Object.keys(event.apps)), [['globex'], ['globex']]);
});

test('a day is whose it is, and an app is told nothing of the others', async () => {
  completenessAsked.length = 0;
  const all = (await ask('/v1/completeness?day=2026-11-20', 'operator')).body;
  assert.deepEqual([all['complete'], all['reasons'], (all['streams'] as unknown[]).length], [false, ['3 events of stream x (node n1, worker 2) were dropped'], 1]);
  const own = await ask('/v1/completeness?day=2026-11-20', 'app:acme', { 'x-tidegate-time-zone': 'Asia/Kolkata' });
  assert.deepEqual(own.body, {
    day: '2026-11-20', time_zone: 'Asia/Kolkata', from: '2026-11-19T18:30:00.000Z', to: '2026-11-20T18:30:00.000Z', as_of: '2026-11-21T10:07:31.250Z', recorded_from: RECORDED_FROM, complete: false, recorded: true, dropped: [{ app: 'acme', count: 1 }],
    reasons: ['Something of this time is missing, or not proven to be there; the operator can see what.', '1 events of this app were dropped: its requests were answered, and not recorded.'],
  });
  assert.equal((await ask('/v1/reports/traffic', 'app:acme')).text.includes('n1'), false);
  assert.equal((await ask('/v1/completeness', 'operator')).body['day'], '2026-11-21');
  await ask('/v1/completeness?day=2026-03-08&time_zone=America/New_York', 'operator');
  assert.deepEqual(completenessAsked, [
    ['2026-11-20T00:00:00.000Z', '2026-11-21T00:00:00.000Z'], ['2026-11-19T18:30:00.000Z', '2026-11-20T18:30:00.000Z'],
    ['2026-11-21T00:00:00.000Z', '2026-11-22T00:00:00.000Z'], ['2026-03-08T05:00:00.000Z', '2026-03-09T04:00:00.000Z'],
  ]);
});

test('days of a range: a line each, in the order of the calendar, with what is wrong; an app learns of its own alone', async () => {
  completenessAsked.length = 0;
  const range = (await ask('/v1/completeness?from=2026-11-17&to=2026-11-20', 'operator')).body;
  const days = range['days'] as Record<string, unknown>[];
  assert.deepEqual(days.map(({ day, complete, recorded, reasons, dropped }) => [day, complete, recorded, reasons, dropped]), [
    ['2026-11-17', false, false, ['3 events of stream x (node n1, worker 2) were dropped'], [{ app: 'acme', count: 1 }, { app: 'globex', count: 2 }]],
    ['2026-11-18', false, true, ['3 events of stream x (node n1, worker 2) were dropped'], [{ app: 'acme', count: 1 }, { app: 'globex', count: 2 }]],
    ['2026-11-19', true, true, [], []],
  ]);
  assert.deepEqual([range['complete'], range['recorded_from'], range['time_zone'], 'streams' in (days[0] as object)], [false, RECORDED_FROM, 'UTC', false]);
  assert.deepEqual(completenessAsked.length, 3, 'and the store is read once for all');
  const own = await ask('/v1/completeness?from=2026-11-18&to=2026-11-20', 'app:acme', { 'x-tidegate-time-zone': 'Asia/Kolkata' });
  assert.deepEqual([own.body['time_zone'], (own.body['days'] as unknown[]).length, own.text.includes('globex'), own.text.includes('n1')], ['Asia/Kolkata', 2, false, false]);
  assert.deepEqual((own.body['days'] as unknown[])[0], {
    day: '2026-11-18', from: '2026-11-17T18:30:00.000Z', to: '2026-11-18T18:30:00.000Z', complete: false, recorded: true, dropped: [{ app: 'acme', count: 1 }],
    reasons: ['Something of this time is missing, or not proven to be there; the operator can see what.', '1 events of this app were dropped: its requests were answered, and not recorded.'],
  });
  // every word for a day, and today included where nothing is said of the end
  for (const [query, first, count] of [['from=2d', '2026-11-19', 3], ['from=yesterday', '2026-11-20', 2], ['from=monday&to=today', '2026-11-16', 5], ['from=today', '2026-11-21', 1], ['from=2026-11-24&to=2026-11-26', '2026-11-24', 2]] as const) {
    const told = (await ask(`/v1/completeness?${query}`, 'operator')).body['days'] as { readonly day: string; readonly recorded: boolean }[];
    assert.deepEqual([told[0]?.day, told.length], [first, count], query);
    if (query.includes('26')) assert.equal(told.some(({ recorded }) => recorded), false, 'these have not begun');
  }
  for (const [query, parameter] of [['to=today', 'to'], ['from=today&day=today', 'day'], ['from=today&to=yesterday', 'from'], ['from=2020-01-01', 'from'], ['from=someday', 'from']] as const) {
    const { status, body } = await ask(`/v1/completeness?${query}`, 'operator');
    assert.deepEqual([status, body['parameter']], [400, parameter], query);
  }
});

test('a range may have 1,100 days of its zone, however many hours they are, and a longer one is laid to what is far away', async () => {
  const told = async (query: string): Promise<unknown> => {
    const { body } = await ask(`/v1/completeness?${query}`, 'operator');
    return 'days' in body ? (body['days'] as unknown[]).length : [body['parameter'], /the range has \d+ days/.exec(String(body['detail']))?.[0]];
  };
  // an hour longer than 1,100 times 24: it begins in summer time and ends in winter time
  assert.deepEqual(await told('from=2023-10-27&to=2026-10-31&time_zone=Europe/Berlin'), 1100);
  assert.deepEqual(await told('from=2023-10-27&to=2026-10-31&time_zone=UTC'), 1100);
  assert.deepEqual(await told('from=2023-10-27&to=2026-11-01&time_zone=Europe/Berlin'), ['from', 'the range has 1101 days']);
  assert.deepEqual(await told('from=1099d'), 1100, 'with today');
  assert.deepEqual(await told('from=1100d'), ['from', 'the range has 1101 days']);
  assert.deepEqual(await told('from=today&to=2099-01-01'), ['to', 'the range has 26339 days']);
});

test('what an app puts into any parameter of any endpoint shows nothing of another app', async () => {
  const hostile = ['globex', "' OR app='globex", "acme') OR ('1'='1", '{tenant:String}', '\\', '\u0000', 'a\nglobex', "UTC') --", '*', 'app,tenant'];
  const parameters = ['app', 'service', 'route', 'target', 'config_version', 'method', 'outcome', 'status', 'group_by', 'time_zone', 'interval', 'format', 'from', 'to', 'day', 'fill', 'top', 'compare', 'limit', 'cursor', 'tenant', 'x'];
  for (const path of PATHS) for (const parameter of parameters) for (const value of hostile) {
    const url = `${path}?${parameter}=${encodeURIComponent(value)}`;
    const { status, body, text } = await ask(url, 'app:acme');
    assert.ok(status < 500, `${url}: ${text}`);
    if (status !== 200) continue;
    assert.equal(text.includes('globex'), false, url);
    for (const one of (body['rows'] ?? []) as Record<string, unknown>[]) assert.ok(Number(one['requests']) <= 10, url);
  }
  assert.deepEqual(errors, []);
});

test('the supervisor is told what counts against quotas, less what it has read itself', async () => {
  const whole = { startMs: NOW - 3_600_000, endMs: NOW };
  const counted = async (streams: readonly unknown[], days: readonly unknown[] = [whole]): Promise<unknown[]> => {
    const answer = await api.inject({ method: 'POST', url: '/counted', payload: { days, streams } });
    assert.equal(answer.statusCode, 200, answer.body);
    return answer.json<{ counts: { day: number; app: string; stream: string; count: number }[] }>().counts.map(({ day, app, stream, count }) => `${day} ${app} ${stream} ${count}`).sort();
  };
  assert.deepEqual(await counted([]), [`0 acme ${STREAM} 10`, `0 globex ${STREAM} 10`]);
  assert.deepEqual(await counted([{ stream: STREAM, before: 5 }, { stream: '0000000000000001', before: 0 }]), [`0 acme ${STREAM} 3`, `0 globex ${STREAM} 2`]);
  assert.deepEqual(await counted([{ stream: STREAM, before: 0 }]), []);
  assert.deepEqual(await counted([{ stream: '0000000000000001', before: 0 }], [{ startMs: 0, endMs: 1 }, whole]), [`1 acme ${STREAM} 10`, `1 globex ${STREAM} 10`]);
  assert.equal((await api.inject({ method: 'POST', url: '/counted', payload: { days: [], streams: [{ stream: "1'", before: 0 }] } })).statusCode, 400);
});

test('what the ledger asks goes ahead of the reports that wait', { timeout: 60_000 }, async () => {
  const asked: string[] = [];
  let last: Promise<unknown> = Promise.resolve();
  let open: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => { open = resolve; });
  let came: (sql: string) => void = () => undefined;
  const comes = (form: RegExp): Promise<void> => new Promise((resolve) => { came = (sql) => { if (form.test(sql)) resolve(); }; });
  /** One statement after the other, as the store has it; the first stays until it is let go. */
  const serial = {
    query: (sql: string): Promise<unknown[]> => {
      came(sql);
      const run = last.then(async () => {
        asked.push(/counted = 1/.test(sql) ? 'counted' : /coverage/.test(sql) ? 'completeness' : 'report');
        await gate;
        return [];
      });
      last = run;
      return run;
    },
  };
  const busy = createCollectorApi({
    store: serial, asOfMs: () => NOW, status: () => ({}), kept: () => ({ eventsMs: 1e12, minutesMs: 1e12, quarterHoursMs: 1e12 }), log,
    quarantine: NOTHING_PUT_ASIDE,
    completeness: async () => { await serial.query('coverage'); return [{ complete: true, reasons: [], streams: [] }]; },
  });
  const headers = { 'x-tidegate-principal': 'operator' };
  const first = comes(/./);
  const waiting = Array.from({ length: 8 }, (_, index) => [busy.inject({ url: '/v1/reports/traffic?interval=minute', headers }), busy.inject({ url: `/v1/completeness?day=2026-11-0${index + 1}`, headers })]).flat();
  await first;
  const countedComes = comes(/counted = 1/);
  const counted = busy.inject({ method: 'POST', url: '/counted', payload: { days: [{ startMs: 0, endMs: 1 }], streams: [] } });
  await countedComes;
  open();
  assert.equal((await counted).statusCode, 200);
  assert.deepEqual((await Promise.all(waiting)).map(({ statusCode }) => statusCode), waiting.map(() => 200));
  assert.equal(asked.indexOf('counted'), 1, asked.join());
  await busy.close();
});

test('a report refused because too many wait is a warning without a stack: nothing is broken', async () => {
  let open: () => void = () => undefined;
  const gate = new Promise<unknown[]>((resolve) => { open = () => { resolve([]); }; });
  const crowded = createCollectorApi({
    quarantine: NOTHING_PUT_ASIDE,
    store: { query: () => gate }, asOfMs: () => NOW, status: () => ({}), kept: () => ({ eventsMs: 1e12, minutesMs: 1e12, quarterHoursMs: 1e12 }),
    completeness: () => Promise.resolve([{ complete: true, reasons: [], streams: [] }]), log,
  });
  warnings.length = errors.length = 0;
  const id = formatRequestId(STREAM, 0);
  const asked = Array.from({ length: 5 }, () => crowded.inject({ url: `/v1/requests/${id}`, headers: { 'x-tidegate-principal': 'app:acme' } }));
  const refused = await Promise.race(asked);
  assert.deepEqual([refused.statusCode, refused.json<{ code: string }>().code], [503, 'report_busy']);
  assert.deepEqual(warnings, [[{ code: 'report_busy', url: `/v1/requests/${id}` }, 'a report was not made: 4 reports of this app are waiting']]);
  assert.deepEqual(errors, []);
  open();
  await Promise.all(asked);
  await crowded.close();
});

test('an asker that leaves while its report waits is a line at debug, no warning', async () => {
  let open: () => void = () => undefined;
  const gate = new Promise<unknown[]>((resolve) => { open = () => { resolve([]); }; });
  const slow = createCollectorApi({
    quarantine: NOTHING_PUT_ASIDE,
    store: { query: () => gate }, asOfMs: () => NOW, status: () => ({}), kept: () => ({ eventsMs: 1e12, minutesMs: 1e12, quarterHoursMs: 1e12 }),
    completeness: () => Promise.resolve([{ complete: true, reasons: [], streams: [] }]), log,
  });
  const path = join(folder, 'slow.sock');
  await listenCollectorApi(slow, path);
  warnings.length = errors.length = left.length = 0;
  const url = `/v1/requests/${formatRequestId(STREAM, 0)}`;
  const first = slow.inject({ url, headers: { 'x-tidegate-principal': 'operator' } });
  const arrived = once(slow.server, 'request') as Promise<[unknown, ServerResponse]>;
  const asker = request({ socketPath: path, path: url, headers: { 'x-tidegate-principal': 'operator' } }).on('error', () => undefined);
  asker.end();
  const [, answer] = await arrived;
  const gone = once(answer, 'close');
  asker.destroy();
  await gone;
  open();
  await first;
  await eventually('the line', () => left.length > 0 || null);
  assert.deepEqual([left, warnings, errors], [['a report was given up: the asker has left'], [], []]);
  await slow.close();
});

test('quarantine is the operator\'s', async () => {
  const ask = (method: 'GET' | 'POST', url: string, principal: string) => api.inject({ method, url, headers: { 'x-tidegate-principal': principal } });
  assert.deepEqual((await ask('GET', '/v1/quarantine', 'operator')).json(), { items: [ASIDE] });
  assert.deepEqual((await ask('POST', `/v1/quarantine/${ASIDE.id}/replay`, 'operator')).json(), ASIDE);
  for (const [method, url] of [['GET', '/v1/quarantine'], ['POST', `/v1/quarantine/${ASIDE.id}/replay`]] as const) {
    assert.equal((await ask(method, url, 'app:acme')).json<{ code: string }>().code, 'operator_only');
  }
  assert.deepEqual(replayed, [ASIDE.id]);
});

test('a store that fails tells the log why, not the asker', async () => {
  const broken = createCollectorApi({
    store: { query: () => Promise.reject(new Error('SELECT secret FROM t')) }, asOfMs: () => NOW, status: () => ({}), kept: () => ({ eventsMs: 1e12, minutesMs: 1e12, quarterHoursMs: 1e12 }),
    quarantine: NOTHING_PUT_ASIDE,
    completeness: () => Promise.resolve([{ complete: true, reasons: [], streams: [] }]), log,
  });
  const answer = await broken.inject({ url: '/v1/reports/traffic', headers: { 'x-tidegate-principal': 'operator' } });
  assert.deepEqual([answer.statusCode, answer.json<{ code: string }>().code, answer.body.includes('secret')], [500, 'internal_error', false]);
  assert.equal(errors.length, 1);
  await broken.close();
});

test('the socket is its owner\'s, and a dead collector\'s socket is no obstacle', async () => {
  assert.equal(statSync(socketPath).mode & 0o777, 0o600);
  const left = join(folder, 'left.sock');
  const again = (): FastifyInstance => createCollectorApi({ store, quarantine: NOTHING_PUT_ASIDE, asOfMs: () => 0, status: () => ({}), kept: () => ({ eventsMs: 0, minutesMs: 0, quarterHoursMs: 0 }), completeness: () => Promise.reject(new Error()), log });
  const first = again();
  await listenCollectorApi(first, left);
  const second = again();
  await listenCollectorApi(second, left);
  await Promise.all([first.close(), second.close()]);
});
