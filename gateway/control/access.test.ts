/** Every endpoint, asked by every role at both origins, against one table: an endpoint that has no line in it fails. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { FastifyInstance, InjectOptions } from 'fastify';
import { eventually } from '../../test/harness/deadline.js';
import { hashKey } from '../config/keys.js';
import type { AppConfig, ServiceConfig } from '../config/schema.js';
import type { ControlDeps, NodeStatus } from './control-deps.js';
import { ENDPOINTS, type Endpoint, type EndpointName, type Origin } from './endpoints.js';
import { MOST_UNDER_WAY, ReportQuota } from './report-quota.js';
import { createControlServer, createReportsServer } from './server.js';
import { WrongTokens } from './wrong-tokens.js';

const BEARERS = { nobody: null, wrong: 'wrong-token-0123456789', app: 'tg_acme', billing: 'billing-token-0123456789', read_only: 'reading-token-0123456789', operator: 'operator-token-0123456789' } as const;
type Who = keyof typeof BEARERS;

/** What each of BEARERS gets, in their order. */
const ANYONE = '200 200 200 200 200 200';
const READERS = '401 401 403 403 200 200';
const OPERATOR = '401 401 403 403 403 200';
const REQUESTS = '401 401 200 403 200 200';
const REPORTS = '401 401 200 200 200 200';
const APP_ALONE = '401 401 200 401 401 401';
const NOTHING = '404 404 404 404 404 404';
const TABLE: Readonly<Record<EndpointName, Readonly<Record<Origin, string>>>> = {
  healthz: { control: ANYONE, reports: NOTHING },
  readyz: { control: ANYONE, reports: NOTHING },
  metrics: { control: READERS, reports: NOTHING },
  openapi: { control: ANYONE, reports: NOTHING },
  status: { control: READERS, reports: NOTHING },
  reload: { control: OPERATOR, reports: NOTHING },
  restart: { control: OPERATOR, reports: NOTHING },
  declareGap: { control: OPERATOR, reports: NOTHING },
  logLevel: { control: READERS, reports: NOTHING },
  setLogLevel: { control: OPERATOR, reports: NOTHING },
  resetLogLevel: { control: OPERATOR, reports: NOTHING },
  services: { control: READERS, reports: NOTHING },
  service: { control: READERS, reports: NOTHING },
  apps: { control: READERS, reports: NOTHING },
  app: { control: READERS, reports: NOTHING },
  createKey: { control: OPERATOR, reports: NOTHING },
  revokeKey: { control: OPERATOR, reports: NOTHING },
  history: { control: READERS, reports: NOTHING },
  diff: { control: OPERATOR, reports: NOTHING },
  trafficReport: { control: REPORTS, reports: APP_ALONE },
  latencyReport: { control: REPORTS, reports: APP_ALONE },
  liveReport: { control: REPORTS, reports: APP_ALONE },
  completeness: { control: REPORTS, reports: APP_ALONE },
  requests: { control: REQUESTS, reports: APP_ALONE },
  request: { control: REQUESTS, reports: APP_ALONE },
  whatif: { control: READERS, reports: NOTHING },
  billingDays: { control: REPORTS, reports: APP_ALONE },
  closeDay: { control: OPERATOR, reports: NOTHING },
  adjustDay: { control: OPERATOR, reports: NOTHING },
  billingExport: { control: REPORTS, reports: APP_ALONE },
  billingReceipts: { control: OPERATOR, reports: NOTHING },
  quarantine: { control: READERS, reports: NOTHING },
  appData: { control: OPERATOR, reports: NOTHING },
  eraseApp: { control: OPERATOR, reports: NOTHING },
  rebuild: { control: OPERATOR, reports: NOTHING },
  recover: { control: OPERATOR, reports: NOTHING },
  replayQuarantine: { control: OPERATOR, reports: NOTHING },
};

const LEVEL = { level: 'info', configured: 'info', until: null } as const;
const folder = mkdtempSync(join(tmpdir(), 'tidegate-access-'));
let perMinute = 1_000_000;
/** As a token whose issuer must be asked for its keys first. */
const SLOW = 'slow-token-of-acme';
let slow = (): Promise<string> => Promise.resolve('acme');
const deps: ControlDeps = {
  token: () => BEARERS.operator, collectorSocket: join(folder, 'collector.sock'), collectorStandsStill: () => false,
  tokens: () => [{ name: 'finance', role: 'billing', sha256: hashKey(BEARERS.billing) }, { name: 'boards', role: 'read_only', sha256: hashKey(BEARERS.read_only) }],
  quota: new ReportQuota(() => perMinute), log: { info: () => undefined, warn: () => undefined, error: () => undefined },
  identify: (bearer) => (bearer === SLOW ? slow() : Promise.resolve(bearer === BEARERS.app ? 'acme' : null)),
  wrongTokens: new WrongTokens({ count: () => undefined, log: { warn: () => undefined }, aMinute: 1_000_000 }), trustedProxies: () => null, connectionsPerClient: () => 1000,
  timeZoneOf: (app) => (app === 'acme' ? 'Asia/Kolkata' : null), address: () => '127.0.0.1:9180', metricsOpen: () => false,
  readiness: () => ({ ready: true, reasons: ['no worker serves'] }), metrics: () => Promise.resolve({ contentType: 'text/plain', body: '' }),
  status: () => Promise.resolve({ node: 'n' } as NodeStatus), live: () => Promise.resolve({ in_flight: null, quotas: {} }), reload: () => Promise.resolve({ result: 'applied', version: 'a', errors: [] }), restart: () => 1, declareGap: () => ({ stream: '0', node: 'n', from: '', to: '' }),
  logLevel: () => LEVEL, setLogLevel: () => LEVEL, resetLogLevel: () => LEVEL,
  services: () => [{ name: 'catalogue' } as ServiceConfig], apps: () => [{ name: 'acme' } as AppConfig],
  createKey: (app, { scopes }) => Promise.resolve({ app, id: 'k-1', key: 'tg_new', scopes }), revokeKey: () => Promise.resolve('revoked'),
  history: () => Promise.resolve([]), diff: () => Promise.resolve({ from: 'a', to: 'b', changes: [], errors: [] }),
};
const origins: Readonly<Record<Origin, FastifyInstance>> = { control: createControlServer(deps, '0.1.0'), reports: createReportsServer(deps) };

/** Stands for the collector: says who asks it, or holds the answer back. */
let held = 0;
const collector = createServer((request, response) => {
  if (request.url?.includes('day=held') === true) {
    held++;
    return;
  }
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(request.headers));
});
before(async () => {
  await once(collector.listen(deps.collectorSocket), 'listening');
  await origins.reports.listen({ host: '127.0.0.1', port: 0 });
});
after(async () => {
  await Promise.all(Object.values(origins).map((origin) => origin.close()));
  collector.closeAllConnections();
  collector.close();
  rmSync(folder, { recursive: true, force: true });
});

interface Answer { readonly status: number; readonly body: Readonly<Record<string, string>>; readonly headers: Readonly<Record<string, unknown>> }

async function ask(origin: Origin, who: Who, { method, path }: Pick<Endpoint, 'method' | 'path'>): Promise<Answer> {
  const bearer = BEARERS[who];
  const bodies: Readonly<Record<string, InjectOptions['payload']>> = { '/v1/config/diff': 'version: 1', '/v1/log/level': { level: 'debug' }, '/v1/gaps': { from: '2026-11-23T10:00:00Z' } };
  const payload = method === 'POST' ? bodies[path] : undefined;
  const answer = await origins[origin].inject({
    method, url: path.replace('services/:name', 'services/catalogue').replace(':name', 'acme').replace(':id', 'x-1'), remoteAddress: '192.0.2.7', ...(payload === undefined ? {} : { payload }),
    headers: { ...(bearer === null ? {} : { authorization: `Bearer ${bearer}` }), ...(path.endsWith('/diff') ? { 'content-type': 'application/yaml' } : {}) },
  });
  return { status: answer.statusCode, body: String(answer.headers['content-type']).includes('json') ? answer.json<Record<string, string>>() : {}, headers: answer.headers };
}

test('every endpoint has a line in the table', () => {
  assert.deepEqual(Object.keys(TABLE), Object.keys(ENDPOINTS));
});

for (const origin of ['control', 'reports'] as const) {
  test(`who may use what at the ${origin === 'control' ? 'control origin' : 'apps\' own listener'}`, async () => {
    for (const [name, endpoint] of Object.entries<Endpoint>(ENDPOINTS)) {
      const got: string[] = [];
      for (const who of Object.keys(BEARERS) as Who[]) {
        const { status, body } = await ask(origin, who, endpoint);
        got.push(String(Math.floor(status / 100) === 2 ? 200 : status));
        const code = { 401: 'unauthenticated', 403: 'operator_only', 404: 'not_found' }[status];
        if (code !== undefined) assert.equal(body['code'], code, `${name} as ${who}`);
      }
      assert.equal(got.join(' '), TABLE[name as EndpointName][origin], `${endpoint.method} ${endpoint.path}`);
    }
  });
}

test('at the apps\' listener a control token is told what any wrong text is told, whatever its role', async () => {
  const wrong = await ask('reports', 'wrong', ENDPOINTS.trafficReport);
  assert.doesNotMatch(JSON.stringify(wrong.body), /control|operator|role/);
  assert.match(String(wrong.body['detail']), /^Send an API key of the app .* in Authorization: Bearer\.$/);
  assert.match(String((await ask('control', 'wrong', ENDPOINTS.status)).body['detail']), /^Send the control token, .* in Authorization: Bearer\.$/);
  for (const who of ['billing', 'read_only', 'operator'] as const) {
    const { status, body, headers } = await ask('reports', who, ENDPOINTS.trafficReport);
    assert.deepEqual([status, body], [401, wrong.body]);
    const { date: _, ...fields } = headers;
    const { date: __, ...expected } = wrong.headers;
    assert.deepEqual(fields, expected);
  }
  for (const method of ['POST', 'DELETE'] as const) {
    assert.equal((await ask('reports', 'operator', { method, path: '/v1/reload' })).body['code'], 'not_found', 'no method is told of what is not there');
  }
});

test('nobody can make either origin read a body for what is not there', async () => {
  for (const [origin, server] of Object.entries(origins)) {
    for (const [method, url, expected] of [['POST', '/x', 404], ['POST', '/v1/reports/traffic', 405], ['PUT', '/v1/reports/live', 405]] as const) {
      // a body that is no JSON would be a 400 if it was looked at
      const answer = await server.inject({ method, url, payload: '{"a":', headers: { 'content-type': 'application/json' } });
      assert.deepEqual([answer.statusCode, answer.headers['connection']], [expected, 'close'], `${method} ${url} at ${origin}`);
      assert.match(String(answer.headers['content-security-policy'] ?? answer.headers['x-content-type-options']), /./);
    }
  }
});

test('the collector is told which token reads, and never that a token is an app', async () => {
  for (const [who, principal, zone] of [['app', 'app:acme', 'Asia/Kolkata'], ['billing', 'operator:finance', 'UTC'], ['read_only', 'operator:boards', 'UTC'], ['operator', 'operator', 'UTC']] as const) {
    const { body } = await ask('control', who, ENDPOINTS.trafficReport);
    assert.deepEqual([body['x-tidegate-principal'], body['x-tidegate-time-zone']], [principal, zone]);
  }
});

test('reasons of readiness are told to whoever may read the status', async () => {
  for (const who of Object.keys(BEARERS) as Who[]) {
    assert.equal('reasons' in (await ask('control', who, ENDPOINTS.readyz)).body, who === 'read_only' || who === 'operator', who);
  }
});

test('each asker has its own number of queries a minute, at both origins together; the operator has no limit', async () => {
  perMinute = 3;
  try {
    // what the tests before have used up is owed no longer than a minute
    const quota = new ReportQuota(() => perMinute);
    Object.assign(deps, { quota });
    for (const who of ['app', 'billing', 'read_only'] as const) {
      for (const left of [2, 1, 0]) {
        const { status, headers } = await ask(who === 'app' && left === 1 ? 'reports' : 'control', who, ENDPOINTS.trafficReport);
        assert.deepEqual([status, headers['ratelimit-policy'], headers['retry-after']], [200, '"reports";q=3;w=60', undefined], who);
        assert.match(String(headers['ratelimit']), new RegExp(`^"reports";r=${left};t=\\d+$`));
      }
      const { status, body, headers } = await ask('control', who, ENDPOINTS.completeness);
      assert.deepEqual([status, body['code'], headers['content-type']], [429, 'report_rate_limited', 'application/problem+json; charset=utf-8']);
      assert.match(String(headers['retry-after']), /^(?:19|20)$/);
      assert.match(String(headers['ratelimit']), /^"reports";r=0;t=(?:19|20)$/);
    }
    for (let i = 0; i < 20; i++) assert.equal((await ask('control', 'operator', ENDPOINTS.trafficReport)).status, 200);
    assert.equal((await ask('control', 'read_only', ENDPOINTS.status)).status, 200, 'what is no report is not counted');
    assert.equal(quota.size, 3);
  } finally {
    perMinute = 1_000_000;
  }
});

const query = (bearer: string): string => `GET /v1/completeness?day=held HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${bearer}\r\n\r\n`;
function send(text: string): Socket {
  const socket = connect((origins.reports.server.address() as AddressInfo).port, '127.0.0.1').on('error', () => undefined);
  socket.write(text);
  return socket;
}
const connections = (): Promise<number> => new Promise((resolve) => { origins.reports.server.getConnections((_, count) => { resolve(count); }); });
/** How many more the app could have under way now. */
function freePlaces(): number {
  let free = 0;
  while (deps.quota.enter('app:acme', performance.now()).refused === null) free++;
  for (let i = 0; i < free; i++) deps.quota.leave('app:acme');
  return free;
}
const askOnce = (): Promise<Answer> => ask('reports', 'app', ENDPOINTS.completeness);

for (const [how, sockets] of [['each on a connection of its own', MOST_UNDER_WAY], ['pipelined on one connection', 1]] as const) {
  test(`queries under way, ${how}, keep their places until their asker leaves`, { timeout: 60_000 }, async () => {
    held = 0;
    const open = Array.from({ length: sockets }, () => send(query(BEARERS.app).repeat(MOST_UNDER_WAY / sockets)));
    await eventually('all of them at the collector', () => (held === MOST_UNDER_WAY ? true : null), 20_000, 5);
    const { status, body, headers } = await askOnce();
    assert.deepEqual([status, body['code'], String(headers['retry-after'])], [429, 'report_rate_limited', '1']);
    assert.match(String(body['detail']), /under way/);
    assert.equal((await ask('control', 'billing', ENDPOINTS.completeness)).status, 200, 'others have their own');
    for (const socket of open) socket.destroy();
    await eventually('all of their places', () => (freePlaces() === MOST_UNDER_WAY ? true : null), 20_000, 5);
    assert.equal((await askOnce()).status, 200);
  });
}

test('askers who leave before it is known who they are keep no place', { timeout: 60_000 }, async () => {
  let asked = 0;
  let know = (): void => undefined;
  const known = new Promise<void>((resolve) => { know = resolve; });
  slow = async () => {
    asked++;
    await known;
    return 'acme';
  };
  const open = Array.from({ length: MOST_UNDER_WAY }, () => send(query(SLOW)));
  await eventually('all of them here', () => (asked === MOST_UNDER_WAY ? true : null), 20_000, 5);
  for (const socket of open) socket.destroy();
  await eventually('all of them gone', async () => (await connections() === 0 ? true : null), 20_000, 5);
  know();
  await new Promise((resolve) => { setImmediate(resolve); });
  assert.equal(freePlaces(), MOST_UNDER_WAY);
});

test('queries that have been answered leave their place', async () => {
  for (let i = 0; i < 2 * MOST_UNDER_WAY; i++) assert.equal((await ask('control', 'app', ENDPOINTS.completeness)).status, 200);
});
