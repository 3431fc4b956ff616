/**
 * Gateways whose clock is wrong, before a real Kafka. Kafka keeps a message by its time: by the gateway's, what a clock that is two hours slow has recorded was deleted
 * at once where the log is kept for one (40 of 40, before they were read), and what a fast one recorded was refused for as long as it was fast.
 */
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import kafkajs from 'kafkajs';
import { KafkaQuarantine } from '../../collector/log/kafka/kafka-quarantine.js';
import type { Store } from '../../collector/store/store.js';
import type { NodeStatus } from '../../gateway/control/control-deps.js';
import { kafkaClient } from '../../gateway/events/kafka-client.js';
import { KeptLog } from '../../gateway/events/event-samples.fixture.js';
import { endsOf, LOG_SETTINGS, readTopic, seqsOf } from '../../gateway/events/shipper/kafka-log.fixture.js';
import { SteppedClock } from '../faults/distributed/stepped-clock.js';
import { eventually } from '../harness/deadline.js';
import { KAFKA_USER, TestKafka } from '../harness/kafka.js';
import { requires } from '../harness/requires.js';
import { TestNode } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ConfigResourceTypes, ConfigSource, ResourcePatternTypes } = kafkajs;
const skip = requires('kafka', 'linux', 'faketime');
const HOUR_S = 3600;
const CALLS = 40;

let kafka: TestKafka;
let upstream: TestUpstream;
let folder = '';

before(async () => {
  if (skip !== false) return;
  folder = mkdtempSync(join(tmpdir(), 'tidegate-kafka-clocks-'));
  upstream = await TestUpstream.start();
  kafka = await TestKafka.start({
    security: 'sasl',
    properties: {
      'log.retention.check.interval.ms': '300', 'log.initial.task.delay.ms': '300',
      'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer', 'allow.everyone.if.no.acl.found': 'true', 'super.users': 'User:ANONYMOUS',
    },
  });
});
after(async () => {
  if (skip !== false) return;
  await kafka.stop();
  await upstream.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** A gateway whose clock is so far ahead, negative: behind. It shows `user` to Kafka, if that is given. */
async function gateway(topic: string, aheadS: number, user = false): Promise<TestNode> {
  const clock = new SteppedClock(topic, folder);
  clock.step(aheadS);
  const sasl = { mechanism: 'plain', ...KAFKA_USER };
  return TestNode.start({
    event_log: { kafka: { topic, partitions: 1, retention: '1h', brokers: user ? kafka.secureBrokers : kafka.brokers, ...(user ? { sasl } : {}) } },
    services: [{ name: 'shop', upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'all', match: { path: '/*' }, authentication: [] }] }],
  }, { command: 'gateway', env: clock.env });
}

async function record(node: TestNode): Promise<void> {
  for (let i = 0; i < CALLS; i++) await (await fetch(`${node.url}/bytes/10`)).arrayBuffer();
  await eventually(`all is shipped\n${node.output}`, async () => (await metric(node, 'tidegate_events_total{stage="shipped"}') >= CALLS ? true : null), 60_000);
}

const metric = async (node: TestNode, sample: string): Promise<number> =>
  Number((await node.metrics()).split('\n').find((line) => line.startsWith(`${sample} `))?.split(' ')[1] ?? Number.NaN);

/** Resolves when Kafka has deleted what is too old: a message of two hours ago, in a topic that keeps one. */
async function afterDeletion(): Promise<void> {
  const topic = `canary-${Math.random().toString(36).slice(2)}`;
  const client = kafkaClient({ ...LOG_SETTINGS, brokers: kafka.brokers.split(',') }, new KeptLog());
  await kafka.withAdmin((admin) => admin.createTopics({ topics: [{ topic, numPartitions: 1, configEntries: [{ name: 'retention.ms', value: '3600000' }] }] }));
  const producer = client.producer();
  await producer.connect();
  await producer.send({ topic, messages: [{ value: 'old', timestamp: String(Date.now() - 2 * HOUR_S * 1000) }] });
  await producer.disconnect();
  await eventually('Kafka deletes what is too old', async () => ((await endsOf(client, topic))[0]?.low === 1 ? true : null), 60_000);
}

const rowsKept = async (topic: string): Promise<number> =>
  [...seqsOf(await readTopic({ ...LOG_SETTINGS, topic, brokers: kafka.brokers.split(',') })).values()].reduce((sum, seqs) => sum + new Set(seqs).size, 0);

/** Of a topic: what is set for itself. */
async function ownEntries(topic: string): Promise<Record<string, string>> {
  const { resources } = await kafka.withAdmin((admin) => admin.describeConfigs({ includeSynonyms: false, resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }] }));
  const own = (resources[0]?.configEntries ?? []).filter(({ configSource }) => Number(configSource) === Number(ConfigSource.TOPIC_CONFIG));
  return Object.fromEntries(own.map(({ configName, configValue }) => [configName, configValue]));
}

/** As an administrator has made them, before any gateway. */
const PRESENT = { 'retention.ms': '3600000', 'max.message.bytes': '9000000', 'segment.ms': '86400000', 'cleanup.policy': 'delete' };
async function makeTopics(topic: string): Promise<void> {
  const quarantine = { ...PRESENT, 'retention.ms': '2592000000' };
  await kafka.withAdmin((admin) => admin.createTopics({
    topics: ([[topic, PRESENT], [`${topic}.quarantine`, quarantine]] as const).map(([name, entries]) => ({
      topic: name, numPartitions: 1, configEntries: Object.entries(entries).map(([entry, value]) => ({ name: entry, value })),
    })),
  }));
}

/** All but altering the topics. */
async function denyAltering(topic: string): Promise<void> {
  const rule = { resourceType: AclResourceTypes.TOPIC, resourceName: topic, resourcePatternType: ResourcePatternTypes.PREFIXED, host: '*' };
  await kafka.withAdmin((admin) => admin.createAcls({
    acl: [
      { ...rule, principal: 'User:*', operation: AclOperationTypes.ALL, permissionType: AclPermissionTypes.ALLOW },
      { ...rule, principal: `User:${KAFKA_USER.username}`, operation: AclOperationTypes.ALTER_CONFIGS, permissionType: AclPermissionTypes.DENY },
    ],
  }));
}

const AHEAD = 'tidegate_shipping_clock_ahead_seconds';
const BROKER_TIME = 'tidegate_shipping_broker_time';
const status = (node: TestNode): Promise<NodeStatus> => node.control<NodeStatus>('/v1/status');
const warnings = async (node: TestNode): Promise<string[]> => ((await status(node)).shipping?.warnings ?? []).map(({ code }) => code);

for (const [words, aheadS] of [['slow', -2 * HOUR_S], ['fast', 2 * HOUR_S]] as const) {
  test(`a clock two hours ${words}, a log kept for one: Kafka takes all and deletes nothing of it, and the difference is told`, { skip }, async () => {
    await using node = await gateway(words, aheadS);
    await record(node);
    await afterDeletion();
    assert.equal(await rowsKept(words), CALLS);
    assert.ok(Math.abs(await metric(node, AHEAD) - aheadS) < 30, node.output);
    assert.equal(await metric(node, BROKER_TIME), 1);
    assert.deepEqual(await warnings(node), ['kafka_clock_off']);
    const { ready, reasons } = await (await fetch(`${node.controlUrl}/readyz`)).json() as { ready: boolean; reasons: string[] };
    assert.deepEqual([ready, reasons.map((text) => text.replace(/\d+/, 'N'))], [true, [`the clock of this machine is N s ${words === 'fast' ? 'ahead of' : 'behind'} that of Kafka (kafka_clock_off)`]]);
    assert.match(node.output, /"code":"kafka_clock_off","ahead_s":-?7\d\d\d,.*"msg":"the clock of this machine and that of Kafka differ"/);
  });
}

test('topics that were there are altered, all else that was set for them stays, and the clock is looked at', { skip }, async () => {
  await makeTopics('present');
  await using node = await gateway('present', -2 * HOUR_S, true);
  await record(node);
  await afterDeletion();
  assert.equal(await rowsKept('present'), CALLS);
  assert.deepEqual(await ownEntries('present'), { ...PRESENT, 'message.timestamp.type': 'LogAppendTime' });
  assert.deepEqual(await ownEntries('present.quarantine'), { ...PRESENT, 'retention.ms': '2592000000', 'message.timestamp.type': 'LogAppendTime' });
  assert.deepEqual(await warnings(node), ['kafka_clock_off']);
});

test('a topic that may not be altered: events are shipped all the same, with a clock two hours fast too, and both are told', { skip }, async () => {
  await makeTopics('kept');
  await denyAltering('kept');
  {
    await using node = await gateway('kept', 0, true);
    await record(node);
    assert.equal(await metric(node, BROKER_TIME), 0);
    assert.ok(Number.isNaN(await metric(node, AHEAD)), 'Kafka does not tell its time');
    assert.deepEqual([await warnings(node), (await status(node)).reasons], [['kafka_topic_clock'], []]);
    assert.match(node.output, /"code":"kafka_topic_clock","topics":\["kept"\],"detail":"[^"]*authoriz/);
  }
  await using node = await gateway('kept', 2 * HOUR_S, true);
  await record(node);
  assert.equal(await rowsKept('kept'), 2 * CALLS);
  assert.equal(await metric(node, AHEAD), HOUR_S, 'the least that it is');
  assert.deepEqual(await warnings(node), ['kafka_clock_off', 'kafka_topic_clock']);
  assert.equal((await status(node)).shipping?.failing ?? null, null);
  assert.deepEqual(await ownEntries('kept'), PRESENT);
  // somebody else alters it: the answers tell
  await kafka.withAdmin((admin) => admin.alterConfigs({
    validateOnly: false,
    resources: [{ type: ConfigResourceTypes.TOPIC, name: 'kept', configEntries: [...Object.entries(PRESENT).map(([name, value]) => ({ name, value })), { name: 'message.timestamp.type', value: 'LogAppendTime' }] }],
  }));
  await eventually('Kafka tells its time', async () => {
    await (await fetch(`${node.url}/bytes/10`)).arrayBuffer();
    return Math.abs(await metric(node, AHEAD) - 2 * HOUR_S) < 30 && await metric(node, BROKER_TIME) === 1 ? true : null;
  });
});

test('a collector whose clock is two hours fast puts aside what it cannot read, where the topic keeps senders\' time', { skip }, async (t) => {
  await makeTopics('aside');
  const settings = { ...LOG_SETTINGS, brokers: kafka.brokers.split(','), topic: 'aside', quarantineTopic: 'aside.quarantine' };
  const rows: unknown[] = [];
  const store: Pick<Store, 'command'> = { command: async (_sql, parameters) => { rows.push(parameters); } };
  const quarantine = new KafkaQuarantine(settings, store as Store, new KeptLog());
  const now = Date.now;
  t.mock.method(Date, 'now', () => now() + 2 * HOUR_S * 1000);
  const message = { key: Buffer.from('00000000000000ab'), value: Buffer.from('poison'), timestamp: '0', attributes: 0, offset: '7', headers: {} };
  await quarantine.putAside({ message, stream: '00000000000000ab', reason: 'checksum', detail: '' } as unknown as Parameters<KafkaQuarantine['putAside']>[0], 0);
  await quarantine.close();
  assert.equal((await endsOf(kafkaClient(settings, new KeptLog()), settings.quarantineTopic))[0]?.high, 1);
  assert.equal(rows.length, 1);
});
