/** The failure these hold off: a quota overshot by several nodes together, or units lost for good, because Redis or a node died at a bad moment. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { appQuota } from '../../policies/limits/keys.js';
import { eventually } from '../../../test/harness/deadline.js';
import { TestRedis } from '../../../test/harness/redis.js';
import { requires } from '../../../test/harness/requires.js';
import { LiveNode, load, type LiveNodeOptions } from './live-node.fixture.js';

const skip = requires('redis');

async function nodesOf(t: TestContext, count: number, options: Omit<LiveNodeOptions, 'name'>): Promise<LiveNode[]> {
  const nodes = Array.from({ length: count }, (_, i) => new LiveNode({ name: `n${i + 1}`, ...options }));
  t.after(async () => { for (const node of nodes) await node.close(); });
  await eventually('all nodes know one another', () => nodes.every(({ limits }) => limits.standing.up && limits.standing.nodes === count) || null, 60_000);
  return nodes;
}

const recorded = (nodes: readonly LiveNode[]): number => nodes.reduce((sum, node) => sum + node.recorded, 0);

/** Demand goes on until exactly `units` were used. */
async function usesAll(nodes: readonly LiveNode[], units: number, withinMs = 60_000): Promise<void> {
  const deadline = performance.now() + withinMs;
  await load(nodes, 'a', { connections: 4, until: () => recorded(nodes) >= units || performance.now() > deadline });
  assert.equal(recorded(nodes), units);
}

/** Each of `total` requests to `node` is admitted. Who was not answered in time tries again: how long answers take is not the question. */
async function admits(node: LiveNode, app: string, connections: number, total: number): Promise<void> {
  let left = total;
  const deadline = performance.now() + 60_000;
  while (left > 0 && performance.now() < deadline) {
    const { admitted, quota_exhausted: refused } = await load([node], app, { connections, total: left });
    assert.equal(refused, 0, `refused of ${left}, ${app}`);
    left -= admitted;
  }
  assert.equal(left, 0, app);
}

/** What Redis granted the killed first of two nodes, once no call of it is on its way any more. */
async function grantedToFirst(redis: TestRedis): Promise<number> {
  return redis.with(async (client) => {
    await eventually('its connection is gone', async () => String(await client.client('LIST')).split('name=tidegate-limits ').length === 2 || null);
    return Number(await client.hget('test:{qpd:app:a}', 'g:instance-of-n1'));
  });
}

/** What Redis has granted of the day, to all nodes. */
async function grantedToAll(redis: TestRedis): Promise<number> {
  const fields = await redis.with((client) => client.hgetall('test:{qpd:app:a}'));
  return Object.entries(fields).reduce((sum, [field, units]) => (field.startsWith('g:') ? sum + Number(units) : sum), 0);
}

const PATIENT = { recallWaitMs: 10_000, settings: { timeoutMs: 5000 } };

test('QPD 1,000 over two nodes of two workers, 2,000 calls by 50 connections: exactly 1,000', { skip }, async (t) => {
  await using redis = await TestRedis.start();
  for (const round of [1, 2, 3]) {
    const nodes = await nodesOf(t, 2, { url: redis.url, apps: { a: { qpd: 1000 } }, recallWaitMs: PATIENT.recallWaitMs, settings: { ...PATIENT.settings, prefix: `round${round}` } });
    const tally = await load(nodes, 'a', { connections: 50, total: 2000 });
    t.diagnostic(JSON.stringify(tally));
    await usesAll(nodes, 1000);
    assert.equal((await load(nodes, 'a', { connections: 50, total: 200 })).admitted, 0);
    assert.ok(nodes.every((node) => node.recorded > 0));
    for (const node of nodes) await node.close();
  }
});

test('units that lie with a node without traffic are found before anybody is refused', { skip }, async (t) => {
  await using redis = await TestRedis.start();
  const nodes = await nodesOf(t, 3, { url: redis.url, apps: { a: { qpd: 2000 } }, ...PATIENT });
  await load(nodes, 'a', { connections: 20, total: 600 });
  await admits(nodes[0] as LiveNode, 'a', 8, 2000 - recorded(nodes));
});

test('many that ask at once for the last units, which others hold: all have one', { skip }, async (t) => {
  await using redis = await TestRedis.start();
  const apps = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`a${i}`, { qpd: 100 }]));
  const [first, second, third] = await nodesOf(t, 3, { url: redis.url, apps, ...PATIENT }) as [LiveNode, LiveNode, LiveNode];
  for (const app of Object.keys(apps)) {
    const { admitted } = await load([second, third], app, { connections: 4, total: 60 });
    await admits(first, app, 40, 100 - admitted);
  }
});

test('a node is killed with what it holds: never more than the quota, and exactly the quota once it is back', { skip }, async (t) => {
  await using redis = await TestRedis.start();
  const nodes = await nodesOf(t, 2, { url: redis.url, apps: { a: { qpd: 1000 } } });
  const [first, second] = nodes as [LiveNode, LiveNode];
  await load(nodes, 'a', { connections: 20, total: 500 });
  await first.kill();
  await load([second], 'a', { connections: 20, total: 1500 });
  const short = recorded(nodes);
  t.diagnostic(`${short} while it was away`);
  assert.ok(short < 1000, `${short}`);
  first.startSupervisor();
  first.startWorker();
  await usesAll(nodes, 1000);
  await load(nodes, 'a', { connections: 20, total: 500 });
  assert.equal(recorded(nodes), 1000);
});

test('a node is killed and its ledger has forgotten all: never more than the quota, and short of it by what the node held', { skip }, async (t) => {
  await using redis = await TestRedis.start();
  const nodes = await nodesOf(t, 2, { url: redis.url, apps: { a: { qpd: 1000 } } });
  const [first] = nodes as [LiveNode];
  await load(nodes, 'a', { connections: 20, total: 500 });
  await first.kill();
  const granted = await grantedToFirst(redis);
  const most = 1000 - (granted - first.recorded);
  t.diagnostic(`${granted} granted, ${first.recorded} used`);
  assert.ok(first.recorded > 100);
  first.loseJournal();
  first.startSupervisor();
  first.startWorker();
  await load([first], 'a', { connections: 20, total: 100 });
  // it has forgotten nothing of what Redis told it
  await first.kill();
  first.startSupervisor();
  first.startWorker();
  await usesAll(nodes, most);
  await load(nodes, 'a', { connections: 20, total: 500 });
  assert.equal(recorded(nodes), most);
});

test('a supervisor is killed and its ledger has forgotten all, while its workers live: they say what was used, and what nobody had lent counts as used', { skip }, async (t) => {
  await using redis = await TestRedis.start();
  const nodes = await nodesOf(t, 2, { url: redis.url, apps: { a: { qpd: 1000 } } });
  const [first] = nodes as [LiveNode];
  await load(nodes, 'a', { connections: 20, total: 500 });
  await first.killSupervisor();
  // not the ledger's word: what it lent last may not have arrived
  const theirs = first.living.flatMap(({ book }) => book.holdings()).reduce((sum, { held, used }) => sum + held + used, 0);
  const granted = await grantedToFirst(redis);
  const most = 1000 - (granted - theirs);
  t.diagnostic(`${granted} granted, ${theirs} with its workers`);
  first.loseJournal();
  first.startSupervisor();
  await usesAll(nodes, most);
  await load(nodes, 'a', { connections: 20, total: 500 });
  assert.equal(recorded(nodes), most);
});

test('Redis is wiped in the middle, and all nodes live: exactly the quota', { skip }, async (t) => {
  await using redis = await TestRedis.start();
  const nodes = await nodesOf(t, 3, { url: redis.url, apps: { a: { qpd: 3000 } } });
  await load(nodes, 'a', { connections: 20, total: 1800 });
  await redis.wipe();
  // those that have used something are not asked for anything: they must speak up by themselves
  const [, , third] = nodes as [LiveNode, LiveNode, LiveNode];
  await load([third], 'a', { connections: 20, total: 5000 });
  await usesAll(nodes, 3000);
  await load(nodes, 'a', { connections: 20, total: 300 });
  assert.equal(recorded(nodes), 3000);
});

test('Redis is wiped while a node is dead: what it says when it is back counts, and if that is in time nothing is overshot', { skip }, async (t) => {
  await using redis = await TestRedis.start();
  const nodes = await nodesOf(t, 2, { url: redis.url, apps: { a: { qpd: 20_000 } } });
  const [first, second] = nodes as [LiveNode, LiveNode];
  await load(nodes, 'a', { connections: 20, total: 2000 });
  await first.kill();
  assert.ok(first.recorded > 500);
  await redis.wipe();
  await load([second], 'a', { connections: 5, until: () => second.recorded > 3000 });
  first.startSupervisor();
  first.startWorker();
  await usesAll(nodes, 20_000);
  await load(nodes, 'a', { connections: 20, total: 500 });
  assert.equal(recorded(nodes), 20_000);
});

test('Redis is wiped while a node is dead, and it is not back in time: overshot by no more than it had used, of which the store knew nothing', { skip }, async (t) => {
  await using redis = await TestRedis.start();
  const nodes = await nodesOf(t, 2, { url: redis.url, apps: { a: { qpd: 1000 } } });
  const [first, second] = nodes as [LiveNode, LiveNode];
  await load(nodes, 'a', { connections: 20, total: 400 });
  await first.kill();
  const used = first.recorded;
  await redis.wipe();
  const deadline = performance.now() + 60_000;
  await load([second], 'a', { connections: 5, until: () => second.recorded >= 1000 || performance.now() > deadline });
  await load([second], 'a', { connections: 5, total: 500 });
  assert.ok(recorded(nodes) <= 1000 + used, `${recorded(nodes)} with ${used} unknown`);
  first.startSupervisor();
  first.startWorker();
  const after = recorded(nodes);
  await load(nodes, 'a', { connections: 20, total: 500 });
  assert.equal(recorded(nodes), Math.max(after, 1000));
});

test('what the store recorded of a node that is away counts after a wipe', { skip }, async (t) => {
  await using redis = await TestRedis.start();
  const nodes = await nodesOf(t, 1, { url: redis.url, apps: { a: { qpd: 1000 } } });
  const day = new Date().toISOString().slice(0, 10);
  await redis.with((client) => client.hset('test:{qpd:app:a}:recorded', `${day}|away`, '300', `${day}|n1`, '5', '2020-01-01|away', '700'));
  await load(nodes, 'a', { connections: 5, total: 1500 });
  await usesAll(nodes, 700);
  await load(nodes, 'a', { connections: 5, total: 100 });
  assert.equal(recorded(nodes), 700);
});

test('Redis is killed: nodes go on within what they hold, then refuse without waiting, and recover by themselves', { skip }, async (t) => {
  await using redis = await TestRedis.start({ persist: true });
  const nodes = await nodesOf(t, 2, { url: redis.url, apps: { a: { qpd: 5000 } } });
  await load(nodes, 'a', { connections: 20, total: 1000 });
  await redis.kill();
  await eventually('they have noticed', () => nodes.every(({ limits }) => !limits.up) || null);
  const before = recorded(nodes);
  const tally = await load(nodes, 'a', { connections: 20, total: 5000 });
  t.diagnostic(JSON.stringify(tally));
  assert.ok(recorded(nodes) > before, 'what was held was used');
  assert.ok(tally.ledger_unavailable > 1000);
  assert.equal(tally.quota_exhausted, 0);
  await redis.restart();
  await usesAll(nodes, 5000);
  await load(nodes, 'a', { connections: 20, total: 300 });
  assert.equal(recorded(nodes), 5000);
});

test('Redis stands still: nobody waits longer than a bounded while, nearly nobody at all, and it goes on by itself', { skip }, async (t) => {
  await using redis = await TestRedis.start();
  const nodes = await nodesOf(t, 2, { url: redis.url, apps: { a: { qpd: 4000 } } });
  await load(nodes, 'a', { connections: 20, total: 500 });
  redis.pause();
  const deadline = performance.now() + 3000;
  const tally = await load(nodes, 'a', { connections: 20, until: () => performance.now() > deadline });
  t.diagnostic(JSON.stringify(tally));
  assert.ok(tally.ledger_unavailable > 0);
  redis.resume();
  await usesAll(nodes, 4000);
  await load(nodes, 'a', { connections: 20, total: 300 });
  assert.equal(recorded(nodes), 4000);
});

test('on_ledger_loss allow: while Redis is away each node admits up to the whole limit, and says so when it is back', { skip }, async (t) => {
  await using redis = await TestRedis.start();
  const nodes = await nodesOf(t, 2, { url: redis.url, apps: { a: { qpd: 1000 } }, allow: true });
  await load(nodes, 'a', { connections: 10, total: 200 });
  await redis.kill();
  await eventually('they have noticed', () => nodes.every(({ limits }) => !limits.up) || null);
  await load(nodes, 'a', { connections: 20, total: 4000 });
  assert.deepEqual(nodes.map((node) => node.recorded), [1000, 1000]);
  await redis.restart();
  await eventually('it is back', () => nodes.every(({ limits }) => limits.up) || null);
  await load(nodes, 'a', { connections: 10, total: 500 });
  assert.equal(recorded(nodes), 2000);
});

test('a limit edited on all nodes is in force: a lower one once what was lent under the old has come back, and a higher one for those that were refused', { skip }, async (t) => {
  await using redis = await TestRedis.start();
  const nodes = await nodesOf(t, 2, { url: redis.url, apps: { a: { qpd: 10_000 } } });
  await load(nodes, 'a', { connections: 20, total: 600 });
  for (const node of nodes) node.reload({ a: { qpd: 700 } });
  await eventually('no more is granted than the lower limit', async () => (await grantedToAll(redis)) <= 700 || null);
  await usesAll(nodes, 700);
  await load(nodes, 'a', { connections: 20, total: 500 });
  assert.equal(recorded(nodes), 700);
  for (const node of nodes) node.reload({ a: { qpd: 900 } });
  await usesAll(nodes, 900);
  await load(nodes, 'a', { connections: 20, total: 500 });
  assert.equal(recorded(nodes), 900);
});

test('what is granted under a limit that is lowered meanwhile goes back', { skip }, async (t) => {
  await using redis = await TestRedis.start();
  const nodes = await nodesOf(t, 2, { url: redis.url, apps: { a: { qpd: 10_000 } }, ...PATIENT });
  await load(nodes, 'a', { connections: 4, total: 40 });
  redis.pause();
  // each node uses up what it has, and asks for more of the 10,000, which Redis will grant it
  const asked = nodes.map((node) => load([node], 'a', { connections: 1, total: 5000 }));
  await eventually('both wait for Redis', async () => {
    const before = recorded(nodes);
    for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate);
    return recorded(nodes) === before || null;
  });
  // above what workers hold: that is theirs until they are asked for it
  const lower = nodes.reduce((sum, { ledger }) => sum + (ledger.quota(appQuota('a'))?.committed ?? 0), 0) + 6;
  for (const node of nodes) node.reload({ a: { qpd: lower } });
  redis.resume();
  await Promise.all(asked);
  await usesAll(nodes, lower);
  await load(nodes, 'a', { connections: 20, total: 200 });
  assert.equal(recorded(nodes), lower);
});

test('the first clock that reaches a day opens it for all, and none turns it back', { skip }, async (t) => {
  await using redis = await TestRedis.start();
  const dayMs = 86_400_000;
  const [behind] = await nodesOf(t, 1, { url: redis.url, apps: { a: { qpd: 300 } }, aheadMs: -dayMs }) as [LiveNode];
  await load([behind], 'a', { connections: 5, total: 50 });
  const ahead = new LiveNode({ name: 'ahead', url: redis.url, apps: { a: { qpd: 300 } } });
  t.after(() => ahead.close());
  await eventually('both are there', () => [ahead, behind].every(({ limits }) => limits.standing.up && limits.standing.nodes === 2) || null);
  await load([ahead], 'a', { connections: 5, total: 100 });
  const today = Math.floor(Date.now() / dayMs) * dayMs;
  const inTodayOf = (...of: LiveNode[]): number => of.flatMap(({ workers }) => workers).flatMap(({ rows }) => rows).filter(({ timeMs }) => timeMs >= today).length;
  const deadline = performance.now() + 60_000;
  // it uses up what it has of yesterday, and then it learns of the new day
  await load([behind], 'a', { connections: 5, until: () => inTodayOf(behind) > 0 || performance.now() > deadline });
  assert.ok(inTodayOf(behind) > 0, 'the other follows');
  await load([ahead, behind], 'a', { connections: 5, until: () => inTodayOf(ahead, behind) > 280 || performance.now() > deadline });
  await load([ahead, behind], 'a', { connections: 5, total: 500 });
  const rows = [ahead, behind].flatMap(({ workers }) => workers).flatMap((worker) => worker.rows);
  const inToday = inTodayOf(ahead, behind);
  assert.ok(inToday <= 300 && inToday > 280, `${inToday} in today`);
  const yesterday = rows.length - inToday;
  assert.ok(yesterday >= 50 && yesterday <= 300, `${yesterday} in yesterday`);
});

test('a node whose clock is a day ahead turns no day: it goes by the one that the others are in', { skip }, async (t) => {
  await using redis = await TestRedis.start();
  const dayMs = 86_400_000;
  const ahead = new LiveNode({ name: 'ahead', url: redis.url, apps: { a: { qpd: 300 } }, aheadMs: dayMs });
  t.after(() => ahead.close());
  await eventually('it is there', () => ahead.limits.standing.up || null);
  await load([ahead], 'a', { connections: 5, total: 60 });
  const right = new LiveNode({ name: 'right', url: redis.url, apps: { a: { qpd: 300 } } });
  t.after(() => right.close());
  await eventually('both are there', () => [ahead, right].every(({ limits }) => limits.standing.up && limits.standing.nodes === 2) || null);
  await load([ahead, right], 'a', { connections: 5, total: 100 });
  // it remembers which day it is in, and a clock that is put right changes nothing
  await ahead.killSupervisor();
  ahead.aheadMs = 0;
  ahead.startSupervisor();
  await usesAll([ahead, right], 300);
  await load([ahead, right], 'a', { connections: 5, total: 100 });
  const rows = [ahead, right].flatMap(({ workers }) => workers).flatMap((worker) => worker.rows);
  const tomorrow = Math.floor(Date.now() / dayMs) * dayMs + dayMs;
  assert.deepEqual([rows.length, rows.filter(({ timeMs }) => timeMs >= tomorrow).length], [300, 0]);
});

test('a supervisor is killed and comes back: its workers go on, and no unit is lost or spent twice', { skip }, async (t) => {
  await using redis = await TestRedis.start();
  const nodes = await nodesOf(t, 2, { url: redis.url, apps: { a: { qpd: 2000 } } });
  const [first] = nodes as [LiveNode];
  for (let i = 0; i < 4; i++) {
    await load(nodes, 'a', { connections: 10, total: 200 });
    await first.killSupervisor();
    await load(nodes.slice(1), 'a', { connections: 10, total: 50 });
    first.startSupervisor();
  }
  await usesAll(nodes, 2000);
  await load(nodes, 'a', { connections: 10, total: 300 });
  assert.equal(recorded(nodes), 2000);
});
