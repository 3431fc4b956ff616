/** A whole node: what it does at its start, at its end, when its configuration changes and when its processes are killed. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { getPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../harness/deadline.js';
import { requires } from '../harness/requires.js';
import { isGone, OPERATOR_TOKEN, TestNode, type Role, type TestConfig } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

const skip = requires('linux', 'chdb');
const ROLES: readonly Role[] = ['supervisor', 'worker', 'collector'];

const config = (upstream: TestUpstream, more: TestConfig = {}): TestConfig => ({
  services: [{ name: 'shop', upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'all', match: { path: '/*' }, authentication: [] }] }], ...more,
});

interface Traffic { readonly rows: readonly { readonly requests: number; readonly bytes_out: number }[]; readonly complete: boolean }
interface Status {
  readonly ready: boolean;
  readonly config: { readonly version: string; readonly last_reload: { readonly result: string; readonly errors: readonly { readonly code: string; readonly line: number }[] } | null };
  readonly workers: readonly { readonly worker: number; readonly state: string; readonly config_version: string }[];
  readonly spool: { readonly streams: number };
}

async function get(node: TestNode, path: string): Promise<Response> {
  const answer = await fetch(node.url + path);
  await answer.arrayBuffer();
  return answer;
}

/** Requests in the report, of the hour around now. */
async function reported(node: TestNode): Promise<Traffic> {
  const [from, to] = [new Date(Date.now() - 1_800_000), new Date(Date.now() + 1_800_000)].map((time) => time.toISOString()) as [string, string];
  return node.control<Traffic>(`/v1/reports/traffic?from=${from}&to=${to}&interval=total`);
}

async function reportSays(node: TestNode, requests: number): Promise<Traffic> {
  return eventually(`${requests} requests in the report`, async () => {
    const traffic = await reported(node);
    return traffic.rows.reduce((sum, row) => sum + row.requests, 0) >= requests ? traffic : null;
  });
}

function assertAllGone(pids: readonly number[]): Promise<unknown> {
  return Promise.all(pids.map((pid) => eventually(`the end of ${pid}`, () => (isGone(pid) ? true : null))));
}

test('workers go before the collector and its engine, where they want the same core', { skip }, async () => {
  const upstream = await TestUpstream.start();
  try {
    await using node = await TestNode.start(config(upstream));
    const [worker, collector] = [node.pids('worker')[0], node.pids('collector')[0]];
    assert.ok(worker !== undefined && collector !== undefined);
    const engine = await eventually('the engine has threads', () => {
      const threads = readdirSync(`/proc/${collector}/task`).map(Number).filter((thread) => readFileSync(`/proc/${collector}/task/${thread}/comm`, 'latin1').startsWith('MergeMutate'));
      return threads.length > 0 ? threads : null;
    });
    const below = getPriority(worker) + 5;
    assert.deepEqual([collector, ...engine].map((thread) => getPriority(thread)), [below, ...engine.map(() => below)]);
  } finally {
    await upstream.stop();
  }
});

test('a request is in the report, in the metrics, and behind its id; SIGTERM stores everything and leaves no process', { skip }, async () => {
  const upstream = await TestUpstream.start();
  try {
    await using node = await TestNode.start(config(upstream, { workers: 2 }), { removeFolder: false });
    try {
      const answers: Response[] = [];
      for (let i = 0; i < 20; i++) answers.push(await get(node, '/bytes/100'));
      assert.ok(answers.every(({ status }) => status === 200));
      const traffic = await reportSays(node, 20);
      assert.deepEqual(traffic.rows.map(({ requests, bytes_out }) => [requests, bytes_out]), [[20, 2000]]);
      const event = await node.control<{ status: number; service: string }>(`/v1/requests/${answers[7]?.headers.get('x-request-id') ?? ''}`);
      assert.deepEqual([event.status, event.service], [200, 'shop']);
      // the collector tells the supervisor each second what it has stored
      const metrics = await eventually('all are told of as stored', async () => {
        const text = await node.metrics();
        return /^tidegate_events_total\{stage="stored"\} 20$/m.test(text) ? text : null;
      });
      assert.match(metrics, /^tidegate_requests_total\{service="shop",route="all",method="GET",code="200"\} 20$/m);
      assert.match(metrics, /^tidegate_response_bytes_total\{service="shop"\} 2000$/m);
      assert.match(metrics, /^tidegate_events_total\{stage="recorded"\} 20$/m);
      assert.match(metrics, /^tidegate_workers 2$/m);
      assert.equal(upstream.answered, 20);

      await get(node, '/bytes/1');
      const pids = ROLES.flatMap((role) => node.pids(role));
      assert.equal(pids.length, 4);
      assert.equal(await node.stop('SIGTERM'), 0, node.output);
      await assertAllGone(pids);
      assert.deepEqual(readdirSync(join(node.dataDir, 'spool')).filter((name) => !name.startsWith('spare-')), [], 'every stream is sealed, stored and gone');

      await using again = await TestNode.start(config(upstream, { workers: 1 }), { folder: node.folder });
      assert.equal((await reportSays(again, 21)).rows[0]?.requests, 21);
    } finally {
      rmSync(node.folder, { recursive: true, force: true });
    }
  } finally {
    await upstream.stop();
  }
});

test('each process may be killed: it comes back, the others go on, and no counted request is lost', { skip }, async () => {
  const upstream = await TestUpstream.start();
  try {
    await using node = await TestNode.start(config(upstream, { workers: 2 }));
    let sent = 0;
    for (const [role, signal] of [['worker', 'SIGKILL'], ['collector', 'SIGKILL'], ['supervisor', 'SIGKILL'], ['supervisor', 'SIGTERM'], ['worker', 'SIGTERM'], ['collector', 'SIGTERM']] as const) {
      const before = node.pids(role);
      await node.kill(before[0] as number, signal);
      // the sibling, or the worker itself, goes on serving
      await eventually('an answer', async () => (await get(node, '/')).status === 200 ? ++sent : null);
      await eventually(`another ${role}`, () => (node.pids(role).filter((pid) => !before.includes(pid)).length === 1 ? true : null));
      await eventually('readiness', async () => (await fetch(`${node.controlUrl}/readyz`)).ok ? true : null);
    }
    const traffic = await reportSays(node, sent);
    assert.equal(traffic.rows[0]?.requests, sent);
    assert.equal(upstream.answered, sent);
    const metrics = await node.metrics();
    assert.doesNotMatch(metrics, /^tidegate_event_(gaps|repeats)_total [1-9]/m);
  } finally {
    await upstream.stop();
  }
});

test('when the launcher is killed nothing stays behind', { skip }, async () => {
  const upstream = await TestUpstream.start();
  try {
    await using node = await TestNode.start(config(upstream));
    const pids = ROLES.flatMap((role) => node.pids(role));
    assert.equal(pids.length, 3);
    node.launcher.kill('SIGKILL');
    await assertAllGone(pids);
  } finally {
    await upstream.stop();
  }
});

test('an edited file is taken up, a bad one changes nothing and is told of, and the number of workers follows', { skip }, async () => {
  const upstream = await TestUpstream.start();
  try {
    await using node = await TestNode.start(config(upstream));
    const status = (): Promise<Status> => node.control<Status>('/v1/status');
    const first = await status();
    node.rewriteConfig((file) => { file['workers'] = 3; });
    await eventually('three workers', async () => (await status()).workers.filter(({ state }) => state === 'serving').length === 3 ? true : null);
    const second = await status();
    assert.notEqual(second.config.version, first.config.version);

    node.rewriteConfig((file) => { file['wrong'] = 1; });
    const rejected = await eventually('a rejected reload', async () => { const now = await status(); return now.config.last_reload?.result === 'rejected' ? now : null; });
    assert.equal(rejected.config.version, second.config.version);
    assert.deepEqual(rejected.config.last_reload?.errors.map(({ code }) => code), ['config_unknown_key']);
    assert.match(await node.metrics(), /^tidegate_config_reloads_total\{result="rejected"\} 1$/m);
    assert.equal((await get(node, '/')).status, 200);

    // a supervisor that is started again while the file is bad goes on with what was in force
    const [supervisor] = node.pids('supervisor') as [number];
    await node.kill(supervisor);
    const restarted = await eventually('the next supervisor', async () => { const now = await status(); return now.workers.length === 3 ? now : null; });
    assert.equal(restarted.config.version, second.config.version);
    assert.equal(restarted.config.last_reload?.result, 'rejected');

    node.rewriteConfig((file) => { delete file['wrong']; file['workers'] = 1; });
    await eventually('one worker', () => (node.pids('worker').length === 1 ? true : null));
    const { entries } = await node.control<{ entries: readonly { version: string; source: string }[] }>('/v1/config/history');
    assert.deepEqual(entries.map(({ source }) => source), ['file', 'file', 'start']);
    assert.equal(entries[1]?.version, second.config.version);
  } finally {
    await upstream.stop();
  }
});

test('a key made through the control API works at once, also while the file is bad, and a revoked one does not', { skip }, async () => {
  const upstream = await TestUpstream.start();
  try {
    const secured = { name: 'shop', upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'all', match: { path: '/*' } }] };
    await using node = await TestNode.start({ services: [secured], apps: [{ name: 'acme', services: ['shop'] }] });
    const ask = async (key: string): Promise<number> => {
      const answer = await fetch(node.url, { headers: { 'x-api-key': key } });
      await answer.arrayBuffer();
      return answer.status;
    };
    assert.equal(await ask('tg_wrong'), 401);
    const make = () => node.control<{ id: string; key: string }>('/v1/apps/acme/keys', { method: 'POST', body: '{}' });
    const first = await make();
    await eventually('the new key', async () => await ask(first.key) === 200 ? true : null);
    node.rewriteConfig((file) => { file['wrong'] = 1; });
    const second = await make();
    await eventually('the second key', async () => await ask(second.key) === 200 ? true : null);
    const gone = await fetch(`${node.controlUrl}/v1/apps/acme/keys/${first.id}`, { method: 'DELETE', headers: { authorization: `Bearer ${OPERATOR_TOKEN}` } });
    assert.equal(gone.status, 204);
    await eventually('the end of the key', async () => await ask(first.key) === 401 ? true : null);
    assert.equal(await ask(second.key), 200);
    await eventually('the app\'s own numbers', async () => (await fetch(`${node.controlUrl}/v1/reports/live`, { headers: { authorization: `Bearer ${second.key}` } })).status === 200 ? true : null);
    assert.equal((await fetch(`${node.controlUrl}/v1/status`, { headers: { authorization: `Bearer ${second.key}` } })).status, 403);
  } finally {
    await upstream.stop();
  }
});

for (const [what, prepare, expected] of [
  ['a configuration with errors', async (): Promise<TestConfig> => ({ services: [{ name: 'a' }], unknown_key: 1 }), /tidegate\.yaml:\d+:\d+: .*\(config_schema\)[\s\S]*\(config_unknown_key\)|\(config_unknown_key\)[\s\S]*\(config_schema\)/],
  ['a control port in use', async (busy: number): Promise<TestConfig> => ({ control: { address: `127.0.0.1:${busy}` } }), /tidegate: .*127\.0\.0\.1:\d+.*\(address_in_use\)/],
  ['a listener\'s port in use', async (busy: number): Promise<TestConfig> => ({ listeners: { http: { address: `127.0.0.1:${busy}` } } }), /tidegate: .*127\.0\.0\.1:\d+.*\(address_in_use\)/],
  ['a data directory that is a file', async (_: number, folder: string): Promise<TestConfig> => {
    writeFileSync(join(folder, 'file'), '');
    return { data_dir: join(folder, 'file', 'data') };
  }, /^tidegate: [\s\S]*\((config_file|data_dir_unusable)\)/m],
] as const) {
  test(`${what} ends the start with one clear message and exit code 1`, { skip }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-test-'));
    const busy = createServer();
    await new Promise<void>((resolve) => { busy.listen(0, '127.0.0.1', resolve); });
    const { port } = busy.address() as { port: number };
    try {
      await using node = await TestNode.start(await prepare(port, folder), { folder, waitReady: false, env: { TIDEGATE_LOG_LEVEL: 'silent' } });
      assert.equal(await node.exited, 1);
      assert.match(node.output, expected);
      assert.doesNotMatch(node.output, /^\s+at /m, 'no stack');
      assert.equal(node.output.match(/^tidegate: /gm)?.length, 1, node.output);
    } finally {
      busy.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });
}

test('a data directory that another node holds is refused by its holder\'s pid', { skip }, async () => {
  const upstream = await TestUpstream.start();
  try {
    await using node = await TestNode.start(config(upstream));
    await using second = await TestNode.start({ ...config(upstream), data_dir: node.dataDir }, { waitReady: false });
    assert.equal(await second.exited, 1);
    assert.match(second.output, new RegExp(`^tidegate: .*${node.pids('supervisor')[0] ?? 0}.*\\(data_dir_in_use\\)`, 'm'));
    assert.equal((await get(node, '/')).status, 200);
  } finally {
    await upstream.stop();
  }
});


test('a supervisor that was killed shows what the workers had counted before, without new traffic', { skip }, async () => {
  const upstream = await TestUpstream.start();
  try {
    await using node = await TestNode.start(config(upstream));
    for (let i = 0; i < 5; i++) await get(node, '/');
    const shown = (): Promise<true> => eventually('five requests in the metrics', async () =>
      (/^tidegate_requests_total\{service="shop",route="all",method="GET",code="200"\} 5$/m.test(await node.metrics()) ? true : null));
    await shown();
    await node.kill(node.pids('supervisor')[0] as number);
    await shown();
  } finally {
    await upstream.stop();
  }
});
