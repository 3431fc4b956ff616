/** The record comes back from a backup of a data directory: each event that was answered before it, once. */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { eventually } from '../harness/deadline.js';
import { requires } from '../harness/requires.js';
import { TestNode, type Role, type TestConfig } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

const ROLES: readonly Role[] = ['supervisor', 'worker', 'collector'];

async function shop(t: TestContext): Promise<TestConfig> {
  const upstream = await TestUpstream.start();
  t.after(() => upstream.stop());
  return { node: 'one', services: [{ name: 'shop', upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'open', match: { path: '/bytes/*' }, authentication: [] }] }] };
}

function aFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-backup-'));
  t.after(() => { rmSync(folder, { recursive: true, force: true, maxRetries: 3 }); });
  return folder;
}

async function ask(node: TestNode, times: number): Promise<number> {
  for (let i = 0; i < times; i++) {
    const answer = await fetch(`${node.url}/bytes/10`);
    await answer.arrayBuffer();
    assert.equal(answer.status, 200);
  }
  return times;
}

/** Exactly so many requests are in the reports, and none of them is missing or there twice. */
async function holds(node: TestNode, requests: number): Promise<void> {
  const [from, to] = [-1, 1].map((hours) => new Date(Date.now() + hours * 3_600_000).toISOString());
  await eventually(`${requests} requests in the report\n${node.output.slice(-3000)}`, async () => {
    const { rows } = await node.control<{ rows: readonly { requests: number }[] }>(`/v1/reports/traffic?from=${from}&to=${to}&interval=total`);
    const have = rows[0]?.requests ?? 0;
    assert.ok(have <= requests, `${have} of ${requests}: counted twice`);
    return have === requests ? true : null;
  }, 120_000, 250);
  const { streams } = await node.control<{ streams: readonly { missing: number; twice: number }[] }>('/v1/completeness');
  assert.deepEqual(streams.filter(({ missing, twice }) => missing > 0 || twice > 0), []);
}

test('a copy of the data directory, of a node that is stopped or all of it at one moment, holds every event that was answered before it', { skip: requires('chdb', 'linux'), timeout: 850_000 }, async (t) => {
  const config = await shop(t);
  const folder = aFolder(t);
  const [cold, snapshot] = [aFolder(t), aFolder(t)];
  const on = (at: string): Promise<TestNode> => TestNode.start(config, { folder: at, removeFolder: false });
  let asked = 0;
  {
    await using node = await on(folder);
    asked += await ask(node, 50);
    await holds(node, asked);
    assert.equal(await node.stop(), 0);
  }
  cpSync(folder, cold, { recursive: true });
  const held = asked;
  {
    await using node = await on(folder);
    // in the midst of its work: some of it is stored, some waits in the spool
    asked += await ask(node, 200);
    const pids = [node.launcher.pid ?? 0, ...ROLES.flatMap((role) => node.pids(role))];
    for (const pid of pids) process.kill(pid, 'SIGSTOP');
    cpSync(join(folder, 'data'), join(snapshot, 'data'), { recursive: true });
    for (const pid of pids) process.kill(pid, 'SIGCONT');
    await node.stop('SIGKILL');
  }
  for (const [at, requests] of [[snapshot, asked], [cold, held]] as const) {
    await using node = await on(at);
    await holds(node, requests);
    await holds(node, requests + await ask(node, 20));
    assert.equal(await node.stop(), 0);
  }
});
