import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, request as httpRequest, type IncomingMessage, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { promisify } from 'node:util';
import type { InjectOptions } from 'fastify';
import { eventually } from '../../test/harness/deadline.js';
import type { AppConfig, ServiceConfig } from '../config/schema.js';
import type { ControlDeps, NodeStatus } from './control-deps.js';
import { ENDPOINTS, type Endpoint } from './endpoints.js';
import { ReportQuota } from './report-quota.js';
import { createControlServer } from './server.js';
import { controlToken, tokenPath } from './token.js';
import { WrongTokens } from './wrong-tokens.js';

const TOKEN = 'operator-token-0123456789';
const ACME_KEY = 'tg_acme';
const LEVEL = { level: 'info', configured: 'info', until: null } as const;
const FAULT = { file: 'tidegate.yaml', line: 3, column: 5, path: 'services', message: 'must be array', code: 'config_schema' } as const;

const folder = mkdtempSync(join(tmpdir(), 'tidegate-control-'));
const collectorSocket = join(folder, 'collector.sock');
let ready = true;
let metricsOpen = false;
let metricsBody: string | null = null;
let metricsMade = 0;
let metricsWait: Promise<void> | null = null;
let rejected = false;
let standsStill = false;
let token = TOKEN;
const made: unknown[] = [];
const events = new EventEmitter();
const logged: string[] = [];
const log = { info: (fields: unknown, text: string) => logged.push(JSON.stringify(fields) + text), warn: () => undefined, error: (fields: unknown) => logged.push(JSON.stringify(fields)) };

const deps: ControlDeps = {
  token: () => token, tokens: () => [], quota: new ReportQuota(() => 300), collectorSocket, collectorStandsStill: () => standsStill, log,
  identify: (bearer) => Promise.resolve(bearer === ACME_KEY ? 'acme' : null),
  wrongTokens: new WrongTokens({ count: () => undefined, log: { warn: () => undefined }, aMinute: 1_000_000 }), trustedProxies: () => null, connectionsPerClient: () => 1000,
  timeZoneOf: (app) => (app === 'acme' ? 'Asia/Kolkata' : app === 'globex' ? 'America/New_York' : null),
  address: () => 'Gateway.internal:9180', metricsOpen: () => metricsOpen,
  readiness: () => ({ ready, reasons: ready ? [] : ['no worker serves'] }),
  metrics: async ({ accept, scraper }) => {
    metricsMade++;
    await metricsWait;
    return { contentType: accept.includes('openmetrics') ? 'application/openmetrics-text' : 'text/plain', body: metricsBody ?? `tidegate_workers 2\n# ${scraper}\n` };
  },
  status: () => Promise.resolve({ node: 'n' } as NodeStatus),
  live: (app) => Promise.resolve({ in_flight: { site: app === null ? 3 : 1, services: {}, apps: {} }, quotas: {} }),
  logLevel: () => LEVEL, setLogLevel: () => LEVEL, resetLogLevel: () => LEVEL,
  restart: () => 3,
  declareGap: (fromMs, toMs) => ({ stream: '0', node: 'n', from: new Date(fromMs).toISOString(), to: toMs === null ? 'started' : new Date(toMs).toISOString() }),
  reload: () => Promise.resolve({ result: rejected ? 'rejected' : 'applied', version: 'aaaaaaaaaaaa', errors: rejected ? [FAULT] : [] }),
  services: () => [{ name: 'catalogue' } as ServiceConfig],
  apps: () => [{ name: 'acme' } as AppConfig],
  createKey: (app, request) => { made.push(request); return Promise.resolve(app === 'acme' ? { app, id: 'k-1', key: 'tg_secret', scopes: request.scopes } : null); },
  revokeKey: (app, id) => Promise.resolve(app !== 'acme' ? 'unknown' : id === 'k-1' ? 'revoked' : id === 'k-0' ? 'ended' : 'unknown'),
  history: (limit) => Promise.resolve([{ version: 'aaaaaaaaaaaa', time: '', source: 'start', author: '', diff: [], more: limit }]),
  diff: async (text, signal) => {
    if (text === 'slow') {
      events.emit('begun');
      await once(signal, 'abort');
      events.emit('left');
    }
    return { from: 'a', to: 'b', changes: [], errors: text.includes('bad') ? [FAULT] : [] };
  },
};
const control = createControlServer(deps, '0.1.0');

/** Stands for the collector: says what it was asked, and by whom. */
let collector: Server;
const streaming: IncomingMessage[] = [];
before(async () => {
  collector = createServer((request, response) => {
    if (request.url?.startsWith('/v1/reports/live') === true) {
      streaming.push(request);
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: {"site":{"requ');
      setImmediate(() => { response.write('ests":7}}\n\n: no numbers\n\n'); });
      return;
    }
    if (request.url === '/v1/completeness?day=slow') {
      collector.emit('slow', request);
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json', 'x-tidegate-complete': 'true', 'set-cookie': 'no=no' });
    response.end(JSON.stringify({ url: request.url, headers: request.headers }));
  });
  collector.listen(collectorSocket);
  await once(collector, 'listening');
  await control.listen({ host: '127.0.0.1', port: 0 });
});
after(async () => {
  await control.close();
  collector.closeAllConnections();
  collector.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Answer { readonly status: number; readonly body: Record<string, unknown>; readonly headers: Record<string, unknown>; readonly text: string }

async function ask(method: string, url: string, bearer: string | null, more: Partial<InjectOptions> = {}): Promise<Answer> {
  const answer = await control.inject({
    method: method as 'GET', url, ...more, headers: { ...(bearer === null ? {} : { authorization: `Bearer ${bearer}` }), ...more.headers },
  });
  const json = String(answer.headers['content-type']).includes('json');
  return { status: answer.statusCode, body: json ? answer.json<Record<string, unknown>>() : {}, headers: answer.headers, text: answer.body };
}

test('a token that is replaced while the node runs is the only one at once', async () => {
  token = 'operator-token-of-tomorrow';
  try {
    assert.equal((await ask('GET', '/v1/status', TOKEN)).status, 401);
    assert.equal((await ask('GET', '/v1/status', 'operator-token-of-tomorrow')).status, 200);
  } finally {
    token = TOKEN;
  }
});

test('bearers that look like the token are not the token', async () => {
  for (const bearer of [TOKEN.slice(0, -1), `${TOKEN}x`, TOKEN.toUpperCase(), '', ' ']) {
    assert.equal((await ask('GET', '/v1/status', bearer)).status, 401, bearer);
  }
  for (const authorization of [TOKEN, `Basic ${TOKEN}`, `Bearer${TOKEN}`, `Bearer ${TOKEN} x`]) {
    const { status, headers } = await ask('GET', '/v1/status', null, { headers: { authorization } });
    assert.equal(status, 401, authorization);
    assert.match(String(headers['www-authenticate']), /^Bearer/);
  }
  assert.equal((await ask('GET', `/v1/status?token=${TOKEN}`, null)).status, 401);
});

test('metrics need no token on loopback, and elsewhere by option; no header makes a peer local', async () => {
  for (const remoteAddress of ['127.0.0.1', '127.8.8.8', '::1', '::ffff:127.0.0.1']) assert.equal((await ask('GET', '/metrics', null, { remoteAddress })).status, 200, remoteAddress);
  for (const remoteAddress of ['10.0.0.1', '::ffff:10.0.0.1', '128.0.0.1', '2001:db8::1']) {
    assert.equal((await ask('GET', '/metrics', null, { remoteAddress, headers: { 'x-forwarded-for': '127.0.0.1', forwarded: 'for=127.0.0.1' } })).status, 401, remoteAddress);
  }
  metricsOpen = true;
  assert.equal((await ask('GET', '/metrics', null, { remoteAddress: '10.0.0.1' })).status, 200);
  metricsOpen = false;
  const open = await ask('GET', '/metrics', null, { headers: { accept: 'application/openmetrics-text' } });
  assert.match(String(open.headers['content-type']), /openmetrics/);
});

test('readiness gives its reasons to loopback and the operator only', async () => {
  ready = false;
  const remoteAddress = '10.0.0.1';
  assert.deepEqual(await ask('GET', '/readyz', null).then(({ status, body }) => [status, body]), [503, { ready: false, reasons: ['no worker serves'] }]);
  assert.deepEqual((await ask('GET', '/readyz', null, { remoteAddress })).body, { ready: false });
  assert.deepEqual((await ask('GET', '/readyz', TOKEN, { remoteAddress })).body, { ready: false, reasons: ['no worker serves'] });
  ready = true;
  assert.equal((await ask('GET', '/readyz', null)).status, 200);
});

test('who scrapes is known by address and name; a person who looks is nobody', async () => {
  const asked = async (remoteAddress: string, headers: Readonly<Record<string, string>>): Promise<string> => (await ask('GET', '/metrics', null, { remoteAddress, headers })).text;
  const prometheus = { 'user-agent': 'Prometheus/2.42.0', 'x-prometheus-scrape-timeout-seconds': '10' };
  assert.equal(await asked('127.0.0.1', prometheus), 'tidegate_workers 2\n# 127.0.0.1 Prometheus/2.42.0\n');
  assert.notEqual(await asked('127.0.0.2', prometheus), await asked('127.0.0.1', prometheus));
  assert.match(await asked('127.0.0.1', { 'user-agent': 'curl/7.88.1' }), /# null/);
});

test('answers of metrics that nobody reads are few, keep nobody else from theirs, and give way', async () => {
  // more than sockets of both ends hold
  metricsBody = 'x'.repeat(24 * 1024 * 1024);
  const { port } = control.server.address() as AddressInfo;
  const silent: Socket[] = [];
  const madeBefore = metricsMade;
  let read = 0;
  const scrape = async (localAddress: string): Promise<IncomingMessage> => {
    const asked = httpRequest({ port, host: '127.0.0.1', path: '/metrics', localAddress, agent: false }).end();
    const [answer] = await once(asked, 'response') as [IncomingMessage];
    answer.resume();
    await once(answer, 'end');
    if (answer.statusCode === 200) read++;
    return answer;
  };
  const untilClosed = async (): Promise<void> => {
    for (const socket of silent) socket.destroy();
    await eventually('the connections are closed', async () => (await promisify(control.server.getConnections.bind(control.server))() === 0 ? true : null), 10_000, 1);
  };
  try {
    for (let i = 0; i < 4; i++) {
      const socket = connect(port, '127.0.0.1').pause().on('error', () => {});
      silent.push(socket);
      socket.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(20));
    }
    const refused = await eventually('places are taken', async () => {
      const answer = await scrape('127.0.0.1');
      return answer.statusCode === 503 ? answer : null;
    });
    assert.deepEqual([refused.headers['retry-after'], refused.headers['content-type']], ['1', 'application/problem+json; charset=utf-8']);
    assert.equal((await ask('GET', '/metrics', null)).body['code'], 'metrics_busy');
    assert.equal((await scrape('127.0.0.2')).statusCode, 200, 'of another address');
    assert.ok(metricsMade - madeBefore - read <= 8, `of eighty that nobody reads, ${metricsMade - madeBefore - read} were made`);
    await eventually('one that is not read gives way', async () => ((await scrape('127.0.0.1')).statusCode === 200 ? true : null));
    await untilClosed();
    let made = (): void => {};
    metricsWait = new Promise((resolve) => { made = resolve; });
    const madeEarlier = metricsMade;
    const leaving = connect(port, '127.0.0.1').pause().on('error', () => {});
    silent.push(leaving);
    leaving.write('GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(8));
    await eventually('all are being made', () => (metricsMade === madeEarlier + 8 ? true : null), 10_000, 1);
    await untilClosed();
    made();
    metricsWait = null;
    assert.equal((await ask('GET', '/metrics', null)).status, 200, 'who leaves before its answers are made gives their places back');
  } finally {
    metricsBody = metricsWait = null;
    for (const socket of silent) socket.destroy();
  }
});

test('a page whose name was made to point here reads neither metrics nor reasons: the Host must be a name of this machine', async () => {
  ready = false;
  for (const [host, local] of [
    ['localhost:9180', true], ['LOCALHOST', true], ['127.0.0.1:9180', true], ['127.8.8.8', true], ['[::1]:9180', true], ['gateway.internal:9180', true], ['GATEWAY.internal', true],
    ['evil.example:9180', false], ['evil.example', false], ['127.0.0.1.evil.example:9180', false], ['localhost.evil.example', false], ['gateway.internal.evil.example', false], ['10.0.0.1', false],
    ['[::1', false], ['a@localhost', false], ['localhost:9180:x', false], [':9180', false],
  ] as const) {
    assert.equal((await ask('GET', '/metrics', null, { headers: { host } })).status, local ? 200 : 401, host);
    assert.equal('reasons' in (await ask('GET', '/readyz', null, { headers: { host } })).body, local, host);
  }
  assert.equal((await ask('GET', '/metrics', TOKEN, { headers: { host: 'evil.example' } })).status, 200, 'with the token, under any name');
  ready = true;
});

test('every answer carries the security headers and no CORS', async () => {
  for (const url of ['/healthz', '/v1/status', '/nothing', '/v1/reports/traffic']) {
    const { headers } = await ask('GET', url, url === '/v1/status' ? null : TOKEN, { headers: { origin: 'https://evil.example' } });
    assert.equal(headers['x-content-type-options'], 'nosniff', url);
    assert.match(String(headers['content-security-policy']), /default-src 'none'/);
    assert.equal(headers['cache-control'], 'no-store');
    assert.equal(headers['access-control-allow-origin'], undefined);
    assert.equal(headers['set-cookie'], undefined);
  }
});

test('the collector is told who asks by this side alone', async () => {
  const forged = { 'x-tidegate-principal': 'operator', 'x-tidegate-time-zone': 'UTC', cookie: 'a=b' };
  const asked = await ask('GET', '/v1/reports/traffic?app=acme&group_by=app%2Cservice', ACME_KEY, { headers: forged });
  const headers = asked.body['headers'] as Record<string, string>;
  assert.equal(asked.body['url'], '/v1/reports/traffic?app=acme&group_by=app%2Cservice');
  assert.deepEqual([headers['x-tidegate-principal'], headers['x-tidegate-time-zone'], headers['cookie'], headers['authorization']], ['app:acme', 'Asia/Kolkata', undefined, undefined]);
  assert.equal(asked.headers['x-tidegate-complete'], 'true');
  const zones = { '?app=globex': 'America/New_York', '?app=acme&app=globex': 'UTC', '?app=nobody': 'UTC', '': 'UTC' };
  for (const [query, zone] of Object.entries(zones)) {
    const { headers: told } = (await ask('GET', `/v1/reports/traffic${query}`, TOKEN)).body as { headers: Record<string, string> };
    assert.deepEqual([told['x-tidegate-principal'], told['x-tidegate-time-zone']], ['operator', zone], query);
  }
  assert.equal((await ask('GET', '/v1/requests/..%2F..%2Fstatus', ACME_KEY)).body['url'], '/v1/requests/..%2F..%2Fstatus');
  assert.equal((await ask('GET', '/status', ACME_KEY)).status, 404);
});

test('live numbers stream through, and a reader that leaves is gone at the collector too', { timeout: 60_000 }, async () => {
  const { port } = control.server.address() as AddressInfo;
  const reader = httpRequest({ port, path: '/v1/reports/live', headers: { authorization: `Bearer ${TOKEN}`, accept: 'text/event-stream' } }).end();
  const [response] = await once(reader, 'response') as [IncomingMessage];
  let text = '';
  response.on('data', (piece: Buffer) => { text += piece.toString(); });
  await eventually('an event and a comment', () => (text.endsWith('numbers\n\n') ? true : null));
  assert.equal(text, 'data: {"site":{"requests":7},"in_flight":{"site":3,"services":{},"apps":{}},"quotas":{}}\n\n: no numbers\n\n');
  const atCollector = streaming.at(-1) as IncomingMessage;
  const left = once(atCollector.socket, 'close');
  reader.destroy();
  await left;
});

test('an asker that leaves before the answer leaves the collector too', { timeout: 60_000 }, async () => {
  const { port } = control.server.address() as AddressInfo;
  const waiting = once(collector, 'slow') as Promise<[IncomingMessage]>;
  const reader = httpRequest({ port, path: '/v1/completeness?day=slow', headers: { authorization: `Bearer ${ACME_KEY}` } }).on('error', () => undefined).end();
  const [{ socket }] = await waiting;
  const left = once(socket, 'close');
  reader.destroy();
  await left;
});

test('a collector that stands still is waited for no longer, and not asked', { timeout: 30_000 }, async () => {
  const heard = once(collector, 'slow');
  const waiting = ask('GET', '/v1/completeness?day=slow', TOKEN);
  await heard;
  let more = 0;
  const count = (): void => { more++; };
  standsStill = true;
  collector.on('slow', count);
  try {
    for (const { status, body } of [await waiting, await ask('GET', '/v1/completeness?day=slow', TOKEN)]) assert.deepEqual([status, body['code']], [503, 'collector_unavailable']);
    assert.equal(more, 0);
  } finally {
    standsStill = false;
    collector.off('slow', count);
  }
  assert.equal((await ask('GET', '/v1/completeness', TOKEN)).status, 200);
});

test('without a collector reports say so, and the rest goes on', async () => {
  const alone = createControlServer({ ...deps, collectorSocket: join(folder, 'nobody.sock') }, '0.1.0');
  const report = await alone.inject({ url: '/v1/reports/traffic', headers: { authorization: `Bearer ${TOKEN}` } });
  assert.deepEqual([report.statusCode, report.json<{ code: string }>().code], [503, 'collector_unavailable']);
  assert.equal((await alone.inject({ url: '/v1/status', headers: { authorization: `Bearer ${TOKEN}` } })).statusCode, 200);
  await alone.close();
});

test('configuration: read, reload, compare, history', async () => {
  assert.deepEqual((await ask('GET', '/v1/services', TOKEN)).body, { services: [{ name: 'catalogue' }] });
  assert.deepEqual((await ask('GET', '/v1/services/catalogue', TOKEN)).body, { name: 'catalogue' });
  assert.deepEqual((await ask('GET', '/v1/apps/nobody', TOKEN)).body['code'], 'not_found');
  assert.deepEqual((await ask('POST', '/v1/reload', TOKEN)).body, { result: 'applied', version: 'aaaaaaaaaaaa' });
  rejected = true;
  const refused = await ask('POST', '/v1/reload', TOKEN);
  rejected = false;
  assert.deepEqual([refused.status, refused.body['code'], refused.body['errors']], [422, 'config_rejected', [FAULT]]);
  const yaml = { headers: { 'content-type': 'application/yaml' } };
  assert.deepEqual((await ask('POST', '/v1/config/diff', TOKEN, { payload: 'version: 1', ...yaml })).body, { from: 'a', to: 'b', changes: [] });
  assert.equal((await ask('POST', '/v1/config/diff', TOKEN, { payload: 'bad', ...yaml })).status, 422);
  assert.equal((await ask('POST', '/v1/config/diff', TOKEN)).body['code'], 'malformed_request');
  assert.equal(((await ask('GET', '/v1/config/history', TOKEN)).body['entries'] as { more: number }[])[0]?.more, 100);
  for (const limit of ['0', '1001', 'x', '1&limit=2']) assert.equal((await ask('GET', `/v1/config/history?limit=${limit}`, TOKEN)).body['parameter'], 'limit', limit);
  assert.equal((await ask('GET', '/v1/config/history?l=1', TOKEN)).body['parameter'], 'l');
});

test('a gap is declared with its times, which are instants; without the second it ends at the node\'s start', async () => {
  const declare = async (payload: object): Promise<Answer> => ask('POST', '/v1/gaps', TOKEN, { payload });
  assert.deepEqual((await declare({ from: '2026-11-23T10:00:00+05:30', to: '2026-11-23T05:00:00.5Z' })).body, { stream: '0', node: 'n', from: '2026-11-23T04:30:00.000Z', to: '2026-11-23T05:00:00.500Z' });
  assert.equal((await declare({ from: '2026-11-23T10:00:00Z' })).body['to'], 'started');
  for (const [payload, parameter] of [[{}, ''], [{ from: 'yesterday' }, 'from'], [{ from: '2026-11-23' }, 'from'], [{ from: '2026-11-23T23:59:60Z' }, 'from'], [{ from: '2026-11-23T10:00:00Z', to: '1h' }, 'to'], [{ from: '2026-11-23T10:00:00Z', node: 'b' }, 'node']] as const) {
    const { status, body } = await declare(payload);
    assert.deepEqual([status, body['code'], body['parameter']], [400, 'invalid_parameter', parameter], JSON.stringify(payload));
  }
  assert.deepEqual((await ask('POST', '/v1/gaps', TOKEN)).body['code'], 'invalid_parameter');
});

test('keys are made for known apps and scopes, and their text is in no log', async () => {
  const made1 = await ask('POST', '/v1/apps/acme/keys', TOKEN);
  assert.deepEqual([made1.status, made1.body], [201, { app: 'acme', id: 'k-1', key: 'tg_secret', scopes: ['traffic', 'reports'] }]);
  assert.deepEqual((await ask('POST', '/v1/apps/acme/keys', TOKEN, { payload: { scopes: ['reports'] } })).body['scopes'], ['reports']);
  assert.equal((await ask('POST', '/v1/apps/nobody/keys', TOKEN)).body['code'], 'not_found');
  for (const payload of [{ scopes: ['root'] }, { scopes: [] }, { scope: 'traffic' }, []]) {
    assert.equal((await ask('POST', '/v1/apps/acme/keys', TOKEN, { payload })).body['code'], 'invalid_parameter', JSON.stringify(payload));
  }
  assert.equal((await ask('DELETE', '/v1/apps/acme/keys/k-1', TOKEN)).status, 204);
  assert.equal((await ask('DELETE', '/v1/apps/acme/keys/k-2', TOKEN)).body['code'], 'not_found');
  assert.match(String((await ask('DELETE', '/v1/apps/acme/keys/k-0', TOKEN)).body['detail']), /revoked already/);
  assert.equal(logged.some((line) => line.includes('tg_secret') || line.includes(TOKEN)), false);
});

test('a wrong method is 405 with Allow, a wrong path 404', async () => {
  const { status, headers, body } = await ask('POST', '/v1/services/catalogue', TOKEN);
  assert.deepEqual([status, headers['allow'], body['code']], [405, 'GET', 'method_not_allowed']);
  assert.equal((await ask('GET', '/v1/reports/nothing', TOKEN)).status, 404);
});

test('a path that cannot be decoded, or has an endless name, is answered by a problem with its code', async () => {
  for (const [url, status, code] of [
    ['/%zz', 400, 'bad_path'], ['/v1/apps/%', 400, 'bad_path'], ['/v1/apps/%ff', 400, 'bad_path'], [`/v1/apps/${'a'.repeat(201)}`, 414, 'uri_too_long'], [`/v1/apps/${'a'.repeat(200)}`, 404, 'not_found'],
  ] as const) {
    const answer = await ask('GET', url, TOKEN);
    assert.deepEqual([answer.status, answer.body['code'], answer.body['status']], [status, code, status], url);
    assert.match(String(answer.headers['content-type']), /^application\/problem\+json/, url);
    assert.equal(answer.headers['x-content-type-options'], 'nosniff', url);
  }
});

test('/openapi.json lists exactly the routes there are', async () => {
  const routes: string[] = [];
  const listed = createControlServer(deps, '0.1.0');
  // routes are added as the server is made, before a hook could see them: its printed tree is what it serves
  for (const endpoint of Object.values<Endpoint>(ENDPOINTS)) assert.ok(listed.hasRoute({ method: endpoint.method, url: endpoint.path }), endpoint.path);
  await listed.ready();
  const tree = listed.printRoutes({ commonPrefix: false });
  await listed.close();
  const { paths } = (await ask('GET', '/openapi.json', null)).body as { paths: Record<string, Record<string, unknown>> };
  for (const [path, operations] of Object.entries(paths)) for (const method of Object.keys(operations)) routes.push(`${method.toUpperCase()} ${path}`);
  assert.equal(routes.length, Object.keys(ENDPOINTS).length);
  const served = [...tree.matchAll(/\(([A-Z, ]+)\)/g)].flatMap(([, methods]) => (methods as string).split(', '));
  assert.equal(served.length, routes.length, tree);
});

test('bytes that are not HTTP, a head that is too large, one that does not come: a problem with its code, then the end', async () => {
  const { port } = control.server.address() as AddressInfo;
  const late = (socket: Socket): void => { control.server.emit('clientError', Object.assign(new Error('late'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' }), socket); };
  const cases = [
    ['nonsense\r\n\r\n', 400, 'malformed_request', null],
    [`GET /healthz HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431, 'head_too_large', null],
    ['GET /healthz HTTP/1.1\r\n', 408, 'request_timeout', late],
  ] as const;
  for (const [bytes, status, code, happens] of cases) {
    if (happens !== null) control.server.once('connection', happens);
    const socket = connect(port, '127.0.0.1').setEncoding('latin1');
    let received = '';
    socket.on('data', (text) => { received += String(text); }).on('error', () => undefined);
    socket.write(bytes);
    await once(socket, 'close');
    assert.match(received, new RegExp(`^HTTP/1\\.1 ${status} [^]*content-type: application/problem\\+json\r\n`));
    assert.equal((JSON.parse(received.slice(received.indexOf('\r\n\r\n') + 4)) as { code: string }).code, code);
  }
});

test('the token is made once, is long, and is readable by its owner only', () => {
  const dataDir = mkdtempSync(join(folder, 'data-'));
  const first = controlToken(undefined, dataDir);
  assert.equal(first.made, true);
  assert.match(first.token, /^[\w-]{43}$/);
  assert.equal(statSync(tokenPath(dataDir)).mode & 0o777, 0o600);
  assert.equal(readFileSync(tokenPath(dataDir), 'utf8').trim(), first.token);
  chmodSync(tokenPath(dataDir), 0o644);
  assert.deepEqual(controlToken('', dataDir), { token: first.token, path: tokenPath(dataDir), made: false });
  assert.equal(statSync(tokenPath(dataDir)).mode & 0o777, 0o600);
  assert.deepEqual(controlToken('configured', dataDir), { token: 'configured', path: null, made: false });
  writeFileSync(tokenPath(dataDir), 'short\n');
  assert.throws(() => controlToken(undefined, dataDir), { code: 'data_dir_unusable' });
  assert.throws(() => controlToken(undefined, join(tokenPath(dataDir), 'below')), { code: 'data_dir_unusable' });
});

test('a diff is told that its asker has left', { timeout: 60_000 }, async () => {
  const { port } = control.server.address() as AddressInfo;
  const begun = once(events, 'begun');
  const left = once(events, 'left');
  const request = httpRequest({ host: '127.0.0.1', port, method: 'POST', path: '/v1/config/diff', headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/yaml' } });
  request.on('error', () => undefined).end('slow');
  await begun;
  request.destroy();
  await left;
});

test('a node without a collector says where to ask', async (t) => {
  const gateway = createControlServer({ ...deps, collectorSocket: null }, '0.1.0');
  t.after(() => gateway.close());
  for (const [method, url] of [['GET', '/v1/reports/traffic'], ['GET', '/v1/completeness'], ['GET', '/v1/requests/x'], ['POST', '/v1/quarantine/x/replay']] as const) {
    const answer = await gateway.inject({ method, url, headers: { authorization: `Bearer ${TOKEN}` } });
    assert.deepEqual([url, answer.statusCode, answer.json<{ code: string }>().code], [url, 421, 'collector_elsewhere']);
  }
  assert.equal((await gateway.inject({ method: 'GET', url: '/v1/completeness' })).statusCode, 401, 'and only to whoever may ask');
});
