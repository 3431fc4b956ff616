/**
 * Side systems that are not as a node needs them, as an operator meets it: found at the start, said in the log with a code and what to do, `/readyz` false
 * with the reason, and nothing that starts over and over without a word. What can be mended outside is taken up without a restart.
 */
import assert from 'node:assert/strict';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import kafkajs from 'kafkajs';
import { ERROR_CODES, type ErrorCode } from '../../errors/codes.js';
import { TEST_USERS, TestClickHouse } from '../harness/clickhouse-server.js';
import { eventually } from '../harness/deadline.js';
import { KAFKA_USER, TestKafka } from '../harness/kafka.js';
import { TestRedis } from '../harness/redis.js';
import { requires } from '../harness/requires.js';
import { TestNode, type TestConfig } from '../harness/tidegate.js';

const skip = requires('kafka', 'redis', 'chdb', 'linux');
const WITHIN_MS = 120_000;
const GUESS = 'guessed-and-wrong';

let kafka: TestKafka;
let clickhouse: TestClickHouse;
let redis: TestRedis;
before(async () => {
  if (skip === false) [kafka, clickhouse, redis] = await Promise.all([TestKafka.start({ security: 'sasl' }), TestClickHouse.start(), TestRedis.start()]);
}, { timeout: 300_000 });
after(async () => {
  if (skip === false) await Promise.all([kafka.stop(), clickhouse[Symbol.asyncDispose](), redis.stop()]);
});

interface Systems { readonly kafka?: object; readonly clickhouse?: object; readonly redis?: object }

/** A node of this shape that is not waited for. */
function start(command: 'start' | 'gateway' | 'collector', systems: Systems): Promise<TestNode> {
  const { name: user, password } = TEST_USERS.owner;
  const config: TestConfig = {
    event_log: { kafka: { brokers: kafka.brokers, partitions: 1, ...systems.kafka } },
    store: { clickhouse: { url: clickhouse.url, user, password, timeout: '10s', ...systems.clickhouse } },
    shared_state: { redis: { url: redis.url, ...systems.redis } },
  };
  return TestNode.start(config, { command, waitReady: false });
}

async function readyz(node: TestNode): Promise<{ readonly status: number; readonly ready: boolean; readonly reasons: readonly string[] }> {
  const answer = await fetch(`${node.controlUrl}/readyz`);
  return { status: answer.status, ...await answer.json() as { ready: boolean; reasons: string[] } };
}

/** It is not ready, and for each code says so, with a reason that fits, on `/readyz` and, with what to do, in its log. */
async function saysWhy(node: TestNode, wanted: readonly (readonly [ErrorCode, RegExp])[]): Promise<void> {
  await eventually(() => `${wanted.map(([code]) => code).join()} in:\n${node.output.slice(-4000)}`, async () => {
    const { status, ready, reasons } = await readyz(node);
    for (const [code, words] of wanted) assert.ok(reasons.some((reason) => reason.endsWith(`(${code})`) && words.test(reason)), `${code} ${String(words)} in ${JSON.stringify(reasons)}`);
    assert.deepEqual([status, ready], [503, false]);
    return true;
  }, WITHIN_MS, 100);
  for (const [code] of wanted) {
    const remedy = JSON.stringify(ERROR_CODES[code].remedy).slice(1, -1);
    assert.ok(node.output.split('\n').some((line) => line.includes(`"code":"${code}"`) && line.includes(remedy)), `${code} and what to do in:\n${node.output.slice(-4000)}`);
  }
  assert.doesNotMatch(node.output, new RegExp(GUESS), 'what was tried as a password is not told');
}

const isReady = (node: TestNode): Promise<true> => eventually(() => `ready\n${node.output.slice(-2000)}`, async () => ((await readyz(node)).ready ? true : null), WITHIN_MS, 100);

test('wrong credentials for Kafka and for Redis', { skip, timeout: 300_000 }, async () => {
  await redis.with((client) => client.call('ACL', ['SETUSER', 'shared', 'on', '>its-password', '~*', '&*', '+@all']));
  await using node = await start('gateway', {
    kafka: { brokers: kafka.secureBrokers, sasl: { mechanism: 'scram-sha-256', username: KAFKA_USER.username, password: GUESS } }, redis: { username: 'shared', password: GUESS },
  });
  await saysWhy(node, [['kafka_unauthenticated', /shipped: .*authentication failed/i], ['shared_state_access', /shared: .*WRONGPASS/]]);
});

test('a topic that compacts, and a Redis that may evict: once both are mended, the gateway is ready by itself', { skip, timeout: 300_000 }, async () => {
  await makeTopic('compacting', { 'cleanup.policy': 'compact' });
  await redis.with((client) => client.config('SET', 'maxmemory-policy', 'allkeys-lru'));
  try {
    await using node = await start('gateway', { kafka: { topic: 'compacting' } });
    await saysWhy(node, [
      ['kafka_topic_settings', /topic compacting: cleanup\.policy=compact, should be delete/], ['shared_state_eviction', new RegExp(`port ${redis.port}: maxmemory-policy is allkeys-lru`)],
    ]);
    await kafka.withAdmin((admin) => admin.alterConfigs({
      validateOnly: false, resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: 'compacting', configEntries: Object.entries({ ...SOUND, 'cleanup.policy': 'delete' }).map(([name, value]) => ({ name, value })) }],
    }));
    await redis.with((client) => client.config('SET', 'maxmemory-policy', 'noeviction'));
    await isReady(node);
  } finally {
    await redis.with((client) => client.config('SET', 'maxmemory-policy', 'noeviction'));
  }
});

test('a Kafka of an unknown version, and a Redis user who may run no script', { skip, timeout: 300_000 }, async () => {
  await redis.with((client) => client.call('ACL', ['SETUSER', 'weak', 'on', '>its-password', '~*', '&*', '+@all', '-@scripting']));
  const strange = await UnknownKafka.start();
  try {
    await using node = await start('gateway', { kafka: { brokers: strange.address }, redis: { username: 'weak', password: 'its-password' } });
    await saysWhy(node, [['kafka_version', /./], ['shared_state_access', /NOPERM.*eval/i]]);
  } finally {
    await strange.stop();
  }
});

test('a topic with too few replicas that must be in sync keeps a collector from being ready', { skip, timeout: 300_000 }, async () => {
  await makeTopic('unsafe', {});
  await using node = await start('collector', { kafka: { topic: 'unsafe', min_insync_replicas: 2 } });
  await saysWhy(node, [['kafka_topic_settings', /not stored: topic unsafe: min\.insync\.replicas=1, should be 2/]]);
});

test('a Redis that may evict, and one that refuses the password, keep a collector from being ready; once the one is mended, it is ready by itself', { skip, timeout: 300_000 }, async () => {
  await redis.with((client) => client.call('ACL', ['SETUSER', 'counting', 'on', '>its-password', '~*', '&*', '+@all']));
  await redis.with((client) => client.config('SET', 'maxmemory-policy', 'allkeys-lru'));
  try {
    await using node = await start('collector', {});
    await saysWhy(node, [['shared_state_eviction', new RegExp(`counters are not published: port ${redis.port}: maxmemory-policy is allkeys-lru`)]]);
    await using guessing = await start('collector', { redis: { username: 'counting', password: GUESS } });
    await saysWhy(guessing, [['shared_state_access', /counters are not published: .*WRONGPASS/]]);
    assert.equal(await redis.with((client) => client.exists('tidegate:publisher')), 0, 'nothing is written into it');
    await redis.with((client) => client.config('SET', 'maxmemory-policy', 'noeviction'));
    await isReady(node);
  } finally {
    await redis.with((client) => client.config('SET', 'maxmemory-policy', 'noeviction'));
  }
});

test('a store whose schema is older, and a user who may not change it: the node says so, and goes on once another has', { skip, timeout: 300_000 }, async () => {
  const { name: user, password } = TEST_USERS.writer;
  await using fresh = await TestClickHouse.start();
  await using whole = await start('start', { clickhouse: { url: fresh.url, user, password } });
  await saysWhy(whole, [['store_schema_old', /not stored: the store lacks migration 1, .* and the user writer may not make it/]]);
  assert.equal(whole.output.split('is started again').length, 1, 'it waits, rather than being started again and again');
  await using owner = await start('collector', { clickhouse: { url: fresh.url } });
  await isReady(owner);
  await isReady(whole);
});

test('a store whose schema is newer: the collector says which version it knows', { skip, timeout: 300_000 }, async () => {
  // members of the other tests' group were killed, and it waits for them
  const own = { kafka: { group: 'newer' } };
  await using first = await start('collector', own);
  await isReady(first);
  await first.stop();
  await sql("INSERT INTO tidegate.schema_migrations (version, name) VALUES (9999, 'from_the_future')");
  try {
    await using node = await start('collector', own);
    await saysWhy(node, [['store_version', /at migration 9999 \(from_the_future\), this program knows \d+/]]);
    await neverWithoutWords(node, 'store_version');
  } finally {
    await sql('ALTER TABLE tidegate.schema_migrations DELETE WHERE version = 9999 SETTINGS mutations_sync = 2');
  }
});

test('a ClickHouse user without rights, and one with a wrong password', { skip, timeout: 300_000 }, async () => {
  const { name: user, password } = TEST_USERS.nobody;
  await using powerless = await start('collector', { clickhouse: { user, password } });
  await using guessing = await start('collector', { clickhouse: { password: GUESS } });
  await saysWhy(powerless, [['store_access', /the user nobody lacks: SELECT ON tidegate\.\*, INSERT ON tidegate\.\*/]]);
  await saysWhy(guessing, [['store_access', /Authentication failed/]]);
  await neverWithoutWords(powerless, 'store_access');
  await neverWithoutWords(guessing, 'store_access');
});

/** It is started again and again, says each time why it ends, and not without a pause. */
async function neverWithoutWords(node: TestNode, code: ErrorCode): Promise<void> {
  const lines = (): string[] => node.output.split('\n');
  const again = await eventually('a second start', () => {
    const waits = lines().filter((line) => line.includes('is started again')).map((line) => Number(/"restart_in_ms":(\d+)/.exec(line)?.[1]));
    return waits.length >= 2 ? waits : null;
  }, WITHIN_MS);
  assert.ok(again.every((ms) => ms >= 1000), `waits of ${again.join()} ms`);
  assert.ok(lines().filter((line) => line.includes('"role":"collector"') && line.includes(`"code":"${code}"`)).length >= again.length, node.output.slice(-4000));
}

const SOUND = { 'max.message.bytes': '8388608', 'retention.ms': '604800000' };

async function makeTopic(topic: string, entries: Readonly<Record<string, string>>): Promise<void> {
  const configEntries = Object.entries({ ...SOUND, ...entries }).map(([name, value]) => ({ name, value }));
  await kafka.withAdmin((admin) => admin.createTopics({ waitForLeaders: false, topics: [{ topic, numPartitions: 1, replicationFactor: 1, configEntries }] }));
}

async function sql(statement: string): Promise<void> {
  const answer = await fetch(clickhouse.url, { method: 'POST', body: statement });
  assert.ok(answer.ok, await answer.text());
}

/** Answers each request, of whatever version, with error 35, UNSUPPORTED_VERSION. */
class UnknownKafka {
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((socket) => {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('data', (request: Buffer) => {
      const response = Buffer.alloc(14);
      response.writeInt32BE(10, 0);
      response.writeInt32BE(request.readInt32BE(8), 4);
      response.writeInt16BE(35, 8);
      socket.write(response);
    });
  });

  static async start(): Promise<UnknownKafka> {
    const strange = new UnknownKafka();
    await new Promise<void>((resolve) => { strange.#server.listen(0, '127.0.0.1', resolve); });
    return strange;
  }

  get address(): string { return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`; }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => { this.#server.close(resolve); });
  }
}
