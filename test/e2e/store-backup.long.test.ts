/** The record comes back from a backup of a data directory: each event that was answered before it, once; and what came after it is told as missing. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { ToldDay } from '../../collector/billing/billing.js';
import { SteppedClock } from '../faults/distributed/stepped-clock.js';
import { eventually } from '../harness/deadline.js';
import { requires } from '../harness/requires.js';
import { OPERATOR_TOKEN, TestNode, tidegateCommand, type Role, type TestConfig } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

const DAY_MS = 86_400_000;
const ROLES: readonly Role[] = ['supervisor', 'worker', 'collector'];

async function shop(t: TestContext): Promise<TestConfig> {
  const upstream = await TestUpstream.start();
  t.after(() => upstream.stop());
  return {
    node: 'one',
    services: [{ name: 'shop', upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'open', match: { path: '/bytes/*' }, authentication: [] }] }],
    apps: [{ name: 'acme', services: ['shop'], keys: [{ id: 'k', sha256: createHash('sha256').update('key-acme-0123456789abcdef').digest('hex') }] }],
  };
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
  const [from, to] = [-3, 1].map((days) => new Date(Date.now() + days * DAY_MS).toISOString());
  await eventually(`${requests} requests in the report\n${node.output.slice(-3000)}`, async () => {
    const { rows } = await node.control<{ rows: readonly { requests: number }[] }>(`/v1/reports/traffic?from=${from}&to=${to}&interval=total`);
    const have = rows[0]?.requests ?? 0;
    assert.ok(have <= requests, `${have} of ${requests}: counted twice`);
    return have === requests ? true : null;
  }, 120_000, 250);
  const { streams } = await node.control<{ streams: readonly { missing: number; twice: number }[] }>('/v1/completeness');
  assert.deepEqual(streams.filter(({ missing, twice }) => missing > 0 || twice > 0), []);
}

const WENT_BACK = /^the data directory of node one went back to how it was at (\S+): what the node answered from then until (\S+) may be missing$/;

interface Gap { readonly fromMs: number; readonly toMs: number }

const dateOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

/** Those that the day says, by their times. */
async function gapsOf(node: TestNode, day: string): Promise<readonly Gap[]> {
  const { complete, reasons } = await node.control<{ complete: boolean; reasons: readonly string[] }>(`/v1/completeness?day=${day}`);
  const gaps = reasons.flatMap((reason): Gap[] => {
    const [, from, to] = WENT_BACK.exec(reason) ?? [];
    return from === undefined || to === undefined ? [] : [{ fromMs: Date.parse(from), toMs: Date.parse(to) }];
  });
  assert.ok(!complete || gaps.length === 0);
  return gaps;
}

function tidegate(node: TestNode, ...args: readonly string[]): { readonly code: number | null; readonly out: string } {
  const { command, args: all } = tidegateCommand([...args, '--url', node.controlUrl, '--token', OPERATOR_TOKEN]);
  const { status, stdout, stderr } = spawnSync(command, all, { encoding: 'utf8', env: { ...process.env, COLUMNS: '200', NO_COLOR: '1' } });
  return { code: status, out: stdout + stderr };
}

test('a copy of the data directory, of a node that is stopped or all of it at one moment, holds every event that was answered before it, and says that what came after it is missing', { skip: requires('chdb', 'linux', 'faketime'), timeout: 300_000 }, async (t) => {
  const config = await shop(t);
  const folder = aFolder(t);
  const [cold, snapshot] = [aFolder(t), aFolder(t)];
  // the backup is two days old when it is put back
  const clock = new SteppedClock('backup', aFolder(t));
  clock.step(-2 * DAY_MS / 1000);
  const on = (at: string): Promise<TestNode> => TestNode.start(config, { folder: at, removeFolder: false, env: clock.env });
  let asked = 0;
  {
    await using node = await on(folder);
    asked += await ask(node, 50);
    await holds(node, asked);
    assert.equal(await node.stop(), 0);
  }
  const copiedMs = Date.now() - 2 * DAY_MS;
  cpSync(folder, cold, { recursive: true, preserveTimestamps: true });
  const held = asked;
  {
    await using node = await on(folder);
    assert.doesNotMatch(node.output, /data_dir_put_back/, 'the original is no copy');
    // in the midst of its work: some of it is stored, some waits in the spool
    asked += await ask(node, 200);
    const pids = [node.launcher.pid ?? 0, ...ROLES.flatMap((role) => node.pids(role))];
    for (const pid of pids) process.kill(pid, 'SIGSTOP');
    cpSync(join(folder, 'data'), join(snapshot, 'data'), { recursive: true });
    for (const pid of pids) process.kill(pid, 'SIGCONT');
    await node.stop('SIGKILL');
  }
  {
    // killed as soon as it has noticed
    await using node = await TestNode.start(config, { folder: cold, removeFolder: false, waitReady: false });
    await eventually('the copy noticed', () => (node.output.includes('"code":"data_dir_put_back"') ? true : null), 60_000, 5);
  }
  for (const [at, requests] of [[snapshot, asked], [cold, held]] as const) {
    const startedMs = Date.now();
    await using node = await TestNode.start(config, { folder: at, removeFolder: false });
    await holds(node, requests);
    await holds(node, requests + await ask(node, 20));
    const [gap, ...others] = await gapsOf(node, dateOf(copiedMs));
    assert.ok(gap !== undefined && Math.abs(gap.fromMs - copiedMs) < 60_000 && gap.toMs <= Date.now(), `${JSON.stringify(gap)}, copied at ${copiedMs}\n${node.output}`);
    assert.deepEqual(others, [], 'one, whatever was killed');
    if (at === cold) {
      // of the start that was killed, or of this one
      assert.ok(gap.fromMs <= copiedMs + 5000 && gap.toMs >= startedMs - 60_000);
      await staysOpen(node, dateOf(gap.fromMs));
      await declares(node, dateOf(gap.fromMs - 2 * DAY_MS));
    }
    assert.equal(await node.stop(), 0);
  }
});

/** A day of a gap closes by an operator's word alone. */
async function staysOpen(node: TestNode, day: string): Promise<void> {
  const days = async (): Promise<readonly ToldDay[]> => (await node.control<{ days: readonly ToldDay[] }>(`/v1/billing/days?from=${day}&to=${dateOf(Date.now() + DAY_MS)}`)).days;
  const closed = async (): Promise<readonly string[]> => (await days()).filter(({ status }) => status === 'closed').map(({ day: each, complete }) => `${each} ${complete ? 'complete' : 'incomplete'}`);
  await eventually('the day is judged', async () => ((await days()).some((each) => each.day === day && each.reasons?.[0]?.startsWith('its record is not whole') === true) ? true : null), 60_000, 200);
  const refused = tidegate(node, 'billing', 'close', '--day', day);
  assert.match(refused.out, /the data directory of node one went back .*\(billing_day_incomplete\)/);
  assert.equal(refused.code, 1);
  assert.deepEqual(await closed(), []);
  assert.match(tidegate(node, 'billing', 'close', '--day', day, '--accept-gap', 'disk replaced').out, /as incomplete for all of them: disk replaced/);
  assert.deepEqual(await closed(), [`${day} incomplete`]);
}

/** A gap that is declared is as one that was noticed. */
async function declares(node: TestNode, day: string): Promise<void> {
  assert.deepEqual(await gapsOf(node, day), []);
  const to = `${day}T00:00:01Z`;
  assert.match(tidegate(node, 'gap', 'declare', '--from', day, '--to', to).out, /^What node one answered between .* may be missing\./);
  await node.control('/v1/gaps', { method: 'POST', body: JSON.stringify({ from: `${day}T00:00:00Z`, to }) });
  const told = await eventually('the declared gap', async () => {
    const gaps = await gapsOf(node, day);
    return gaps.length > 0 ? gaps : null;
  });
  assert.deepEqual(told, [{ fromMs: Date.parse(day), toMs: Date.parse(day) + 1000 }], 'said twice, it is one');
  const { workers } = await node.control<{ workers: readonly { worker: number }[] }>('/v1/status');
  assert.deepEqual(workers.map(({ worker }) => worker), [1]);
}
