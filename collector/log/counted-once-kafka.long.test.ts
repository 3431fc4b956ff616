/** A step that fails is done again, and finds again what it had found: the totals that become counters count it once, when it is done. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ChunkMessage } from '../../gateway/events/chunk.js';
import { TestKafka } from '../../test/harness/kafka.js';
import { requires } from '../../test/harness/requires.js';
import { dataDirOf, totalsOf } from './counted-once.fixture.js';
import { chunksOf, TestTopic } from './kafka/topic.fixture.js';
import { RandomStream } from './random-events.fixture.js';

test('of Kafka', { skip: requires('chdb', 'kafka') }, async (t) => {
  const dataDir = dataDirOf(t);
  await using kafka = await TestKafka.start();
  const topic = await TestTopic.make(kafka, 1);
  t.after(() => topic.close());
  const [first, second] = [1, 2].map((worker) => chunksOf(new RandomStream(join(dataDir, 'elsewhere'), worker, Date.now() - 2_500_000).write(310).dir)) as [ChunkMessage[], ChunkMessage[]];
  const totals = await totalsOf(dataDir, topic, () => topic.send(first), () => topic.send([...first, { ...first[0], value: Buffer.from('no frames at all') }, ...second]));
  assert.deepEqual(totals, { stored: 620, repeats: 310, quarantined: 1 });
});
