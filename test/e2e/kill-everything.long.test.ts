/** Supervisor, worker and collector killed at once, again and again, each time as soon as a request was answered: what waits is the start, not the launcher. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../harness/deadline.js';
import { requires } from '../harness/requires.js';
import { TestNode, type Role } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

const ROUNDS = 6;

test('a node of which everything is killed over and over answers in between, and nobody waits longer the more often it happens', { skip: requires('chdb', 'linux'), timeout: 240_000 }, async () => {
  const upstream = await TestUpstream.start();
  try {
    await using node = await TestNode.start({ services: [{ name: 'shop', upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'all', match: { path: '/*' }, authentication: [] }] }] });
    const answers = (): Promise<true> => eventually('a response', async () => ((await fetch(`${node.url}/bytes/1`).catch(() => null))?.ok === true ? true : null), 60_000, 20);
    for (let round = 0; round < ROUNDS; round++) {
      await answers();
      const before = new Set((['supervisor', 'worker'] as Role[]).flatMap((role) => node.pids(role)));
      for (const role of ['worker', 'supervisor', 'collector'] as Role[]) for (const pid of node.pids(role)) process.kill(pid, 'SIGKILL');
      await eventually('a new supervisor and a new worker', () => (['supervisor', 'worker'] as Role[]).every((role) => node.pids(role).some((pid) => !before.has(pid))) || null, 60_000, 20);
    }
    await answers();
    const waits = node.output.split('\n').flatMap((line) => /"restart_in_ms":(\d+),"msg":"the (?:worker 1|supervisor) /.exec(line)?.[1] ?? []).map(Number);
    assert.deepEqual([...new Set(waits)], [100], waits.join());
    assert.ok(waits.length >= 2 * ROUNDS);
  } finally {
    await upstream.stop();
  }
});
