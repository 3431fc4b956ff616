/**
 * No room for events: a full disk under the data directory, and the spool at its bound. Requests go on; what is not recorded is tallied, per app, to
 * the request, whoever is killed meanwhile; and when there is room again recording goes on.
 */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../harness/deadline.js';
import { requires } from '../harness/requires.js';
import { SmallDisk } from '../harness/small-disk.js';
import { TestNode, type Role, type TestConfig } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

const APPS = ['acme', 'other'] as const;
type App = (typeof APPS)[number];
const QUOTA = 400;
const keyOf = (app: App): string => `tg_${app.padEnd(28, 'x')}`;

const app = (name: App) => ({ name, services: ['shop'], keys: [{ id: 'k1', sha256: createHash('sha256').update(keyOf(name)).digest('hex') }] });

function config(upstream: TestUpstream, more: TestConfig, recordPath: 'none' | 'full' = 'none'): TestConfig {
  return { services: [{ name: 'shop', record_path: recordPath, upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'all', match: { path: '/*' } }] }], ...more };
}

/** Where paths are recorded, a row takes more than 1 KiB with it. */
const LONG = `/${'x'.repeat(1000)}`;

interface Completeness {
  readonly complete: boolean;
  readonly streams: readonly { readonly missing: number; readonly twice: number; readonly dropped: number }[];
  readonly dropped: readonly { readonly app: string; readonly count: number }[];
}
interface Traffic { readonly rows: readonly { readonly app: string; readonly requests: number }[] }
type PerApp = Record<App, number>;

/** Asks, and keeps count of what was answered. */
class Client {
  #body = '';
  readonly #node: TestNode;
  readonly answered: PerApp = { acme: 0, other: 0 };

  constructor(node: TestNode) {
    this.#node = node;
  }

  async ask(as: App, more = ''): Promise<number> {
    const answer = await fetch(`${this.#node.url}/bytes/10${more}`, { headers: { 'x-api-key': keyOf(as) } });
    this.#body = await answer.text();
    this.answered[as]++;
    return answer.status;
  }

  /** So many of each app, all of them answered by the upstream. */
  async askEach(count: number, more = ''): Promise<void> {
    for (let i = 0; i < count; i++) for (const name of APPS) assert.equal(await this.ask(name, more), 200, `${this.#body}\n${this.#node.output.slice(-4000)}`);
  }
}

const day = (): string => new Date().toISOString().slice(0, 10);

async function completeness(node: TestNode): Promise<Completeness> {
  return node.control<Completeness>(`/v1/completeness?day=${day()}`);
}

async function stored(node: TestNode): Promise<PerApp> {
  const [from, to] = [new Date(Date.now() - 1_800_000), new Date(Date.now() + 1_800_000)].map((time) => time.toISOString()) as [string, string];
  const { rows } = await node.control<Traffic>(`/v1/reports/traffic?from=${from}&to=${to}&interval=total&group_by=app`);
  const of = (name: App): number => rows.find((row) => row.app === name)?.requests ?? 0;
  return { acme: of('acme'), other: of('other') };
}

/** Waits until everything is accounted for: answered - stored = dropped, of each app. Answers what was dropped. */
async function accounted(node: TestNode, answered: PerApp): Promise<PerApp> {
  let last = '';
  return eventually(`answered - stored = dropped: ${last}`, async () => {
    const [inStore, { dropped, streams }] = await Promise.all([stored(node), completeness(node)]);
    const of = (name: App): number => dropped.find((entry) => entry.app === name)?.count ?? 0;
    last = JSON.stringify({ answered, inStore, dropped, streams });
    const exact = APPS.every((name) => answered[name] - inStore[name] === of(name)) && streams.every(({ missing, twice }) => missing === 0 && twice === 0);
    return exact ? { acme: of('acme'), other: of('other') } : null;
  }, 60_000, 250).catch((error: unknown) => { throw new Error(`not accounted for: ${last}\n${node.output.slice(-6000)}`, { cause: error }); });
}

async function metric(node: TestNode, name: string): Promise<number> {
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(await node.metrics())?.[1] ?? 0);
}

async function killAndWait(node: TestNode, role: Role): Promise<void> {
  const [pid] = node.pids(role) as [number];
  await node.kill(pid);
  await eventually(`another ${role}`, () => (node.pids(role).some((other) => other !== pid) ? true : null));
}

async function serving(node: TestNode): Promise<void> {
  await eventually('readiness', async () => ((await fetch(`${node.controlUrl}/readyz`)).ok ? true : null))
    .catch((error: unknown) => { throw new Error(`not ready:\n${node.output.slice(-6000)}`, { cause: error }); });
}

/**
 * The node is ready all the time, because requests go on; and it names what is dropped as a reason, or does not any more.
 * @param client where it is mended: it goes on asking, for that there is room is known of a second in which something was recorded and nothing dropped
 */
async function readyBut(node: TestNode, code: string, client: Client | null = null): Promise<void> {
  const named = client === null;
  await eventually(`${named ? '' : 'no '}${code} on /readyz`, async () => {
    await client?.askEach(1);
    const answer = await fetch(`${node.controlUrl}/readyz`);
    const { reasons } = await answer.json() as { readonly reasons: readonly string[] };
    assert.equal(answer.status, 200, reasons.join('\n'));
    return reasons.some((reason) => reason.startsWith('requests are answered and not recorded') && reason.endsWith(`(${code})`)) === named ? true : null;
  }, 30_000, 250);
}

test('a full disk: no request fails, each dropped event is tallied, through kill -9 of every process, and recording resumes', { skip: requires('root', 'linux', 'chdb'), timeout: 240_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-test-'));
  const upstream = await TestUpstream.start();
  try {
    using disk = SmallDisk.mount(join(folder, 'data'), 128);
    await using node = await TestNode.start(config(upstream, { apps: APPS.map((name) => ({ ...app(name), limits: { qpd: QUOTA } })) }), { folder, removeFolder: false });
    const client = new Client(node);
    await client.askEach(20);
    await accounted(node, client.answered);

    disk.fill();
    await client.askEach(40);
    await eventually('the alarm', async () => (await metric(node, 'tidegate_events_dropped_total\\{reason="disk_full"\\}')) > 0 ? true : null);
    await readyBut(node, 'spool_write_failed');
    for (let round = 0; round < 2; round++) {
      disk.fill();
      await killAndWait(node, 'worker');
      await serving(node);
      await client.askEach(20);
    }
    assert.match(node.output, /a spare one is taken/);
    disk.fill();
    // its worker goes on with what it holds of the quota, and asks for more when it is connected again
    const connections = (): number => node.output.split('connected to the supervisor').length;
    const connected = connections();
    await killAndWait(node, 'supervisor');
    await serving(node);
    await eventually('the worker is connected again', () => connections() > connected || null);
    await client.askEach(20);
    await killAndWait(node, 'collector');
    disk.fill();
    await client.askEach(20);

    disk.makeRoom();
    const before = await eventually('recording again', async () => {
      const dropped = await metric(node, 'tidegate_events_dropped_total\\{reason="disk_full"\\}');
      await client.askEach(1);
      return await metric(node, 'tidegate_events_dropped_total\\{reason="disk_full"\\}') === dropped ? dropped : null;
    });
    await client.askEach(20);
    const dropped = await accounted(node, client.answered);
    assert.ok(dropped.acme > 40 && dropped.other > 40, JSON.stringify(dropped));
    assert.equal(await metric(node, 'tidegate_events_dropped_total\\{reason="disk_full"\\}'), before);
    const { complete } = await completeness(node);
    assert.equal(complete, false);
    assert.equal(await metric(node, 'tidegate_event_gaps_total'), 0);

    // a dropped request is used up like any other
    while (await client.ask('acme') !== 429);
    assert.equal(client.answered.acme - 1, QUOTA);
  } finally {
    await upstream.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});

test('the spool at its bound: events are dropped and tallied while the collector stands still, and what was recorded is stored when it goes on', { skip: requires('linux', 'chdb'), timeout: 120_000 }, async () => {
  const upstream = await TestUpstream.start();
  try {
    await using node = await TestNode.start(config(upstream, { event_log: { spool: { max_bytes: '8MiB', segment_bytes: '64KiB' } }, apps: APPS.map(app) }, 'full'));
    const client = new Client(node);
    const collector = (): number => node.pids('collector')[0] as number;
    const droppedRows = (): Promise<number> => metric(node, 'tidegate_events_dropped_total\\{reason="spool_full"\\}');
    const [worker] = node.pids('worker') as [number];
    process.kill(collector(), 'SIGSTOP');
    try {
      await eventually('a full spool', async () => {
        await client.askEach(250, LONG);
        return await droppedRows() > 200 ? true : null;
      }, 60_000);
      // as of the supervisor's last look: the worker counts on by itself
      const spool = await eventually('a full spool on /v1/status', async () => {
        const status = await node.control<{ spool: { bytes: number; max_bytes: number } }>('/v1/status');
        return status.spool.bytes > 7 * 1024 * 1024 ? status.spool : null;
      }, 10_000);
      // what is written between the supervisor's look and its word may pass the bound
      assert.ok(spool.bytes < spool.max_bytes + 64 * 1024, JSON.stringify(spool));
      assert.match(node.output, /"code":"spool_full"/);
      await readyBut(node, 'spool_full');
    } finally {
      process.kill(collector(), 'SIGCONT');
    }
    await eventually('room', async () => {
      const before = await droppedRows();
      await client.askEach(1);
      return await droppedRows() === before ? true : null;
    });
    await client.askEach(20);
    await readyBut(node, 'spool_full', client);
    const dropped = await accounted(node, client.answered);
    assert.equal(dropped.acme + dropped.other, await droppedRows());
    assert.deepEqual(node.pids('worker'), [worker], 'nothing was started again');
    assert.equal((await completeness(node)).complete, false);
  } finally {
    await upstream.stop();
  }
});
