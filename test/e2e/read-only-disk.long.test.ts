/**
 * The disk under the data directory goes read-only while the node serves: an ext4 that aborts, so every write is refused, the drop page's too, and what was
 * not flushed is gone. Requests go on, the node says so, and after a stop, a mount and a start what is not in the record is told, to the request.
 */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../harness/deadline.js';
import { FailingDisk } from '../harness/failing-disk.js';
import { TestKafka } from '../harness/kafka.js';
import { requires } from '../harness/requires.js';
import { TestNode, type TestConfig } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

const APPS = ['acme', 'other'] as const;
type PerApp = Record<(typeof APPS)[number], number>;
const keyOf = (app: string): string => `tg_${app.padEnd(28, 'x')}`;

function configOf(upstream: TestUpstream, more: TestConfig = {}): TestConfig {
  return {
    services: [{ name: 'shop', upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'all', match: { path: '/*' } }] }],
    apps: APPS.map((name) => ({ name, services: ['shop'], keys: [{ id: 'k1', sha256: createHash('sha256').update(keyOf(name)).digest('hex') }] })), ...more,
  };
}

interface Completeness {
  readonly complete: boolean;
  readonly streams: readonly { readonly missing: number; readonly twice: number }[];
  readonly dropped: readonly { readonly app: string; readonly count: number }[];
}
interface Told { readonly stored: PerApp; readonly dropped: PerApp; readonly missing: number; readonly twice: number; readonly complete: boolean }

const sum = ({ acme, other }: PerApp): number => acme + other;
/** Of each app 40 before the disk aborts, 60 while it is read-only, 10 afterwards. */
const accounted = ({ stored, dropped, missing }: Told): boolean => 2 * 110 - sum(stored) === sum(dropped) + missing;

/** So many of each app; all must be answered by the upstream. */
async function askEach(node: TestNode, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    for (const app of APPS) {
      const answer = await fetch(`${node.url}/bytes/10`, { headers: { 'x-api-key': keyOf(app) } });
      await answer.arrayBuffer();
      assert.equal(answer.status, 200);
    }
  }
}

async function told(node: TestNode): Promise<Told> {
  const [from, to] = [new Date(Date.now() - 1_800_000), new Date(Date.now() + 1_800_000)].map((time) => time.toISOString()) as [string, string];
  const [{ rows }, { complete, streams, dropped }] = await Promise.all([
    node.control<{ rows: readonly { app: string; requests: number }[] }>(`/v1/reports/traffic?from=${from}&to=${to}&interval=total&group_by=app`),
    node.control<Completeness>(`/v1/completeness?day=${new Date().toISOString().slice(0, 10)}`),
  ]);
  const total = (of: (entry: Completeness['streams'][number]) => number): number => streams.reduce((all, entry) => all + of(entry), 0);
  const perApp = (of: (app: string) => number | undefined): PerApp => ({ acme: of('acme') ?? 0, other: of('other') ?? 0 });
  return {
    stored: perApp((app) => rows.find((row) => row.app === app)?.requests), dropped: perApp((app) => dropped.find((entry) => entry.app === app)?.count),
    missing: total(({ missing }) => missing), twice: total(({ twice }) => twice), complete,
  };
}

async function until(node: TestNode, what: string, holds: (now: Told) => boolean): Promise<Told> {
  let last = '';
  return eventually(what, async () => {
    const now = await told(node);
    last = JSON.stringify(now);
    return holds(now) ? now : null;
  }, 90_000, 250).catch((error: unknown) => { throw new Error(`${what}: ${last}\n${node.output.slice(-6000)}`, { cause: error }); });
}

type Start = (config: TestConfig, command: 'start' | 'gateway') => Promise<TestNode>;

/** Nodes of which the data lie on a disk that can abort. The tally's folder must be gone at the end. */
async function onFailingDisk(run: (disk: FailingDisk, start: Start, upstream: TestUpstream) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-test-'));
  const temporary = join(folder, 'tmp');
  mkdirSync(temporary);
  const upstream = await TestUpstream.start();
  try {
    using disk = FailingDisk.mount(join(folder, 'data'), 512);
    await run(disk, (config, command) => TestNode.start(config, { folder, removeFolder: false, command, env: { TMPDIR: temporary } }), upstream);
    assert.deepEqual(readdirSync(temporary).filter((name) => name.startsWith('tidegate-tally-')), [], 'what was kept elsewhere is brought back, and gone');
  } finally {
    await upstream.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The disk aborts, requests go on, and /readyz says why it should get none. */
async function aborts(node: TestNode, disk: FailingDisk): Promise<void> {
  disk.abort();
  await askEach(node, 30);
  const { reasons } = await eventually('the node says that it is not ready', async () => {
    const answer = await fetch(`${node.controlUrl}/readyz`);
    const body = await answer.json() as { reasons: readonly string[] };
    return answer.status === 503 ? body : null;
  });
  assert.match(reasons.join('\n'), /not recorded.*EROFS.*\(spool_write_failed\)/);
  assert.match(await node.metrics(), /^tidegate_events_dropped_total\{reason="write_failed"\} 60$/m);
  await askEach(node, 30);
  const words = [...node.output.matchAll(/^.*"role":"worker".*EROFS.*$/gm)];
  assert.ok(words.length < 20, `a line for each request would fill what disks are left:\n${words.map(([line]) => line).join('\n').slice(0, 4000)}`);
  assert.match(node.output, /"kept_in":".*tidegate-tally-/);
}

test('one machine, its disk read-only: requests are answered, /readyz is false, and after a mount all that is not stored is told, per app', { skip: requires('linux', 'root', 'chdb', 'loop'), timeout: 240_000 }, async () => {
  await onFailingDisk(async (disk, start, upstream) => {
    {
      await using node = await start(configOf(upstream), 'start');
      await askEach(node, 40);
      // what is stored is flushed; of the spool's rows and the log's places the last second is not
      await eventually('all is stored', async () => (/^tidegate_events_total\{stage="stored"\} 80$/m.test(await node.metrics()) ? true : null));
      await aborts(node, disk);
      // it cannot open a stream, and its tally is all there is of 120 requests
      await node.kill(node.pids('worker')[0] as number);
      await eventually('a worker is refused its stream', () => (/cannot open an event stream.*EROFS/.test(node.output) ? true : null));
      assert.equal(await node.stop(), 0);
    }
    disk.mountAgain();
    await using node = await start(configOf(upstream), 'start');
    await askEach(node, 10);
    const { dropped, missing, twice, complete } = await until(node, 'answered - stored = dropped', accounted);
    assert.deepEqual(dropped, { acme: 60, other: 60 });
    assert.deepEqual([missing, twice, complete], [0, 0, false]);
  });
});

test('a gateway that ships to Kafka, its disk read-only: after a mount all that is not stored is told, per app', { skip: requires('linux', 'root', 'chdb', 'kafka', 'loop'), timeout: 240_000 }, async () => {
  await using kafka = await TestKafka.start();
  await onFailingDisk(async (disk, start, upstream) => {
    const config = configOf(upstream, { event_log: { kafka: { brokers: kafka.brokers } } });
    await using collector = await TestNode.start(config, { command: 'collector' });
    {
      await using node = await start(config, 'gateway');
      await askEach(node, 20);
      await until(collector, 'all is stored', ({ stored }) => stored.acme === 20 && stored.other === 20);
      // some of these are in the page cache only, and go with it unless they were shipped
      await askEach(node, 20);
      await aborts(node, disk);
      assert.equal(await node.stop(), 0);
    }
    disk.mountAgain();
    await using node = await start(config, 'gateway');
    await askEach(node, 10);
    const { dropped, twice, complete } = await until(collector, 'answered - stored = dropped + missing', accounted);
    assert.deepEqual(dropped, { acme: 60, other: 60 });
    assert.deepEqual([twice, complete], [0, false]);
  });
});
