/** What a node tells of requests when a worker is killed while nobody listens to it: it has kept its counts in the run directory. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { MetricsSnapshot } from '../../gateway/metrics/metrics-snapshot.js';
import { eventually } from '../harness/deadline.js';
import { requires } from '../harness/requires.js';
import { TestNode } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

const ROUNDS = 3;
const CALLS = 40;

test('a worker and a supervisor that stands still are killed, again and again: metrics have every request that was kept, once', { skip: requires('linux', 'chdb'), timeout: 120_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-metrics-kills-'));
  const temporary = join(folder, 'tmp');
  mkdirSync(temporary);
  const upstream = await TestUpstream.start();
  try {
    await using node = await TestNode.start(
      { services: [{ name: 'shop', upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'all', match: { path: '/*' }, authentication: [] }] }] },
      { folder, removeFolder: false, env: { TMPDIR: temporary } });
    const kept = (): number => Math.max(0, ...readdirSync(temporary, { recursive: true, encoding: 'utf8' })
      .filter((path) => /counts-[0-9a-f]{16}\.json$/.test(path)).map((path) => (JSON.parse(readFileSync(join(temporary, path), 'utf8')) as MetricsSnapshot).recorded));
    const told = async (): Promise<number> => Number(/^tidegate_requests_total\{[^}]*\} (\d+)$/m.exec(await node.metrics())?.[1] ?? 0);
    for (let round = 1; round <= ROUNDS; round++) {
      const pids = (['supervisor', 'worker'] as const).map((role) => node.pids(role)[0] ?? 0);
      const [supervisor = 0, worker = 0] = pids;
      process.kill(supervisor, 'SIGSTOP');
      for (let i = 0; i < CALLS; i++) await (await fetch(`${node.url}/bytes/1`)).arrayBuffer();
      await eventually('the worker has kept its counts', () => (kept() === CALLS ? true : null));
      await node.kill(worker);
      await node.kill(supervisor);
      await eventually('others serve', async () => (node.pids('supervisor').some((pid) => pid !== supervisor) && node.pids('worker').some((pid) => pid !== worker) ? true : null));
      await node.ready();
      assert.equal(await eventually('all of them are told', async () => {
        const count = await told();
        return count >= round * CALLS ? count : null;
      }, 20_000).catch(told), round * CALLS);
      assert.equal(await eventually('the dead worker\'s file is gone, what it held is in the base', () => (kept() === 0 ? 'gone' : null)), 'gone');
    }
    assert.equal(await told(), ROUNDS * CALLS);
  } finally {
    await upstream.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});
