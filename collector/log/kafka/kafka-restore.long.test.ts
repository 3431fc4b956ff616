/** A store that is put back to an earlier time, by ClickHouse's own BACKUP and RESTORE, while the group of collectors stands where it stood. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually } from '../../../test/harness/deadline.js';
import { TestKafka } from '../../../test/harness/kafka.js';
import { requires } from '../../../test/harness/requires.js';
import { openStore } from '../../store/open-store.js';
import { RandomStream, silentLog } from '../random-events.fixture.js';
import { assertExact } from '../stored-sums.fixture.js';
import { KafkaEventLog } from './kafka-event-log.js';
import { chunksOf, stateOf, TestTopic } from './topic.fixture.js';

test('a store that was put back is noticed, and gets back what it lacks once the group begins at the earliest offset', { skip: requires('chdb', 'kafka') }, async (t) => {
  await using kafka = await TestKafka.start();
  const dataDir = mkdtempSync(join(tmpdir(), 'tidegate-kafka-restore-'));
  const store = await openStore({ dataDir, clickhouse: null, log: silentLog });
  const topic = await TestTopic.make(kafka, 3);
  t.after(async () => {
    await topic.close();
    await store.close();
    rmSync(dataDir, { recursive: true, force: true });
  });
  const opened = (): Promise<KafkaEventLog> =>
    KafkaEventLog.open({ collectorDir: join(dataDir, 'collector'), store, log: silentLog, kafka: topic.options(), limits: { rows: 100, bytes: 64 * 1024 * 1024 } });
  const streams = Array.from({ length: 3 }, (_, i) => new RandomStream(join(dataDir, 'spool'), i + 1, Date.now() - 2_500_000));
  const rowsStored = async (): Promise<number> => (await store.query('SELECT 1 FROM tidegate.events')).length;
  const collects = async (rows: number): Promise<void> => {
    const log = await opened();
    await eventually(`${rows} rows stored`, async () => {
      await log.step();
      return await rowsStored() === rows || null;
    }, 60_000, 0);
    await log.stop();
  };
  const ship = async (): Promise<void> => {
    for (const { dir } of streams) await topic.send([...chunksOf(dir, 3), stateOf(dir)]);
  };

  for (const stream of streams) stream.write(310);
  await ship();
  await collects(3 * 310);
  await store.command("BACKUP DATABASE tidegate TO Memory('before')");
  // its frames come again too, and the last range of a partition holds nothing that is new
  for (const stream of streams) stream.write(310).seal();
  await ship();
  await collects(3 * 620);
  await store.command('DROP DATABASE tidegate SYNC');
  await store.command("RESTORE DATABASE tidegate FROM Memory('before')");

  const places = await topic.committed();
  const behind = await opened();
  for (const { dir } of streams) await topic.send([stateOf(dir)]);
  const standing = await eventually('it is said', async () => {
    await behind.step();
    return behind.standing();
  }, 60_000, 0);
  assert.equal(standing.code, 'log_store_behind');
  assert.match(standing.detail, /event \d+ of stream [0-9a-f]{16}, stored from .* at 20\d\d-.* is not in the store/);
  for (let steps = 0; steps < 8; steps++) await behind.step();
  await behind.stop();
  assert.equal(await rowsStored(), 3 * 310);
  assert.deepEqual(await topic.committed(), places, 'no partition was read on');

  await topic.seekEarliest();
  await collects(3 * 620);
  await assertExact(store, streams);

  // under a collector that goes on: it only sees that the store fails for a while
  const running = await opened();
  const later = new RandomStream(join(dataDir, 'spool'), 4, Date.now() - 2_500_000);
  streams.push(later.write(310));
  await topic.send(chunksOf(later.dir, 3));
  await eventually('the later rows are stored', async () => {
    await running.step();
    return await rowsStored() === 3 * 620 + 310 || null;
  }, 60_000, 0);
  await store.command('DROP DATABASE tidegate SYNC');
  await topic.send(chunksOf(later.write(310).dir, 3));
  await eventually('the store fails', () => running.step().then(() => null, () => true), 60_000, 0);
  await store.command("RESTORE DATABASE tidegate FROM Memory('before')");
  const noticed = await eventually('it is said again', async () => {
    await running.step();
    return running.standing();
  }, 60_000, 0);
  assert.equal(noticed.code, 'log_store_behind');
  await running.stop();
  await topic.seekEarliest();
  await collects(3 * 620 + 620);
  await assertExact(store, streams);
});
