/** Two containers on one volume: nodes and imports in PID namespaces of their own, which see each other's files and not each other's processes. */
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { ImportOutcome } from '../../gateway/events/import/import-log.js';
import { scanStreams } from '../../gateway/events/spool.js';
import { eventually } from '../harness/deadline.js';
import { requires } from '../harness/requires.js';
import { freePorts, TestNode, tidegateCommand, type TestConfig } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

const skip = requires('chdb', 'flock', 'namespaces');

const config = (upstream: TestUpstream): TestConfig => ({
  services: [{ name: 'shop', upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'all', match: { path: '/*' }, authentication: [] }] }],
});

let upstream: TestUpstream;
let node: TestNode;
before(async () => {
  if (skip !== false) return;
  upstream = await TestUpstream.start();
  node = await TestNode.start(config(upstream));
});
after(async () => {
  if (skip !== false) return;
  await node[Symbol.asyncDispose]();
  await upstream.stop();
});

/** Runs `tidegate …` in a PID namespace of its own, to its end. */
async function elsewhere(args: readonly string[]): Promise<{ readonly exitCode: number | null; readonly output: string; readonly errors: string }> {
  const { command, args: all } = tidegateCommand(args);
  const child = spawn('unshare', ['--pid', '--fork', '--mount-proc', '--kill-child', command, ...all], { stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000, killSignal: 'SIGKILL' });
  const [output, errors, exitCode] = await Promise.all([text(child.stdout), text(child.stderr), new Promise<number | null>((resolve) => { child.once('close', resolve); })]);
  return { exitCode, output, errors };
}

const requestsOf = async (node: TestNode): Promise<number> =>
  (await node.control<{ readonly rows: readonly { readonly requests: number }[] }>(`/v1/reports/traffic?interval=total&from=${new Date(Date.now() - 3_600_000).toISOString()}`)).rows[0]?.requests ?? 0;

test('a node in another PID namespace on the same data directory is refused, and the one that runs loses no answer', { skip }, async () => {
  let answered = 0;
  let loading = true;
  const load = Promise.all(Array.from({ length: 4 }, async () => {
    while (loading) {
      const response = await fetch(`${node.url}/x`);
      await response.arrayBuffer();
      if (response.status === 200) answered++;
    }
  }));
  const second = JSON.parse(readFileSync(node.configPath, 'utf8')) as { listeners: { http: { address: string } }; control: { address: string } };
  const [port, controlPort] = await freePorts(2) as [number, number];
  second.listeners.http.address = `127.0.0.1:${port}`;
  second.control.address = `127.0.0.1:${controlPort}`;
  const secondPath = join(node.folder, 'second.yaml');
  writeFileSync(secondPath, JSON.stringify(second));
  const { exitCode, errors } = await elsewhere(['start', '-c', secondPath]);
  loading = false;
  await load;
  assert.equal(exitCode, 1);
  assert.match(errors, new RegExp(`^tidegate: .*node\\.lock is held by the node whose launcher is process ${node.launcher.pid ?? 0} of .*, in another container or PID namespace \\(data_dir_in_use\\)$`, 'm'));
  assert.ok(answered > 0);
  await eventually(`${answered} requests in the report`, async () => (await requestsOf(node) === answered ? true : null), 30_000);
  assert.doesNotMatch(node.output, /stream sealed/);
});

test('an import in another PID namespace is not sealed by the node while it writes', { skip }, async () => {
  const file = join(node.folder, 'access.log');
  const lines = 500_000;
  writeFileSync(file, '10.0.0.1 - - [23/Nov/2026:10:00:00 +0000] "GET /x HTTP/1.1" 200 17 "-" "-"\n'.repeat(lines));
  const { exitCode, output, errors } = await elsewhere(['import', file, '--service', 'shop', '--json', '-c', node.configPath]);
  assert.equal(exitCode, 0, errors);
  assert.equal((JSON.parse(output) as ImportOutcome).rows, lines);
});

test('where the program flock is missing a node starts all the same, and says what is not safe', { skip: requires('chdb') }, async () => {
  const unlockedUpstream = await TestUpstream.start();
  try {
    await using unlocked = await TestNode.start(config(unlockedUpstream), { env: { PATH: '/nonexistent' } });
    assert.equal((await fetch(`${unlocked.url}/x`)).status, 200);
    assert.match(unlocked.output, /"code":"data_dir_unlocked"/);
    assert.deepEqual(scanStreams(join(unlocked.dataDir, 'spool')).map(({ state }) => state?.run), [undefined]);
    assert.equal(await unlocked.stop(), 0);
  } finally {
    await unlockedUpstream.stop();
  }
});
