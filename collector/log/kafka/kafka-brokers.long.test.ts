/** Three brokers, of which one at a time is away, or hands its work over: the collector reads on from the others, and says no more than it has stored. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, test } from 'node:test';
import { partitionOf } from '../../../gateway/events/chunk.js';
import { eventually } from '../../../test/harness/deadline.js';
import { TestKafka } from '../../../test/harness/kafka.js';
import { requires } from '../../../test/harness/requires.js';
import { openStore } from '../../store/open-store.js';
import { RandomStream, silentLog } from '../random-events.fixture.js';
import { assertExact } from '../stored-sums.fixture.js';
import { KafkaEventLog } from './kafka-event-log.js';
import { chunksOf, stateOf, TestTopic } from './topic.fixture.js';

const skip = requires('chdb', 'kafka');
const PARTITIONS = 3;
let kafka: TestKafka;

before(async () => {
  if (skip === false) kafka = await TestKafka.start({ brokers: 3 });
});
after(async () => {
  if (skip === false) await kafka.stop();
});

test('the leader of a partition stands still, and another takes what is sent: as of is not later than that before it is stored', { skip, timeout: 600_000 }, async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'tidegate-brokers-'));
  const topic = await TestTopic.make(kafka, PARTITIONS);
  const store = await openStore({ dataDir, clickhouse: null, log: silentLog });
  const stream = new RandomStream(join(dataDir, 'spool'), 1, Date.now() - 2_500_000).write(310);
  const partition = partitionOf(basename(stream.dir), PARTITIONS);
  const leader = await kafka.leaderOf(topic.settings.topic, partition);
  // the one that stands still is the first that the settings name
  const brokers = kafka.brokers.split(',');
  const kafkaOptions = { ...topic.options(), settings: { ...topic.settings, brokers: [...brokers.slice(leader - 1), ...brokers.slice(0, leader - 1)] } };
  const log = await KafkaEventLog.open({ collectorDir: join(dataDir, 'collector'), store, log: silentLog, kafka: kafkaOptions });
  t.after(async () => {
    await log.stop();
    await topic.close();
    await store.close();
    rmSync(dataDir, { recursive: true, force: true });
  });
  const rows = async (): Promise<number> => (await store.query('SELECT 1 FROM tidegate.events')).length;
  await topic.send(chunksOf(stream.dir));
  const stepped = (what: string, done: () => Promise<true | null>): Promise<true> => eventually(what, async () => {
    await log.step().catch(() => undefined);
    return done();
  }, 200_000, 0);
  await stepped('it is stored', async () => (log.asOfMs() > Date.now() - 5000 && await rows() === 310) || null);

  kafka.pause(leader);
  try {
    stream.write(310).seal();
    // until the others know that it is away, they send their clients to it
    await eventually('another takes what is sent', async () => {
      const others = await TestTopic.at(topic, kafka.brokers.split(',').filter((_, i) => i + 1 !== leader));
      await others.send([...chunksOf(stream.dir), stateOf(stream.dir)]).finally(() => others.close());
      return true;
    }, 120_000, 1000);
    const sentMs = Date.now();
    let storedBy = 0;
    await stepped('as of goes on', async () => {
      if (log.asOfMs() <= sentMs) return null;
      storedBy = await rows();
      return true;
    });
    assert.equal(storedBy, 620);
  } finally {
    kafka.resume(leader);
  }
  await assertExact(store, [stream]);
});
