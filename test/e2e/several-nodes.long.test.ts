/** The halves of a node: gateways without a collector, collectors without workers, with Kafka and a ClickHouse server between them. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { after, before, test } from 'node:test';
import type { NodeStatus } from '../../gateway/control/control-deps.js';
import { TEST_USERS, TestClickHouse } from '../harness/clickhouse-server.js';
import { eventually } from '../harness/deadline.js';
import { TestKafka } from '../harness/kafka.js';
import { requires } from '../harness/requires.js';
import { freePorts, OPERATOR_TOKEN, TestNode, type TestConfig, type TestNodeOptions } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

const skip = requires('kafka', 'chdb', 'linux');
let kafka: TestKafka;
let clickhouse: TestClickHouse;
let upstream: TestUpstream;
before(async () => {
  if (skip !== false) return;
  [kafka, clickhouse, upstream] = await Promise.all([TestKafka.start(), TestClickHouse.start(), TestUpstream.start()]);
});
after(async () => {
  if (skip !== false) return;
  await upstream.stop();
  await clickhouse[Symbol.asyncDispose]();
  await kafka.stop();
});

const { name: user, password } = TEST_USERS.owner;
const config = (node: string, more: TestConfig = {}): TestConfig => ({
  node, nodes: ['gateway-1'], event_log: { kafka: { brokers: kafka.brokers, partitions: 4 } }, store: { clickhouse: { url: clickhouse.url, user, password, timeout: '2s' } },
  services: [{ name: 'shop', upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'all', match: { path: '/*' }, authentication: [] }] }],
  apps: [{ name: 'acme', limits: { qpd: 1000 } }], ...more,
});
const status = (node: TestNode): Promise<NodeStatus> => node.control<NodeStatus>('/v1/status');
const readyz = async (node: TestNode): Promise<{ readonly ready: boolean; readonly reasons: readonly string[] }> =>
  (await fetch(`${node.controlUrl}/readyz`)).json() as Promise<{ ready: boolean; reasons: string[] }>;

/** A module that is installed is as if it were not; each attempt to find it leaves a file. */
function withoutChdb(folder: string): TestNodeOptions['env'] & { readonly NODE_OPTIONS: string } {
  const hooks = join(folder, 'no-chdb-hooks.mjs');
  writeFileSync(hooks, `import { writeFileSync } from 'node:fs';
export async function resolve(specifier, context, next) {
  if (!/^@?chdb(\\/|$)/.test(specifier)) return next(specifier, context);
  writeFileSync(${JSON.stringify(join(folder, 'asked'))}, specifier);
  throw Object.assign(new Error('Cannot find package ' + specifier), { code: 'ERR_MODULE_NOT_FOUND' });
}`);
  writeFileSync(join(folder, 'no-chdb.mjs'), `import { register } from 'node:module'; register(${JSON.stringify(pathToFileURL(hooks).href)});`);
  return { NODE_OPTIONS: `--import ${pathToFileURL(join(folder, 'no-chdb.mjs')).href}` };
}

async function refused(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => { socket.destroy(); resolve(false); });
    socket.once('error', () => { resolve(true); });
  });
}

test('a gateway without chDB records and ships, a collector on another node stores and reports; each says what it lacks', { skip, timeout: 180_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-halves-'));
  t.after(() => { rmSync(folder, { recursive: true, force: true }); });
  const env = withoutChdb(folder);
  await using gateway = await TestNode.start(config('gateway-1', { store: {} }), { command: 'gateway', env });
  await using collector = await TestNode.start(config('collector-1'), { command: 'collector', env });
  assert.deepEqual((await status(gateway)).shape, { part: 'gateway', event_log: 'kafka', store: null, shared_state: 'node' });
  assert.deepEqual((await status(collector)).shape, { part: 'collector', event_log: 'kafka', store: 'clickhouse', shared_state: 'node' });
  assert.deepEqual([gateway.pids('worker').length, gateway.pids('collector').length], [1, 0]);
  assert.deepEqual([collector.pids('worker').length, collector.pids('collector').length], [0, 1]);
  assert.ok(await refused(collector.port), 'a collector has no data listener');
  const firstLag = await eventually('its first word of the lag', async () => /^tidegate_event_lag_seconds (\S+)$/m.exec(await collector.metrics())?.[1] ?? null, 60_000, 20);
  assert.ok(Number(firstLag) < 3600, `nothing waits in a new topic, and its lag is ${firstLag} s`);

  for (let i = 0; i < 50; i++) assert.equal((await fetch(`${gateway.url}/bytes/10`)).status, 200);
  const [from, to] = [-1, 1].map((hours) => new Date(Date.now() + hours * 3_600_000).toISOString());
  const path = `/v1/reports/traffic?from=${from}&to=${to}&interval=total`;
  await eventually(`50 requests in the report\n${collector.output.slice(-3000)}`, async () => {
    const { rows } = await collector.control<{ rows: readonly { requests: number }[] }>(path);
    return rows[0]?.requests === 50 ? true : null;
  }, 60_000, 200);

  for (const forwarded of [path, '/v1/completeness', '/v1/reports/live', '/v1/quarantine']) {
    const elsewhere = await fetch(gateway.controlUrl + forwarded, { headers: { authorization: `Bearer ${OPERATOR_TOKEN}` } });
    const { code, detail } = await elsewhere.json() as { code: string; detail: string };
    assert.deepEqual([forwarded, elsewhere.status, code], [forwarded, 421, 'collector_elsewhere']);
    assert.match(detail, /tidegate collector/);
  }
  assert.deepEqual(await readyz(gateway), { ready: true, reasons: [] });
  assert.deepEqual(await readyz(collector), { ready: true, reasons: [] });
  assert.doesNotMatch(await gateway.metrics(), /^tidegate_event_lag_seconds/m, 'it does not know what is stored');
  assert.match(await collector.metrics(), /^tidegate_event_lag_seconds /m);
  assert.match(await gateway.metrics(), /^tidegate_ledger_up 1$/m);
  assert.doesNotMatch(await gateway.metrics(), /^tidegate_(?:collector_up|inserts_total|store_failing|billing_\w+)/m);
  // the supervisor asks its collector each second
  const stored = await eventually('its inserts in the metrics', async () => [await collector.metrics()].find((text) => /^tidegate_insert_rows_total 50$/m.test(text)) ?? null);
  for (const line of [/^tidegate_collector_up 1$/m, /^tidegate_store_failing 0$/m, /^tidegate_inserts_total\{result="stored"\} [1-9]/m, /^tidegate_insert_rows_total 50$/m, /^tidegate_workers 0$/m, /^tidegate_billing_failing 0$/m]) {
    assert.match(stored, line);
  }
  assert.doesNotMatch(stored, /^tidegate_(?:ledger_up|quarantine_bytes) /m);
  assert.doesNotMatch(gateway.output + collector.output, /node_unlisted/);
  assert.ok(!existsSync(join(folder, 'asked')), 'nobody wanted chDB');

  // the store away: a collector says so on /readyz, and is not ready; gateways hear nothing of it
  await clickhouse.refuse();
  const { reasons } = await eventually('the collector says why', async () => {
    const answer = await readyz(collector);
    return answer.ready ? null : answer;
  });
  assert.match(reasons.join(), /^events are not stored: .*\(store_un(available|known)\)$/);
  assert.ok((await readyz(gateway)).ready);
  assert.equal((await fetch(`${gateway.url}/bytes/10`)).status, 200);
  // and where it cannot even start
  await collector.kill(collector.pids('collector')[0] ?? 0);
  await eventually('the collector says why it does not start', async () => ((await status(collector)).collector_fault?.code === 'store_unavailable' ? true : null));
  assert.match((await readyz(collector)).reasons.join(), /\(store_unavailable\)$/);
  await clickhouse.accept();
  await eventually('it is ready again', async () => ((await readyz(collector)).ready ? true : null));

  assert.equal(await gateway.stop(), 0);
  await eventually('51 requests in the report', async () => {
    const { rows } = await collector.control<{ rows: readonly { requests: number }[] }>(path);
    return rows[0]?.requests === 51 ? true : null;
  }, 60_000, 200);
  assert.equal(await collector.stop(), 0);
});

test('the hidden module is hidden: a node that wants chDB says what to install', { skip, timeout: 60_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-halves-'));
  t.after(() => { rmSync(folder, { recursive: true, force: true }); });
  await using node = await TestNode.start(config('gateway-1', { store: {}, event_log: {} }), { env: withoutChdb(folder) });
  const { collector_fault: fault, ready } = await eventually('the fault', async () => {
    const answer = await status(node);
    return answer.collector_fault === null ? null : answer;
  });
  assert.deepEqual([fault?.code, ready], ['store_unavailable', true]);
  assert.match(readFileSync(join(folder, 'asked'), 'utf8'), /^chdb/);
});

test('half a node without Kafka does not start, and says why', { skip, timeout: 60_000 }, async () => {
  for (const command of ['gateway', 'collector'] as const) {
    await using node = await TestNode.start(config('x', { event_log: {} }), { command, waitReady: false });
    assert.equal(await node.exited, 1);
    assert.match(node.output, /event_log\.kafka\.brokers names no Kafka .*\(half_without_kafka\)/);
    assert.equal(existsSync(node.dataDir), false, 'nothing was begun');
  }
});

test('a gateway that `nodes` does not list says so, until a reload lists it', { skip, timeout: 60_000 }, async () => {
  await using gateway = await TestNode.start(config('gateway-9'), { command: 'gateway' });
  await eventually('the warning', () => (gateway.output.includes('node_unlisted') ? true : null));
  const told = gateway.output.split('node_unlisted').length;
  gateway.rewriteConfig((file) => { file['nodes'] = ['gateway-1', 'gateway-9']; });
  await eventually('the reload', () => (gateway.output.includes('a new configuration is in force') ? true : null));
  assert.equal(gateway.output.split('node_unlisted').length, told);
});

test('reasons of side systems carry their codes: Kafka away, Redis away', { skip, timeout: 60_000 }, async () => {
  const [nobody] = await freePorts(1) as [number];
  await using gateway = await TestNode.start(config('gateway-1', {
    event_log: { kafka: { brokers: `127.0.0.1:${nobody}` } }, shared_state: { redis: { url: `redis://127.0.0.1:${nobody}` } },
  }), { command: 'gateway', waitReady: false });
  await eventually('both reasons', async () => {
    const { ready, reasons } = await readyz(gateway);
    const all = reasons.join('\n');
    return !ready && all.includes('(kafka_unreachable)') && all.includes('(shared_state_unavailable)') && !all.includes('workers serve') ? true : null;
  });
});
