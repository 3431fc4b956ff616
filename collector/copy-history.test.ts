/** Before a history moves, nothing of it may be begun and not known to be stored: made again on the other side, it would count twice. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { TidegateError } from '../errors/tidegate-error.js';
import { TestClickHouse } from '../test/harness/clickhouse-server.js';
import { eventually } from '../test/harness/deadline.js';
import { TestKafka } from '../test/harness/kafka.js';
import { requires } from '../test/harness/requires.js';
import { Collector, type CollectorOptions } from './collector.js';
import { copyHistory, type CopyHistoryOptions } from './copy-history.js';
import { TestTopic } from './log/kafka/topic.fixture.js';
import { RandomStream, silentLog } from './log/random-events.fixture.js';
import { storedSums } from './log/stored-sums.fixture.js';
import { connection } from './store/stores.fixture.js';

const DAY_MS = 86_400_000;
const RETENTION = { eventsMs: 30 * DAY_MS, minutesMs: 90 * DAY_MS, quarterHoursMs: 1100 * DAY_MS, maxBytes: 50 * 1024 ** 3 };

interface Node {
  readonly dataDir: string;
  readonly spoolDir: string;
  collector(more?: Partial<CollectorOptions>): Promise<Collector>;
  copy(more?: Partial<CopyHistoryOptions>): ReturnType<typeof copyHistory>;
}

function nodeOn(t: TestContext, url: string): Node {
  const dataDir = mkdtempSync(join(tmpdir(), 'tidegate-history-'));
  t.after(() => { rmSync(dataDir, { recursive: true, force: true }); });
  return {
    dataDir, spoolDir: join(dataDir, 'spool'),
    collector: (more = {}) => Collector.start({ dataDir, retention: RETENTION, log: silentLog, ...more }),
    copy: (more = {}) => copyHistory({ dataDir, clickhouse: connection(url), kafka: null, log: silentLog, signal: new AbortController().signal, progress: () => undefined, ...more }),
  };
}

test('a collector of the spool goes on at the server where it stopped in chDB: nothing of its last insert counts twice', { skip: requires('chdb') }, async (t) => {
  await using server = await TestClickHouse.start();
  const node = nodeOn(t, server.url);
  await assert.rejects(node.copy(), (error: TidegateError) => error.code === 'store_copy_source');
  // it lives, so its segment stays in the spool with what of it is stored
  const stream = new RandomStream(node.spoolDir, 1, Date.now() - 60_000).write(3000);
  await (await node.collector()).stop();
  const running = await node.collector();
  await assert.rejects(node.copy(), (error: TidegateError) => error.code === 'data_dir_in_use');
  await running.stop();
  assert.equal((await node.copy()).tables.find(({ table }) => table === 'events')?.copiedRows, 3000);
  stream.write(500).seal();
  const collector = await node.collector({ clickhouse: connection(server.url) });
  try {
    await eventually('the rest is stored', () => (collector.status().stored >= 500 ? true : null), 60_000);
    const { raw, minutes, quarterHours } = await storedSums(collector.store);
    const { rows, ...rolled } = stream.sums;
    assert.deepEqual({ raw, minutes, quarterHours }, { raw: { ...rolled, rows }, minutes: rolled, quarterHours: rolled });
  } finally {
    await collector.stop();
  }
});

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
