/** A node whose store is a ClickHouse server: the same reports; and what is wrong there is said, while requests go on and are recorded. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { NodeStatus } from '../../gateway/control/control-deps.js';
import { TEST_USERS, TestClickHouse } from '../harness/clickhouse-server.js';
import { eventually } from '../harness/deadline.js';
import { requires } from '../harness/requires.js';
import { TestNode, type TestConfig } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

const config = (upstream: TestUpstream, server: TestClickHouse, user: string, password: string): TestConfig => ({
  store: { clickhouse: { url: server.url, user, password, timeout: '2s' } },
  services: [{ name: 'shop', upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'all', authentication: [] }] }],
});

async function call(node: TestNode, times: number): Promise<void> {
  for (let i = 0; i < times; i++) assert.equal((await (await fetch(`${node.url}/bytes/100`)).arrayBuffer()).byteLength, 100);
}

/** Waits until the report counts so many. */
async function reported(node: TestNode, requests: number): Promise<void> {
  const [from, to] = [-1, 1].map((hours) => new Date(Date.now() + hours * 3_600_000).toISOString());
  await eventually(`${requests} requests in the report\n${node.output.slice(-2000)}`, async () => {
    const { rows } = await node.control<{ rows: readonly { requests: number; bytes_out: number }[] }>(`/v1/reports/traffic?from=${from}&to=${to}&interval=total`);
    return rows[0]?.requests === requests && rows[0].bytes_out === requests * 100 ? true : null;
  }, 60_000, 100);
}

test('reports come from the server; what was recorded while it refused, or while its password was wrong, is stored later', { skip: requires('chdb', 'linux'), timeout: 180_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-e2e-clickhouse-'));
  t.after(() => { rmSync(folder, { recursive: true, force: true }); });
  const upstream = await TestUpstream.start();
  await using server = await TestClickHouse.start();
  const { name, password } = TEST_USERS.owner;
  {
    await using node = await TestNode.start(config(upstream, server, name, 'wrong'), { folder, removeFolder: false, waitReady: false });
    const { ready, reasons, collector_fault: fault } = await eventually('the reason in the status', async () => {
      const status = await node.control<NodeStatus>('/v1/status');
      return status.collector_fault !== null && status.workers.some(({ state }) => state === 'serving') ? status : null;
    }, 60_000);
    assert.deepEqual([ready, fault?.code], [false, 'store_access']);
    assert.match(reasons.join('\n'), /^events are not stored: .*\(store_access\)$/m);
    assert.equal((await fetch(`${node.controlUrl}/readyz`)).status, 503);
    // the supervisor that comes after it knows, too
    await node.kill(node.pids('supervisor')[0] ?? 0);
    await eventually('the reason, by another supervisor', async () => ((await (await fetch(`${node.controlUrl}/readyz`)).text()).includes('store_access') ? true : null), 60_000);
    await call(node, 20);
    await eventually('the reason in the log', () => (node.output.includes('store_access') ? true : null));
    assert.ok(!node.output.includes('owner-password') && !node.output.includes('"wrong"'), 'no password is said');
    await node.stop();
  }
  {
    await using node = await TestNode.start(config(upstream, server, name, '${CLICKHOUSE_PASSWORD}'), { folder, removeFolder: false, env: { CLICKHOUSE_PASSWORD: password } });
    await call(node, 30);
    await reported(node, 50);
    await server.refuse();
    await call(node, 10);
    await eventually('the outage is told, and keeps no request away', async () => {
      const answer = await fetch(`${node.controlUrl}/readyz`);
      return (await answer.text()).includes('(store_unavailable)') && answer.ok ? true : null;
    });
    await server.accept();
    await reported(node, 60);
    assert.equal(await node.stop(), 0);
  }
  await upstream.stop();
});
