/** Before a history moves, nothing of it may be begun and not known to be stored: made again on the other side, it would count twice. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { test } from 'node:test';
import type { TidegateError } from '../errors/tidegate-error.js';
import { TestClickHouse } from '../test/harness/clickhouse-server.js';
import { eventually } from '../test/harness/deadline.js';
import { TestKafka } from '../test/harness/kafka.js';
import { requires } from '../test/harness/requires.js';
import { nodeOn } from './copy-history.fixture.js';
import { TestTopic } from './log/kafka/topic.fixture.js';

test('a history is not moved while a range of Kafka is begun and not known to be stored', { skip: requires('chdb', 'kafka') }, async (t) => {
  await using kafka = await TestKafka.start();
  await using server = await TestClickHouse.start();
  const topic = await TestTopic.make(kafka, 1);
  t.after(() => topic.close());
  const node = nodeOn(t, server.url);
  mkdirSync(node.spoolDir, { recursive: true });
  await (await node.collector()).stop();
  const commit = async (metadata: string): Promise<void> => {
    const consumer = topic.client.consumer({ groupId: topic.settings.group });
    await consumer.connect();
    await consumer.subscribe({ topics: [topic.settings.topic], fromBeginning: true });
    await consumer.run({ autoCommit: false, eachBatch: () => Promise.resolve() });
    await eventually('the group has the place', async () => {
      // passed over in silence until the consumer has joined
      await consumer.commitOffsets([{ topic: topic.settings.topic, partition: 0, offset: '0', metadata }]);
      const place = (await topic.committed()).get(0);
      return place?.offset === '0' && (place.metadata ?? '') === metadata ? true : null;
    }, 60_000, 250);
    await consumer.disconnect();
  };
  await commit('{"v":1}');
  await assert.rejects(node.copy({ kafka: topic.settings }), (error: TidegateError) => error.code === 'store_copy_source' && error.message.includes('partition 0'));
  await commit('');
  assert.equal((await node.copy({ kafka: topic.settings })).already, false);
});
