import { test } from 'node:test';
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { Kafka, logLevel } from 'kafkajs';
import { TestKafka } from './kafka.js';
import { requires } from './requires.js';

test('a broker is killed and started again on its data, paused and resumed, and leaves nothing behind', { skip: requires('kafka') }, async () => {
  const kafka = await TestKafka.start();
  const { folder } = kafka;
  try {
    await kafka.withAdmin((admin) => admin.createTopics({ topics: [{ topic: 't', numPartitions: 2 }] }));
    const first = kafka.pid();
    await kafka.kill();
    assert.equal(kafka.pid(), null);
    await kafka.restart();
    assert.notEqual(kafka.pid(), first);
    assert.deepEqual(await kafka.withAdmin((admin) => admin.listTopics()), ['t']);
    kafka.pause();
    const client = new Kafka({ brokers: kafka.brokers.split(','), logLevel: logLevel.NOTHING, connectionTimeout: 300, requestTimeout: 300, retry: { retries: 0 } });
    const admin = client.admin();
    await assert.rejects(admin.connect());
    kafka.resume();
    assert.deepEqual(await kafka.withAdmin((other) => other.listTopics()), ['t']);
    await admin.disconnect();
  } finally {
    await kafka.stop();
  }
  assert.equal(existsSync(folder), false);
});
