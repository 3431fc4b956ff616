/** The failure these hold off: a rate that several nodes together exceed, or one that needs a round trip for each request. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { eventually } from '../../../test/harness/deadline.js';
import { TestRedis } from '../../../test/harness/redis.js';
import { requires } from '../../../test/harness/requires.js';
import { LiveNode, load, type LiveNodeOptions } from './live-node.fixture.js';

const skip = requires('redis');

/** A slow machine is not a Redis that is away, nor a supervisor that stalls: in both cases the rate may be exceeded. */
const PATIENT = { settings: { timeoutMs: 5000 }, silentMs: 30_000 };

async function nodesOf(t: TestContext, count: number, options: Omit<LiveNodeOptions, 'name'>): Promise<LiveNode[]> {
  const nodes = Array.from({ length: count }, (_, i) => new LiveNode({ name: `n${i + 1}`, ...options }));
  t.after(async () => { for (const node of nodes) await node.close(); });
  await eventually('all nodes know one another', () => nodes.every(({ limits }) => limits.standing.up && limits.standing.nodes === count) || null, 60_000);
  return nodes;
}

const CLIENTS = 12;

/** In every window T at most burst + qps * T of all nodes together: the bucket that these admissions fill never runs over. */
function assertWithin(nodes: readonly LiveNode[], qps: number, burst: number): number {
  const times = nodes.flatMap(({ workers }) => workers).flatMap(({ admittedMs }) => admittedMs).sort((a, b) => a - b);
  let level = 0;
  let last = 0;
  for (const atMs of times) {
    level = Math.max(0, level - qps * (atMs - last) / 1000) + 1;
    last = atMs;
    // clients look at their watches after the unit was taken: each may be late with one
    assert.ok(level <= burst + 1 + CLIENTS, `${level} of ${burst}`);
  }
  return times.length;
}

const forMs = (ms: number): (() => boolean) => {
  const deadline = performance.now() + ms;
  return () => performance.now() > deadline;
};

test('QPS of several nodes together: at most burst + qps x T, and under demand qps x T flows', { skip }, async (t) => {
  await using redis = await TestRedis.start();
  for (const [qps, burst] of [[100, 100], [500, 20], [20, 5]] as const) {
    const nodes = await nodesOf(t, 3, { url: redis.url, apps: { a: { qps, burst } }, silentMs: PATIENT.silentMs, settings: { ...PATIENT.settings, prefix: `q${qps}` } });
    const begun = performance.now();
    const tally = await load(nodes, 'a', { connections: CLIENTS, until: forMs(4000) });
    const seconds = (performance.now() - begun) / 1000;
    const admitted = assertWithin(nodes, qps, burst);
    t.diagnostic(`${qps}/${burst}: ${admitted} in ${seconds.toFixed(2)} s; ${JSON.stringify(tally)}`);
    // nearly all of it on a quiet machine; a busy one wakes the askers late
    assert.ok(admitted >= 0.03 * qps * seconds, `${admitted} of ${qps * seconds}`);
    for (const node of nodes) await node.close();
  }
});

test('demand far below a large limit: nearly all admissions come from what workers hold, and none is refused', { skip }, async (t) => {
  await using redis = await TestRedis.start();
  const nodes = await nodesOf(t, 2, { url: redis.url, apps: { a: { qps: 100_000, qpd: 100_000_000 } }, ...PATIENT });
  const calls = async (): Promise<number> => redis.with(async (client) => Number(/cmdstat_evalsha:calls=(\d+)/.exec(await client.info('commandstats'))?.[1]));
  await load(nodes, 'a', { connections: 10, until: forMs(500) });
  const before = await calls();
  const tally = await load(nodes, 'a', { connections: 10, until: forMs(3000) });
  const made = await calls() - before;
  t.diagnostic(`${JSON.stringify(tally)}, ${made} calls of Redis`);
  assert.equal(tally.rate_limited + tally.quota_exhausted, 0);
  // one in a hundred at most on a quiet machine: how many are admitted depends on its speed, how often is asked on the clock
  assert.ok(tally.asked < tally.admitted / 4 && made < tally.admitted / 4);
});

test('Redis is away: each node goes on at its share of the rate, and gives nobody a second burst when it is back', { skip }, async (t) => {
  await using redis = await TestRedis.start();
  const nodes = await nodesOf(t, 2, { url: redis.url, apps: { a: { qps: 200, burst: 100 } }, ...PATIENT });
  await load(nodes, 'a', { connections: 8, until: forMs(1000) });
  await redis.kill();
  await eventually('they have noticed', () => nodes.every(({ limits }) => !limits.up) || null);
  const before = nodes.map((node) => node.recorded);
  await load(nodes, 'a', { connections: 8, until: forMs(2000) });
  const away = nodes.map((node, i) => node.recorded - (before[i] ?? 0));
  t.diagnostic(`${away.join(' and ')} while Redis was away`);
  // 200 each on a quiet machine
  assert.ok(away.every((count) => count >= 30), `${away.join(' ')}`);
  await redis.restart();
  await load(nodes, 'a', { connections: 8, until: forMs(2500) });
  assertWithin(nodes, 200, 100);
});

test('a node whose supervisor stalls goes on at its share, and what it made is taken off for all; of a quota it makes nothing', { skip }, async (t) => {
  await using redis = await TestRedis.start();
  const nodes = await nodesOf(t, 2, { url: redis.url, apps: { a: { qps: 200, burst: 40 }, q: { qpd: 300 } }, settings: PATIENT.settings });
  const [stalled] = nodes as [LiveNode];
  const begun = performance.now();
  await load(nodes, 'a', { connections: 8, until: forMs(1000) });
  const before = stalled.recorded;
  stalled.stallSupervisor();
  const tally = await load(nodes, 'a', { connections: 8, until: forMs(1500) });
  const made = stalled.recorded - before;
  stalled.goOn();
  await load(nodes, 'a', { connections: 8, until: forMs(1500) });
  const seconds = (performance.now() - begun) / 1000;
  const all = nodes.reduce((sum, node) => sum + node.recorded, 0);
  t.diagnostic(`${made} at the node that stalled, ${all} of both in ${seconds.toFixed(2)} s; ${JSON.stringify(tally)}`);
  assert.ok(made >= 30, `${made}`);
  // it has been paid back: over all of the time, as if nothing had happened
  assert.ok(all <= 40 + 200 * seconds, `${all} of ${40 + 200 * seconds}`);

  stalled.stallSupervisor();
  const until = forMs(1500);
  await load([stalled], 'q', { connections: 4, until });
  stalled.goOn();
  const quota = (): number => nodes.flatMap(({ workers }) => workers).flatMap(({ rows }) => rows).filter(({ app }) => app === 'q').length;
  const given = forMs(30_000);
  await load(nodes, 'q', { connections: 8, until: () => quota() >= 300 || given() });
  await load(nodes, 'q', { connections: 8, total: 300 });
  assert.equal(quota(), 300);
});

test('an edited rate is in force at once, and a wipe gives nobody a second burst', { skip }, async (t) => {
  await using redis = await TestRedis.start();
  const nodes = await nodesOf(t, 2, { url: redis.url, apps: { a: { qps: 1000, burst: 200 } }, ...PATIENT });
  await load(nodes, 'a', { connections: 8, until: forMs(1000) });
  const used = (): number => nodes.reduce((sum, node) => sum + node.recorded, 0);
  for (const node of nodes) node.reload({ a: { qps: 50, burst: 50 } });
  const before = used();
  const begun = performance.now();
  await load(nodes, 'a', { connections: 8, until: forMs(1000) });
  await redis.wipe();
  await load(nodes, 'a', { connections: 8, until: forMs(1000) });
  const seconds = (performance.now() - begun) / 1000;
  t.diagnostic(`${used() - before} in ${seconds.toFixed(2)} s of 50 a second, burst 50`);
  assert.ok(used() - before <= 50 + 50 * seconds + CLIENTS, `${used() - before} in ${seconds} s`);
});
