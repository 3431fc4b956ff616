/**
 * Gateways behind a balancer, restarted one after the other under load: no client notices. What a client would see otherwise: a connection that is refused
 * or reset between the gateway's end and the balancer's next look at it, and a kept connection that is closed as a request comes.
 */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { test } from 'node:test';
import { LOG_SETTINGS, readTopic, seqsOf } from '../../gateway/events/shipper/kafka-log.fixture.js';
import { eventually } from '../harness/deadline.js';
import { TestHaproxy } from '../harness/haproxy.js';
import { TestKafka } from '../harness/kafka.js';
import { requires } from '../harness/requires.js';
import { SteadyClients } from '../harness/steady-clients.js';
import { TestNode, type TestConfig } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

const skip = requires('kafka', 'haproxy', 'linux');

/** What its workers have answered, by its own metrics. */
async function requestsOf(node: TestNode): Promise<number> {
  return [...(await node.metrics()).matchAll(/^tidegate_requests_total\{.*\} (\d+)$/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
}

test('each of two gateways behind haproxy is restarted under load: no request fails, and all are recorded', { skip, timeout: 240_000 }, async () => {
  await using kafka = await TestKafka.start();
  const upstream = await TestUpstream.start();
  try {
    const config = (node: string, more: TestConfig = {}): TestConfig => ({
      node, event_log: { kafka: { brokers: kafka.brokers, partitions: 2 } }, trusted_proxies: ['127.0.0.0/8'],
      services: [{ name: 'shop', upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'all', match: { path: '/*' }, authentication: [] }] }], ...more,
    });
    const start = (name: string, port?: number, folder?: string): Promise<TestNode> =>
      TestNode.start(config(name, { listeners: { http: { health_path: '/healthz', ...(port === undefined ? {} : { address: `127.0.0.1:${port}` }) } } }), { command: 'gateway', removeFolder: false, ...(folder === undefined ? {} : { folder }) });
    const nodes = [await start('gateway-1'), await start('gateway-2')];
    const ports = nodes.map(({ port }) => port);
    const folders = nodes.map(({ folder }) => folder);
    try {
      await using haproxy = await TestHaproxy.start(new Map(ports.map((port, i) => [`gateway-${i + 1}`, port])));
      const clients = new SteadyClients(haproxy.url, 10);
      try {
        for (const [i, node] of nodes.entries()) {
          const before = clients.answered;
          await eventually('load', () => (clients.answered > before + 300 ? true : null), 60_000);
          assert.equal(await node.stop(), 0);
          const without = clients.answered;
          await eventually('load on the other alone', () => (clients.answered > without + 200 ? true : null), 60_000);
          const back = await start(`gateway-${i + 1}`, ports[i], folders[i]);
          nodes[i] = back;
          await eventually('it has its share again', async () => ((await requestsOf(back)) > 50 ? true : null), 60_000);
        }
      } finally {
        await clients.stop();
      }
      assert.deepEqual(clients.failures, []);
      assert.ok(clients.answered > 1000);
      for (const node of nodes) assert.equal(await node.stop(), 0);
      const log = await readTopic({ ...LOG_SETTINGS, brokers: kafka.brokers.split(',') });
      const recorded = [...seqsOf(log).values()].reduce((sum, seqs) => sum + new Set(seqs).size, 0);
      console.log(`${clients.answered} answered, ${upstream.requests} at the upstream, ${recorded} recorded`);
      assert.ok(recorded >= clients.answered);
    } finally {
      for (const node of nodes) await node[Symbol.asyncDispose]();
      for (const folder of folders) rmSync(folder, { recursive: true, force: true });
    }
  } finally {
    await upstream.stop();
  }
});
