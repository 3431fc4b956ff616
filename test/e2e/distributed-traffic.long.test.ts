/**
 * Traffic through all of the distributed shape: two gateways of two workers, two collectors, Kafka, a ClickHouse server, Redis. What the reports say equals
 * a plain count, a quota holds over all of it to the request, and the live counters equal the store.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { MatchedLoad } from '../faults/matched-load.js';
import { TEST_USERS, TestClickHouse } from '../harness/clickhouse-server.js';
import { eventually } from '../harness/deadline.js';
import { TestKafka } from '../harness/kafka.js';
import { LOGGED_ROUTES, plainCount, readLog, replay, reportedCount, startLoggedUpstream, type TrafficRow } from '../harness/logged-traffic.js';
import { TestRedis } from '../harness/redis.js';
import { requires } from '../harness/requires.js';
import { TestNode, type TestConfig } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

const skip = requires('kafka', 'redis', 'chdb', 'linux');
const GATEWAYS = ['gateway-1', 'gateway-2'] as const;
const QUOTAS = { steady: 1000, killed: 1000, wiped: 5000 } as const;
const keyOf = (app: string): string => `key-${app}-0123456789abcdef`;
const REPLAYING = ['alpha', 'beta'];
const lines = readLog();

let kafka: TestKafka;
let clickhouse: TestClickHouse;
let redis: TestRedis;
let shop: TestUpstream;
let site: Awaited<ReturnType<typeof startLoggedUpstream>>;
let gateways: TestNode[] = [];
let collectors: TestNode[] = [];
const folders = GATEWAYS.map(() => mkdtempSync(join(tmpdir(), 'tidegate-distributed-')));

const config = (node: string): TestConfig => ({
  node, nodes: GATEWAYS, workers: 2, event_log: { kafka: { brokers: kafka.brokers, partitions: 4 } },
  store: { clickhouse: { url: clickhouse.url, user: TEST_USERS.owner.name, password: TEST_USERS.owner.password } }, shared_state: { redis: { url: redis.url } },
  services: [
    { name: 'shop', upstream: { targets: [{ url: shop.url }] }, routes: [{ name: 'bytes', match: { hosts: ['test'], path: '/bytes/*' } }] },
    { name: 'site', upstream: { targets: [{ url: `http://127.0.0.1:${site.port}` }] }, routes: LOGGED_ROUTES },
  ],
  apps: [...REPLAYING, ...Object.keys(QUOTAS)].map((name) => ({
    name, services: ['shop', 'site'], keys: [{ id: 'k', sha256: createHash('sha256').update(keyOf(name)).digest('hex') }],
    ...(name in QUOTAS ? { limits: { qpd: QUOTAS[name as keyof typeof QUOTAS] } } : {}),
  })),
});

const startGateway = (i: number): Promise<TestNode> => TestNode.start(config(GATEWAYS[i] ?? ''), { command: 'gateway', folder: folders[i] ?? '', removeFolder: false });

before(async () => {
  if (skip !== false) return;
  [kafka, clickhouse, redis, shop, site] = await Promise.all([TestKafka.start(), TestClickHouse.start(), TestRedis.start(), TestUpstream.start(), startLoggedUpstream(lines)]);
  collectors = await Promise.all(['collector-1', 'collector-2'].map((name) => TestNode.start(config(name), { command: 'collector' })));
  gateways = await Promise.all(GATEWAYS.map((_, i) => startGateway(i)));
}, { timeout: 300_000 });

after(async () => {
  if (skip === false) {
    await Promise.all([...gateways, ...collectors].map((node) => node[Symbol.asyncDispose]()));
    await Promise.all([kafka.stop(), clickhouse[Symbol.asyncDispose](), redis.stop(), shop.stop(), site.stop()]);
  }
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** Of the last hour, asked from one collector. */
async function report<Row>(collector: TestNode, grouping: string): Promise<readonly Row[]> {
  const [from, to] = [-1, 1].map((hours) => new Date(Date.now() + hours * 3_600_000).toISOString());
  return (await collector.control<{ rows: readonly Row[] }>(`/v1/reports/traffic?from=${from}&to=${to}&interval=total&${grouping}`)).rows;
}

/** Requests of an app that counted against its quota, as each collector has them. */
async function counted(app: string): Promise<number[]> {
  return Promise.all(collectors.map(async (collector) => {
    const rows = await report<{ outcome: string; requests: number }>(collector, `group_by=outcome&app=${app}`);
    return rows.filter(({ outcome }) => outcome === 'answered' || outcome === 'client_aborted').reduce((sum, { requests }) => sum + requests, 0);
  }));
}

test('5,000 real requests by two apps at once, over both gateways: either collector\'s report by route, method and status equals a plain count of the log', { skip, timeout: 300_000 }, async () => {
  const sums = await Promise.all(REPLAYING.map(async (app) => {
    const parts = await Promise.all(Array.from({ length: 4 }, (_, i) => replay(gateways[i % 2]?.port ?? 0, keyOf(app), lines, i, 4)));
    return parts.reduce((sum, part) => sum + part, 0);
  }));
  const received = lines.reduce((sum, { method, bytes }) => sum + (method === 'HEAD' ? 0 : bytes), 0);
  assert.deepEqual(sums, [received, received], 'what the clients received');
  const expected = plainCount(lines);
  for (const collector of collectors) {
    const rows = await eventually('all 10,000 in the report', async () => {
      const some = await report<TrafficRow>(collector, 'service=site&group_by=app,route,method,status');
      return some.reduce((sum, row) => sum + row.requests, 0) === 2 * lines.length ? some : null;
    }, 120_000, 250);
    for (const app of REPLAYING) assert.deepEqual(reportedCount(rows, app), expected, `${app}: every group`);
  }
  for (const gateway of gateways) {
    const total = [...(await gateway.metrics()).matchAll(/^tidegate_requests_total\{[^}]*\} (\d+)$/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
    assert.equal(total, lines.length, 'half of it went over each gateway');
  }
});

/** 50 connections of one app over the gateways given. */
class QuotaLoad {
  readonly #loads: readonly MatchedLoad[];
  readonly app: string;

  constructor(app: string, over: readonly TestNode[]) {
    this.app = app;
    this.#loads = over.map(({ port }) => new MatchedLoad({ port, connections: 50 / over.length, keys: new Map([[app, keyOf(app)]]), maxBytes: 100 }));
    for (const load of this.#loads) load.start();
  }

  count(status: number): number { return this.#loads.reduce((sum, load) => sum + load.count(status), 0); }
  /** Requests of which nobody saw the answer. */
  get cut(): number { return this.#loads.reduce((sum, { cut }) => sum + cut, 0); }

  reaches(status: number, count: number): Promise<true> {
    return eventually(`${count} answers ${status} to ${this.app}`, () => (this.count(status) >= count ? true : null), 120_000, 5);
  }

  async stop(): Promise<void> { await Promise.all(this.#loads.map((load) => load.stop())); }
}

test('QPD of 1,000 over both gateways by 50 connections: exactly 1,000, as the clients, the upstream and the store count them', { skip, timeout: 300_000 }, async () => {
  const before = shop.requests;
  const load = new QuotaLoad('steady', gateways);
  await load.reaches(429, 1000);
  await load.stop();
  assert.deepEqual([load.count(200), shop.requests - before, load.cut], [1000, 1000, 0]);
  await eventually('1,000 in the store', async () => ((await counted('steady')).every((count) => count === 1000) ? true : null), 120_000, 250);
});

test('a gateway is killed with what it holds of a QPD of 1,000: never more, and exactly 1,000 once it is back', { skip, timeout: 300_000 }, async (t) => {
  const both = new QuotaLoad('killed', gateways);
  await both.reaches(200, 300);
  await gateways[1]?.[Symbol.asyncDispose]();
  await both.stop();
  const one = new QuotaLoad('killed', gateways.slice(0, 1));
  await one.reaches(429, 500);
  await one.stop();
  const short = both.count(200) + one.count(200);
  t.diagnostic(`${short} answered while it was away, ${both.cut} cut`);
  assert.ok(short <= 1000, `${short}`);

  gateways[1] = await startGateway(1);
  const again = new QuotaLoad('killed', gateways);
  await eventually('exactly 1,000 in the store', async () => ((await counted('killed')).every((count) => count === 1000) ? true : null), 120_000, 250);
  await again.reaches(429, again.count(429) + 500);
  await again.stop();
  const answered = short + again.count(200);
  assert.ok(answered <= 1000 && answered >= 1000 - both.cut, `${answered} answered, ${both.cut} cut`);
  // whatever was admitted late would be there by now
  await eventually('the refusals in the store', async () => ((await report<{ requests: number }>(collectors[0] as TestNode, 'app=killed&outcome=quota_exhausted')).reduce((sum, { requests }) => sum + requests, 0)
    >= both.count(429) + one.count(429) + again.count(429) ? true : null), 120_000, 250);
  assert.deepEqual(await counted('killed'), [1000, 1000]);
});

/** The live counters as they should stand: of each app, service and the site, by day and hour (UTC), counted in the raw events. */
async function flowsOfStore(): Promise<Map<string, string>> {
  const sql = `SELECT formatDateTime(time, '%Y%m%d%H', 'UTC') AS hour, toString(app) AS app, toString(service) AS service, toUInt32(sum(requests)) AS count
    FROM tidegate.events GROUP BY hour, app, service FORMAT JSONEachRow`;
  const answer = await fetch(clickhouse.url, { method: 'POST', body: sql });
  const text = await answer.text();
  assert.ok(answer.ok, text);
  const flows = new Map<string, number>();
  for (const line of text.trimEnd().split('\n')) {
    const { hour, app, service, count } = JSON.parse(line) as { hour: string; app: string; service: string; count: number };
    for (const period of [`day_${hour.slice(0, 8)}`, `hour_${hour}`]) {
      for (const name of ['site', ...(app === '' ? [] : [app]), ...(service === '' ? [] : [`service_${service}`])]) flows.set(`flow_${period}_${name}`, (flows.get(`flow_${period}_${name}`) ?? 0) + count);
    }
  }
  return new Map([...flows].map(([name, count]) => [name, String(count)] as const).sort());
}

const liveCounters = (): Promise<Map<string, string>> => redis.with(async (client) => {
  const names = (await client.keys('flow_*')).sort();
  const values = names.length === 0 ? [] : await client.mget(names);
  return new Map(names.map((name, i) => [name, values[i] ?? '']));
});

async function countersEqualStore(): Promise<Map<string, string>> {
  return eventually('the live counters are what the store holds', async () => {
    const [wanted, standing] = [await flowsOfStore(), await liveCounters()];
    assert.deepEqual(standing, wanted);
    return standing;
  }, 120_000, 100);
}

test('Redis is wiped in the middle: the quota holds to the request, and every live counter equals the store again', { skip, timeout: 300_000 }, async (t) => {
  const load = new QuotaLoad('wiped', gateways);
  await load.reaches(200, 1500);
  const before = (await liveCounters()).size;
  await redis.wipe();
  const wipedAtMs = performance.now();
  assert.ok(before > 0, 'counters stood there');
  await eventually('counters of every kind again', async () => ((await liveCounters()).size >= before ? true : null), 60_000, 20);
  t.diagnostic(`all names again after ${Math.round(performance.now() - wipedAtMs)} ms under load`);
  await load.reaches(429, 1000);
  await load.stop();
  assert.deepEqual([load.count(200), load.cut], [QUOTAS.wiped, 0]);
  await eventually('5,000 in the store', async () => ((await counted('wiped')).every((count) => count === QUOTAS.wiped) ? true : null), 120_000, 250);
  await countersEqualStore();

  // and with nothing under way
  await redis.wipe();
  const againAtMs = performance.now();
  const standing = await countersEqualStore();
  t.diagnostic(`${standing.size} counters equal the store ${Math.round(performance.now() - againAtMs)} ms after a wipe`);
  assert.ok([...standing.keys()].some((name) => /^flow_day_\d{8}_site$/.test(name)), [...standing.keys()].join());
});
