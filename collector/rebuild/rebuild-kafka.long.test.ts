/** Where events come through Kafka: a collector that reads all of the topic mends the rollups while they come; one of several, which knows nothing of what the others have begun, does not. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TidegateError } from '../../errors/tidegate-error.js';
import { TestClickHouse } from '../../test/harness/clickhouse-server.js';
import { eventually } from '../../test/harness/deadline.js';
import { TestKafka } from '../../test/harness/kafka.js';
import { requires } from '../../test/harness/requires.js';
import { Collector } from '../collector.js';
import { KafkaEventLog } from '../log/kafka/kafka-event-log.js';
import { chunksOf, TestTopic } from '../log/kafka/topic.fixture.js';
import { RandomStream, silentLog } from '../log/random-events.fixture.js';
import { assertExact, storedSums } from '../log/stored-sums.fixture.js';
import { connection } from '../store/stores.fixture.js';

const DAY_MS = 86_400_000;
const RETENTION = { eventsMs: 30 * DAY_MS, minutesMs: 90 * DAY_MS, quarterHoursMs: 1100 * DAY_MS, maxBytes: 50 * 1024 ** 3 };

test('a collector that reads all of the topic mends the rollups while events come; beside another that reads a part of it, nothing is settled', { timeout: 240_000, skip: requires('chdb', 'kafka') }, async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'tidegate-rebuild-kafka-'));
  t.after(() => { rmSync(dataDir, { recursive: true, force: true }); });
  await using kafka = await TestKafka.start();
  await using server = await TestClickHouse.start();
  const topic = await TestTopic.make(kafka, 2);
  t.after(() => topic.close());
  const stream = new RandomStream(join(dataDir, 'spool'), 1, Date.now() - 2_500_000);
  t.after(() => stream.recorder.close());
  let sent = 0;
  const more = async (): Promise<void> => {
    const chunks = chunksOf(stream.write(620).mark().dir, 5);
    await topic.send(chunks.slice(sent));
    sent = chunks.length;
  };
  await more();
  const collector = await Collector.start({ dataDir, retention: RETENTION, log: silentLog, clickhouse: connection(server.url), kafka: topic.options() });
  t.after(() => collector.stop());
  const { store } = collector;
  const allStored = (): Promise<true> => eventually('all is stored', () => collector.status().stored === stream.sums.rows || null, 60_000);
  await allStored();
  await store.command("ALTER TABLE tidegate.traffic_minute DELETE WHERE app = 'app-1' SETTINGS mutations_sync = 1");
  await store.command('INSERT INTO tidegate.traffic_quarter_hour SELECT * FROM tidegate.traffic_quarter_hour SETTINGS insert_deduplicate = 0, max_partitions_per_insert_block = 0');
  assert.notDeepEqual((await storedSums(store)).minutes, (await storedSums(store)).quarterHours);
  let mending = true;
  const coming = (async () => { while (mending) await more(); })();
  await collector.rebuild({ swap: true, signal: new AbortController().signal, tell: () => undefined });
  mending = false;
  await coming;
  await allStored();
  await assertExact(store, [stream]);

  const other = await KafkaEventLog.open({ collectorDir: join(dataDir, 'other'), store, log: silentLog, kafka: topic.options() });
  let joined = false;
  const stepping = (async () => { while (!joined) await other.step(); })();
  const why = await eventually('two collectors', async () => {
    const said = await other.settle();
    return said?.startsWith('other collectors') === true ? said : null;
  }, 60_000);
  // beside the other, the answer comes at once: it took a minute
  const askedMs = performance.now();
  const refused = await collector.rebuild({ swap: true, signal: new AbortController().signal, tell: () => undefined }).then(() => null, (error: TidegateError) => error);
  const tookMs = performance.now() - askedMs;
  joined = true;
  await stepping;
  assert.deepEqual([refused?.code, refused?.message], ['rebuild_not_alone', 'other collectors read 1 of 2 partitions: stop them until it is done']);
  assert.ok(tookMs < 20_000, `${tookMs} ms`);
  await other.stop();
  assert.equal(why, 'other collectors read 1 of 2 partitions: stop them until it is done');
});
