/**
 * A topic that somebody made with larger messages than ours, and a message in it that is larger than a fetch and than the quarantine's topic takes. The quarantine's broker
 * refused the copy for ever, and with it the partition stood still.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import kafkajs from 'kafkajs';
import { MAX_MESSAGE_BYTES } from '../../../gateway/events/chunk.js';
import { eventually } from '../../../test/harness/deadline.js';
import { TestKafka } from '../../../test/harness/kafka.js';
import { requires } from '../../../test/harness/requires.js';
import { openStore } from '../../store/open-store.js';
import { RandomStream, silentLog } from '../random-events.fixture.js';
import { assertExact } from '../stored-sums.fixture.js';
import { KafkaEventLog } from './kafka-event-log.js';
import { chunksOf, stateOf, TestTopic } from './topic.fixture.js';

test('a message larger than any of ours goes to quarantine where it lies, and the partition goes on', { timeout: 300_000, skip: requires('chdb', 'kafka') }, async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'tidegate-large-'));
  t.after(() => { rmSync(dataDir, { recursive: true, force: true }); });
  const kafka = await TestKafka.start();
  t.after(() => kafka.stop());
  const topic = await TestTopic.make(kafka, 1);
  t.after(() => topic.close());
  const store = await openStore({ dataDir, clickhouse: null, log: silentLog });
  t.after(() => store.close());
  await kafka.withAdmin(async (admin) => {
    await admin.alterConfigs({
      validateOnly: false,
      resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: topic.settings.topic, configEntries: [{ name: 'max.message.bytes', value: String(4 * MAX_MESSAGE_BYTES) }] }],
    });
  });
  const stream = new RandomStream(join(dataDir, 'spool'), 1, Date.now() - 2_500_000).write(620).seal();
  t.after(() => stream.recorder.close());
  const [first, ...rest] = chunksOf(stream.dir, 10);
  assert.ok(first !== undefined);
  await topic.send([first]);
  await topic.send([{ ...first, value: randomBytes(MAX_MESSAGE_BYTES + 1_000_000) }]);
  await topic.send([...rest, stateOf(stream.dir)]);
  const log = await KafkaEventLog.open({ collectorDir: join(dataDir, 'collector'), store, log: silentLog, kafka: topic.options() });
  t.after(() => log.stop());
  await eventually('all is stored', async () => {
    await log.step();
    return log.totals.storedRows === 620 ? true : null;
  }, 180_000, 0);
  const aside = await store.query('SELECT reason, file, from_offset FROM tidegate.quarantine FINAL');
  assert.deepEqual(aside, [{ reason: 'checksum', file: `${topic.settings.topic}/0/1`, from_offset: 1 }]);
  assert.equal(log.standing(), null);
  await assertExact(store, [stream]);
});
