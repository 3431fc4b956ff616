import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { eventually } from '../../test/harness/deadline.js';
import { TestRedis } from '../../test/harness/redis.js';
import { requires } from '../../test/harness/requires.js';
import { migrate } from '../store/migrate.js';
import { ChdbStore } from '../store/chdb-store.js';
import { insertEvents } from '../store/insert-events.fixture.js';
import { silentLog } from '../log/random-events.fixture.js';
import type { Store } from '../store/store.js';
import { LivePublisher } from './live-publisher.js';

const skip = requires('redis', 'chdb');
const DAY_MS = 86_400_000;
const NOON = Math.floor(Date.now() / DAY_MS) * DAY_MS + DAY_MS / 2;
const today = new Date(NOON).toISOString().slice(0, 10).replaceAll('-', '');
const yesterday = new Date(NOON - DAY_MS).toISOString().slice(0, 10).replaceAll('-', '');

let seq = 0;
const events = (count: number, app: string, service: string, timeMs: number, node = 'n1'): Promise<void> =>
  insertEvents(opened, Array.from({ length: count }, () => ({ app, service, timeMs, node, seq: seq++, ordinal: seq })));
let opened: Store;

async function openStore(t: TestContext): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-counters-'));
  opened = await ChdbStore.open(join(folder, 'store'));
  t.after(async () => {
    await opened.close();
    rmSync(folder, { recursive: true, force: true });
  });
  await migrate(opened);
}

test('live counters are what the store holds: by app, service and site, by day and hour; raised, never lowered; whole again after a wipe', { skip }, async (t) => {
  await openStore(t);
  await using redis = await TestRedis.start();
  const options = {
    settings: { urls: [redis.url], cluster: false, prefix: 'tidegate', timeoutMs: 250 }, query: (sql: string, params: Parameters<Store['query']>[1]) => opened.query(sql, params),
    quotas: () => [{ app: 'acme', timeZone: 'UTC' }], log: silentLog, nowMs: () => NOON,
  };
  const first = new LivePublisher(options);
  const second = new LivePublisher(options);
  t.after(async () => { await first.close(); await second.close(); });
  const read = (name: string): Promise<string | null> => redis.with((client) => client.get(name));
  const stands = (name: string, value: number): Promise<true> => eventually(`${name} is ${value}`, async () => await read(name) === String(value) || null);

  await events(30, 'acme', 'catalogue', NOON);
  await events(5, 'acme', 'greeter', NOON - 3_600_000);
  await events(7, 'zenith', 'catalogue', NOON - DAY_MS, 'n2');
  await events(2, '', 'catalogue', NOON);
  const whole = async (): Promise<void> => {
    await stands(`flow_day_${today}_acme`, 35);
    await stands(`flow_hour_${today}12_acme`, 30);
    await stands(`flow_hour_${today}11_acme`, 5);
    await stands(`flow_day_${today}_service_catalogue`, 32);
    await stands(`flow_day_${today}_site`, 37);
    await stands(`flow_day_${yesterday}_zenith`, 7);
    await stands(`flow_day_${yesterday}_site`, 7);
  };
  await whole();
  assert.equal(await redis.with((client) => client.ttl(`flow_day_${today}_acme`)) > DAY_MS / 1000, true);
  assert.equal(await read('tidegate:publisher') !== null, true);

  await events(10, 'acme', 'catalogue', NOON);
  await stands(`flow_day_${today}_acme`, 45);
  await redis.wipe();
  await stands(`flow_day_${today}_acme`, 45);
  await stands(`flow_day_${yesterday}_zenith`, 7);
  assert.equal(await redis.with((client) => client.hget('tidegate:{qpd:app:acme}:recorded', `${new Date(NOON).toISOString().slice(0, 10)}|n1`)), '45');

  // something higher stands there: it stays
  await redis.with((client) => client.set(`flow_day_${today}_acme`, '1000'));
  await events(1, 'acme', 'catalogue', NOON);
  await stands(`flow_day_${today}_site`, 48);
  assert.equal(await read(`flow_day_${today}_acme`), '1000');

  // whoever publishes may go: another does
  const holder = await read('tidegate:publisher');
  await first.close();
  await events(1, 'zenith', 'greeter', NOON);
  await stands(`flow_day_${today}_zenith`, 1);
  t.diagnostic(`held by ${holder}, then by ${await read('tidegate:publisher')}`);
});

test('of a Redis Cluster, a shard that was wiped is whole again, whichever it is', { skip }, async (t) => {
  await openStore(t);
  await using cluster = await TestRedis.cluster();
  const publisher = new LivePublisher({
    settings: { urls: cluster.nodes.map(({ url }) => url), cluster: true, prefix: 'tidegate', timeoutMs: 250 }, query: (sql, params) => opened.query(sql, params),
    quotas: () => [], log: silentLog, nowMs: () => NOON,
  });
  t.after(() => publisher.close());
  const apps = Array.from({ length: 12 }, (_, i) => `app-${i}`);
  for (const app of apps) await events(3, app, 'catalogue', NOON);
  const counters = (): Promise<number> => cluster.keys(`flow_day_${today}_*`);
  const all = apps.length + 2;
  await eventually('all of them are there', async () => await counters() === all || null);
  for (const node of cluster.nodes) {
    await node.with(async (client) => {
      assert.ok((await client.keys(`flow_day_${today}_*`)).length > 0, 'this shard holds some');
      await client.flushall();
    });
    await eventually('all of them are there again', async () => await counters() === all || null);
  }
});
