/** What the shipper meets when it connects: topics that are missing or wrong, credentials, certificates, servers that are no Kafka it knows. */
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer, type Server, type Socket, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import kafkajs from 'kafkajs';
import type { ErrorCode } from '../../../errors/codes.js';
import { TidegateError } from '../../../errors/tidegate-error.js';
import { KAFKA_USER, TestKafka } from '../../../test/harness/kafka.js';
import { requires } from '../../../test/harness/requires.js';
import { encodeState } from '../chunk.js';
import { KeptLog } from '../event-samples.fixture.js';
import type { KafkaSettings } from '../kafka-client.js';
import { LOG_SETTINGS, readTopic } from './kafka-log.fixture.js';
import { KafkaSender } from './kafka-sender.js';

const { ConfigResourceTypes } = kafkajs;
const skip = requires('kafka');
const log = new KeptLog();
let kafka: TestKafka;
let topics = 0;

before(async () => { if (skip === false) kafka = await TestKafka.start({ security: 'sasl_tls' }); });
after(async () => { if (skip === false) await kafka.stop(); });

/** Of the plain listener, a topic of its own. */
function settings(changes: Partial<KafkaSettings> = {}): KafkaSettings {
  const topic = `events-${++topics}`;
  return { ...LOG_SETTINGS, brokers: kafka.brokers.split(','), topic, quarantineTopic: `${topic}.quarantine`, ...changes };
}

/** Of the listener with TLS and SASL. */
function secured(changes: Partial<KafkaSettings> = {}): KafkaSettings {
  return settings({ brokers: kafka.secureBrokers.split(','), ssl: { ca: readFileSync(kafka.caFile, 'utf8') }, sasl: { mechanism: 'scram-sha-256', ...KAFKA_USER }, ...changes });
}

/** It connects, and what is sent is in the log. */
async function works(wanted: KafkaSettings): Promise<KafkaSender['topics']> {
  const sender = await KafkaSender.connect(wanted, log);
  const now = new Date().toISOString();
  const facts = { format: 1, stream: '00000000000000ab', node: 'n', instance: 'i', worker: 1, openedAt: now, lastSeq: -1, markedAt: now, seal: null, drops: [] } as const;
  try {
    await sender.send([{ ...encodeState(facts), partition: 0 }]);
  } finally {
    await sender.close();
  }
  assert.equal((await readTopic({ ...wanted, brokers: kafka.brokers.split(','), ssl: false, sasl: null })).length, 1);
  return sender.topics;
}

async function refused(wanted: KafkaSettings, code: ErrorCode): Promise<string> {
  let sender: KafkaSender | null = null;
  try {
    sender = await KafkaSender.connect(wanted, log);
  } catch (error) {
    assert.ok(error instanceof TidegateError, String(error));
    assert.equal(error.code, code, error.message);
    return error.message;
  }
  await sender.close();
  assert.fail(`connected, instead of ${code}`);
}

async function make(topic: string, numPartitions: number, entries: Record<string, string>): Promise<void> {
  await kafka.withAdmin((admin) => admin.createTopics({
    waitForLeaders: false, topics: [{ topic, numPartitions, replicationFactor: 1, configEntries: Object.entries(entries).map(([name, value]) => ({ name, value })) }],
  }));
}

const SOUND = { 'max.message.bytes': '8388608', 'retention.ms': '86400000' };

test('both topics are made with the settings asked for, and are found as they are the next time', { skip }, async () => {
  const wanted = settings({ partitions: 5, retentionMs: 7 * 86_400_000 });
  const made = await works(wanted);
  assert.equal(made.partitions, 5);
  const values = await kafka.withAdmin(async (admin) => {
    const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [wanted.topic, wanted.quarantineTopic].map((name) => ({ type: ConfigResourceTypes.TOPIC, name })) });
    return resources.map(({ configEntries }) => new Map(configEntries.map(({ configName, configValue }) => [configName, configValue])));
  });
  const names = ['cleanup.policy', 'retention.ms', 'retention.bytes', 'unclean.leader.election.enable', 'min.insync.replicas', 'max.message.bytes', 'message.timestamp.type'];
  assert.deepEqual(values.map((of) => names.map((name) => of.get(name))), [['delete', '604800000', '-1', 'false', '1', '8388608', 'LogAppendTime'], ['delete', '2592000000', '-1', 'false', '1', '8388608', 'LogAppendTime']]);
  const again = await KafkaSender.connect(wanted, log);
  await again.close();
  assert.deepEqual(again.topics, made);
});

test('a topic whose settings could lose events is refused, with what is and what should be', { skip }, async () => {
  const cases: [Record<string, string>, string][] = [
    [{ ...SOUND, 'cleanup.policy': 'compact' }, 'cleanup.policy=compact, should be delete'],
    [{ ...SOUND, 'retention.ms': '3600000' }, 'retention.ms=3600000, should be 86400000'],
    [{ ...SOUND, 'retention.bytes': '1000000' }, 'retention.bytes=1000000, should be -1'],
    [{ ...SOUND, 'unclean.leader.election.enable': 'true' }, 'unclean.leader.election.enable=true, should be false'],
    [{ 'retention.ms': '86400000' }, 'max.message.bytes=1048588, should be 8388608'],
    [{ ...SOUND, 'min.insync.replicas': '2' }, 'min.insync.replicas=2 of 1 replicas: nothing can be written'],
  ];
  for (const [entries, said] of cases) {
    const wanted = settings();
    await make(wanted.topic, 3, entries);
    assert.equal(await refused(wanted, 'kafka_topic_settings'), `topic ${wanted.topic}: ${said}`);
  }
  const few = settings();
  await make(few.topic, 2, SOUND);
  assert.equal(await refused(few, 'kafka_topic_settings'), `topic ${few.topic}: 2 partitions, should be 3 or more`);
  const quarantine = settings();
  await make(quarantine.quarantineTopic, 1, { ...SOUND, 'cleanup.policy': 'compact' });
  assert.match(await refused(quarantine, 'kafka_topic_settings'), /\.quarantine: cleanup\.policy=compact, should be delete; retention\.ms/);
});

test('a topic that is safer than asked for is taken', { skip }, async () => {
  const wanted = settings();
  await make(wanted.topic, 7, { 'max.message.bytes': '10000000', 'retention.ms': '-1' });
  const taken = await works(wanted);
  assert.deepEqual([taken.partitions, taken.brokerTime], [7, true]);
});

test('more replicas than there are brokers: the topic is refused in Kafka\'s words', { skip }, async () => {
  assert.match(await refused(settings({ replication: 3 }), 'kafka_topic_refused'), /replication/i);
});

test('TLS with SASL, by each mechanism', { skip }, async () => {
  for (const mechanism of ['plain', 'scram-sha-256', 'scram-sha-512'] as const) await works(secured({ sasl: { mechanism, ...KAFKA_USER } }));
});

test('wrong credentials and wrong certificates have codes of their own', { skip }, async () => {
  for (const mechanism of ['plain', 'scram-sha-256', 'scram-sha-512'] as const) {
    await refused(secured({ sasl: { mechanism, username: KAFKA_USER.username, password: 'guess' } }), 'kafka_unauthenticated');
  }
  await refused(secured({ sasl: { mechanism: 'plain', username: 'nobody', password: 'guess' } }), 'kafka_unauthenticated');
  assert.match(await refused(secured({ sasl: null }), 'kafka_unauthenticated'), /wants? SASL/);
  await refused(secured({ ssl: { ca: readFileSync(join(kafka.folder, 'other-ca.pem'), 'utf8') } }), 'kafka_tls');
  await refused(secured({ ssl: true }), 'kafka_tls');
});

test('nobody there, and no Kafka there, are told apart from a version that is not spoken', { skip }, async () => {
  await refused(settings({ brokers: ['127.0.0.1:1', '127.0.0.1:2'] }), 'kafka_unreachable');
  await withServer((socket) => { socket.destroy(); }, async (broker) => { await refused(settings({ brokers: [broker] }), 'kafka_unreachable'); });
  // to each request, of whatever version: error 35, UNSUPPORTED_VERSION
  const answer = (socket: Socket): void => {
    socket.on('data', (request: Buffer) => {
      const response = Buffer.alloc(14);
      response.writeInt32BE(10, 0);
      response.writeInt32BE(request.readInt32BE(8), 4);
      response.writeInt16BE(35, 8);
      socket.write(response);
    });
  };
  await withServer(answer, async (broker) => { await refused(settings({ brokers: [broker] }), 'kafka_version'); });
});

async function withServer(serve: (socket: Socket) => void, use: (broker: string) => Promise<void>): Promise<void> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    serve(socket);
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  try {
    await use(`127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => { server.close(resolve); });
  }
}
