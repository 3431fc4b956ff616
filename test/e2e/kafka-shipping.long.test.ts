/** A node that ships to Kafka: what it says of it, what its clients notice of a Kafka that is away (nothing), and what it does with a spool that is full. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { NodeStatus } from '../../gateway/control/control-deps.js';
import { LOG_SETTINGS, readTopic, seqsOf, type LoggedChunk } from '../../gateway/events/shipper/kafka-log.fixture.js';
import { eventually } from '../harness/deadline.js';
import { KAFKA_USER, TestKafka } from '../harness/kafka.js';
import { requires } from '../harness/requires.js';
import { TestNode, type TestConfig } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

const skip = requires('kafka', 'linux');

function config(upstream: TestUpstream, kafka: object, spool: object = {}): TestConfig {
  return {
    event_log: { kafka, spool },
    services: [{ name: 'shop', record_path: 'full', upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'all', match: { path: '/*' }, authentication: [] }] }],
  };
}

/** Makes a row of about a kilobyte. */
const LONG = `/${'x'.repeat(1000)}`;

async function ask(node: TestNode, times: number, suffix = ''): Promise<void> {
  for (let i = 0; i < times; i++) {
    const answer = await fetch(`${node.url}/bytes/10${suffix}`);
    assert.equal(answer.status, 200);
    await answer.arrayBuffer();
  }
}

const status = (node: TestNode): Promise<NodeStatus> => node.control<NodeStatus>('/v1/status');
const shipping = async (node: TestNode): Promise<NonNullable<NodeStatus['shipping']>> => {
  const { shipping: its } = await status(node);
  assert.ok(its !== null);
  return its;
};
const caughtUp = (node: TestNode): Promise<true> => eventually('nothing waits for Kafka', async () => {
  const { behind_bytes: behind, failing } = await shipping(node);
  return behind === 0 && failing === null ? true : null;
}, 60_000);
const value = async (node: TestNode, sample: string): Promise<number> => Number((await node.metrics()).split('\n').find((line) => line.startsWith(`${sample} `))?.split(' ')[1] ?? Number.NaN);

/** Rows in the log, each counted once. */
function rowsIn(log: readonly LoggedChunk[]): number {
  return [...seqsOf(log).values()].reduce((sum, seqs) => sum + new Set(seqs).size, 0);
}

/** Rows dropped, by what the log says last of each stream. */
function droppedIn(log: readonly LoggedChunk[]): number {
  const last = new Map<string, number>();
  for (const { chunk } of log) if (chunk.kind === 'state') last.set(chunk.stream, chunk.facts.drops.reduce((sum, { rows }) => sum + rows, 0));
  return [...last.values()].reduce((sum, rows) => sum + rows, 0);
}

/** With a request to Kafka under way, which takes its time: a balancer that asks meanwhile must not take the node out. */
async function replaceSupervisor(node: TestNode, kafka: TestKafka): Promise<void> {
  const [old = 0] = node.pids('supervisor');
  const said: string[] = [];
  kafka.pause();
  try {
    await ask(node, 5);
    await eventually('they wait for Kafka', async () => ((await shipping(node)).behind_bytes > 0 ? true : null));
    process.kill(old, 'SIGTERM');
    await eventually('another supervisor', async () => {
      const answer = await fetch(`${node.controlUrl}/readyz`).then((response) => response.text(), () => null);
      if (answer !== null && said.push(answer) === 40) kafka.resume();
      return node.pids('supervisor').some((pid) => pid !== old) ? true : null;
    });
  } finally {
    kafka.resume();
  }
  assert.deepEqual(said.filter((answer) => answer.includes('shutting down')), []);
  await node.ready();
}

test('Kafka away while a node runs: every request is answered, the node stays ready and says so, and all is shipped afterwards', { skip }, async () => {
  await using kafka = await TestKafka.start();
  const upstream = await TestUpstream.start();
  try {
    await using node = await TestNode.start(config(upstream, { brokers: kafka.brokers }));
    await ask(node, 20);
    await caughtUp(node);
    assert.equal(await value(node, 'tidegate_events_total{stage="shipped"}'), 20);
    await replaceSupervisor(node, kafka);
    await caughtUp(node);
    await kafka.kill();
    await ask(node, 50);
    const failing = await eventually('it is told', async () => (await shipping(node)).failing);
    assert.equal(failing.code, 'kafka_unreachable');
    assert.ok((await shipping(node)).behind_seconds > 0);
    assert.ok(await value(node, 'tidegate_shipping_lag_bytes') > 0);
    assert.ok(await value(node, 'tidegate_shipping_failures_total{code="kafka_unreachable"}') > 0);
    assert.equal((await fetch(`${node.controlUrl}/readyz`)).status, 200);
    // the worker dies, too, and its stream is sealed while there is no Kafka
    await node.kill(node.pids('worker')[0] ?? 0);
    await node.ready();
    await eventually('another worker serves', async () => ((await fetch(`${node.url}/bytes/1`)).ok ? true : null));
    await kafka.restart();
    await caughtUp(node);
    await node.stop();
    assert.deepEqual(readdirSync(join(node.dataDir, 'spool')).filter((name) => /^[0-9a-f]{16}$/.test(name)), [], 'what was left was shipped when the node went down');
    const log = await readTopic({ ...LOG_SETTINGS, brokers: kafka.brokers.split(',') });
    assert.equal(rowsIn(log), upstream.answered);
    assert.equal(new Set(log.flatMap(({ chunk }) => (chunk.kind === 'state' ? [chunk.facts.instance] : []))).size, 1);
  } finally {
    await upstream.stop();
  }
});

test('the spool full because Kafka is away: requests go on, and answered - shipped = dropped', { skip }, async () => {
  await using kafka = await TestKafka.start();
  const upstream = await TestUpstream.start();
  try {
    await using node = await TestNode.start(config(upstream, { brokers: kafka.brokers }, { max_bytes: '8MiB', segment_bytes: '64KiB' }));
    await ask(node, 10);
    await caughtUp(node);
    await kafka.kill();
    await eventually('the spool is full, and drops', async () => {
      await Promise.all(Array.from({ length: 8 }, () => ask(node, 100, LONG)));
      return (await status(node)).spool.dropped > 0 ? true : null;
    }, 120_000);
    await ask(node, 100);
    await kafka.restart();
    await caughtUp(node);
    await ask(node, 10);
    await caughtUp(node);
    await node.stop();
    const log = await readTopic({ ...LOG_SETTINGS, brokers: kafka.brokers.split(',') });
    assert.ok(droppedIn(log) > 0);
    assert.equal(rowsIn(log) + droppedIn(log), upstream.answered);
  } finally {
    await upstream.stop();
  }
});

test('wrong credentials at the start: the node runs and records, is not ready, and says why; mended, it ships', { skip }, async () => {
  await using kafka = await TestKafka.start({ security: 'sasl' });
  const upstream = await TestUpstream.start();
  try {
    const of = (password: string): TestConfig => config(upstream, { brokers: kafka.secureBrokers, sasl: { mechanism: 'scram-sha-512', username: KAFKA_USER.username, password } });
    const wrong = await TestNode.start(of('guess'), { waitReady: false, removeFolder: false });
    const { folder } = wrong;
    {
      await using node = wrong;
      const reason = await eventually('the reason', async () => {
        const { ready, reasons } = await status(node);
        return ready ? null : reasons.find((text) => text.startsWith('events cannot be shipped')) ?? null;
      });
      assert.match(reason, /\(kafka_unauthenticated\)$/);
      await eventually('its worker serves', async () => ((await status(node)).workers.some(({ state }) => state === 'serving') ? true : null));
      assert.equal((await fetch(`${node.controlUrl}/readyz`)).status, 503);
      await ask(node, 5);
      assert.doesNotMatch(node.output, /guess/);
      await node.stop();
    }
    await using node = await TestNode.start(of(KAFKA_USER.password), { folder });
    await caughtUp(node);
    assert.equal(rowsIn(await readTopic({ ...LOG_SETTINGS, brokers: kafka.brokers.split(',') })), 5);
  } finally {
    await upstream.stop();
  }
});
