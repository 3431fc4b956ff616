/** A daily quota is met to the request, by any number of workers, through kills of a worker and of the supervisor, and through a reload. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { eventually } from '../harness/deadline.js';
import { requires } from '../harness/requires.js';
import { TestNode, type TestConfig } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';
import { MatchedLoad } from './matched-load.js';

const KEY = 'key-acme-0123456789abcdef';
const SHA256 = createHash('sha256').update(KEY).digest('hex');

const config = (upstream: TestUpstream, workers: number, limits: object): TestConfig => ({
  workers,
  services: [{ name: 'bytes', upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'all', match: { path: '/*' }, authentication: ['api_key'] }] }],
  apps: [{ name: 'acme', services: ['bytes'], keys: [{ id: 'k', sha256: SHA256 }], limits }],
});

const load = (node: TestNode, total?: number): MatchedLoad =>
  new MatchedLoad({ port: node.port, connections: 50, keys: new Map([['acme', KEY]]), maxBytes: 100, ...(total === undefined ? {} : { total }) });

/** Used of acme's quota today, as the ledger has it; null: not known. */
async function charged(node: TestNode): Promise<number | null> {
  const { limits } = await node.control<{ limits: readonly { key: string; used: number | null }[] }>('/v1/status');
  return limits.find(({ key }) => key.startsWith('qpd:app:acme:'))?.used ?? null;
}

/** Requests of today's events that counted against the quota. */
async function counted(node: TestNode): Promise<number> {
  const from = new Date(Date.now() - 3_600_000).toISOString();
  const to = new Date(Date.now() + 3_600_000).toISOString();
  const { rows } = await node.control<{ rows: readonly { outcome: string; requests: number }[] }>(`/v1/reports/traffic?from=${from}&to=${to}&interval=total&group_by=outcome&app=acme`);
  return rows.filter((row) => row.outcome === 'answered' || row.outcome === 'client_aborted').reduce((sum, row) => sum + row.requests, 0);
}

for (const workers of [2, 4]) {
  test(`QPD of 1,000, 2,000 calls by 50 connections, ${workers} workers: exactly 1,000 answered`, { skip: requires('chdb', 'linux'), timeout: 120_000 }, async () => {
    const upstream = await TestUpstream.start();
    await using node = await TestNode.start(config(upstream, workers, { qpd: 1000 }));
    const calls = load(node, 2000);
    calls.start();
    await calls.ended();
    assert.deepEqual([calls.count(200), calls.count(429)], [1000, 1000]);
    assert.equal(upstream.requests, 1000);
    await eventually('1,000 counted events', async () => ((await counted(node)) === 1000 ? true : null), 60_000, 200);
    await upstream.stop();
  });
}

for (const [victim, workers] of [['worker', 2], ['worker', 4], ['supervisor', 2], ['supervisor', 4]] as const) {
  test(`QPD of 1,000 across a kill -9 of a ${victim}, ${workers} workers: exactly 1,000, less what the kill cut`, { skip: requires('chdb', 'linux'), timeout: 180_000 }, async () => {
    const upstream = await TestUpstream.start();
    await using node = await TestNode.start(config(upstream, workers, { qpd: 1000 }));
    const calls = load(node);
    calls.start();
    await eventually('some answers', () => (calls.count(200) >= 300 ? true : null), 60_000, 5);
    await node.kill(node.pids(victim)[0] ?? 0);
    await eventually('1,000 counted events', async () => ((await counted(node)) === 1000 ? true : null), 60_000, 250);
    const after = calls.requests.size;
    await eventually('some more calls, all refused', () => (calls.requests.size > after + 500 ? true : null), 60_000, 25);
    await calls.stop();
    const answered = calls.count(200);
    console.log(`kill -9 of a ${victim} among ${workers}: ${answered} answered, ${calls.cut} connections cut, 1000 counted, ${calls.count(429)} refused`);
    assert.ok(answered <= 1000 && answered >= 1000 - calls.cut, `${answered} answered, ${calls.cut} cut`);
    assert.equal(await counted(node), 1000);
    await upstream.stop();
  });
}

test('QPD of 1,000, the file reloaded all the while, unchanged and changed elsewhere: exactly 1,000 answered', { skip: requires('chdb', 'linux'), timeout: 120_000 }, async () => {
  const upstream = await TestUpstream.start();
  await using node = await TestNode.start(config(upstream, 2, { qpd: 1000 }));
  const calls = load(node, 3000);
  const reload = (): Promise<unknown> => node.control('/v1/reload', { method: 'POST' });
  let ended = false;
  let reloads = 0;
  calls.start();
  const watched = calls.ended().then(() => { ended = true; });
  while (!ended) {
    await reload();
    node.rewriteConfig((whole) => { whole['trusted_proxies'] = [`10.0.0.${reloads % 200}/32`]; });
    await reload();
    reloads += 2;
  }
  await watched;
  assert.deepEqual([calls.count(200), calls.count(429), calls.cut], [1000, 2000, 0], `${reloads} reloads`);
  console.log(`${reloads} reloads while 3,000 calls were made: 1,000 answered`);
  await upstream.stop();
});

test('QPD across reloads: an edited quota takes effect at once, and nothing is reset', { skip: requires('chdb', 'linux'), timeout: 120_000 }, async () => {
  const upstream = await TestUpstream.start();
  await using node = await TestNode.start(config(upstream, 2, { qpd: 500 }));
  const first = load(node, 700);
  first.start();
  await first.ended();
  assert.deepEqual([first.count(200), first.count(429)], [500, 200]);
  node.rewriteConfig((whole) => { (whole['apps'] as { limits: object }[])[0]!.limits = { qpd: 800 }; });
  await eventually('the larger quota to admit', async () => {
    const probe = load(node, 1);
    probe.start();
    await probe.ended();
    return probe.count(200) === 1 ? true : null;
  }, 60_000, 50);
  const second = load(node, 700);
  second.start();
  await second.ended();
  assert.deepEqual([second.count(200), second.count(429)], [299, 401]);
  await upstream.stop();
});

test('the supervisor stands still for 1.5 s: calls below their QPS are answered all the while', { skip: requires('chdb', 'linux'), timeout: 120_000 }, async () => {
  const upstream = await TestUpstream.start();
  await using node = await TestNode.start(config(upstream, 2, { qps: 200, burst: 200 }));
  const statuses: Promise<number>[] = [];
  const call = (): void => { statuses.push(fetch(`${node.url}/bytes/10`, { headers: { 'x-api-key': KEY } }).then(({ status }) => status)); };
  const pace = setInterval(call, 30);
  try {
    await eventually('both workers to have answered', () => (statuses.length >= 40 ? true : null));
    const pid = node.pids('supervisor')[0] ?? 0;
    process.kill(pid, 'SIGSTOP');
    try {
      await new Promise<void>((resolve) => { AbortSignal.timeout(1500).addEventListener('abort', () => { resolve(); }, { once: true }); });
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    const made = statuses.length;
    await eventually('some more calls', () => (statuses.length >= made + 40 ? true : null));
  } finally {
    clearInterval(pace);
  }
  const refused = (await Promise.all(statuses)).filter((status) => status !== 200);
  assert.deepEqual(refused, [], `of ${statuses.length}`);
  await upstream.stop();
});

test('QPS 100, burst 100, for 10 s: 1,000 to 1,100 answered; what is refused does not count against a quota', { skip: requires('chdb', 'linux'), timeout: 120_000 }, async () => {
  const upstream = await TestUpstream.start();
  await using node = await TestNode.start(config(upstream, 2, { qps: 100, burst: 100, qpd: 100_000 }));
  const calls = load(node);
  const from = performance.now();
  calls.start();
  await new Promise<void>((resolve) => { AbortSignal.timeout(10_000).addEventListener('abort', () => { resolve(); }, { once: true }); });
  const seconds = (performance.now() - from) / 1000;
  const answered = upstream.requests;
  await calls.stop();
  console.log(`QPS 100 burst 100: ${answered} let through in ${seconds.toFixed(2)} s, ${calls.count(429)} refused`);
  assert.ok(answered >= 1000 * seconds / 10 - 1 && answered <= 100 + 100 * seconds + 1, `${answered} in ${seconds} s`);
  await eventually('the counted events', async () => ((await counted(node)) === upstream.requests ? true : null), 60_000, 200);
  const used = await eventually('the ledger to have charged what was let through', async () => {
    const units = await charged(node);
    return units !== null && units >= upstream.requests ? units : null;
  }, 60_000, 200);
  assert.equal(used, upstream.requests, 'what the ledger charged');
  await upstream.stop();
});
