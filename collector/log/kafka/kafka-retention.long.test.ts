/**
 * A store that keeps everything for less time than Kafka does. What the store knew of a stream went with its events, and the place of a partition that was
 * quiet since then names a row of that stream: the next start said log_store_behind of a store that lacked nothing, and the partition stood still.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually } from '../../../test/harness/deadline.js';
import { TestKafka } from '../../../test/harness/kafka.js';
import { requires } from '../../../test/harness/requires.js';
import { Collector } from '../../collector.js';
import { RandomStream, silentLog } from '../random-events.fixture.js';
import { chunksOf, stateOf, TestTopic } from './topic.fixture.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

test('a partition that was quiet for longer than the store keeps its events goes on, and what comes of them again is known', { skip: requires('chdb', 'kafka') }, async (t) => {
  await using kafka = await TestKafka.start();
  const dataDir = mkdtempSync(join(tmpdir(), 'tidegate-kafka-retention-'));
  const topic = await TestTopic.make(kafka, 1);
  let collector: Collector | null = null;
  t.after(async () => {
    await collector?.stop();
    await topic.close();
    rmSync(dataDir, { recursive: true, force: true });
  });
  const start = async (keptMs: number): Promise<Collector> => {
    const retention = { eventsMs: keptMs, minutesMs: keptMs, quarterHoursMs: keptMs, maxBytes: 1e12 };
    return collector = await Collector.start({ dataDir, retention, log: silentLog, kafka: topic.options() });
  };
  const count = async ({ store }: Collector, sql: string): Promise<number> => (await store.query<{ n: number }>(`SELECT count() AS n FROM tidegate.${sql}`))[0]?.n ?? 0;

  const ended = new RandomStream(join(dataDir, 'spool'), 1, Date.now() - 3 * DAY_MS).write(310).seal();
  const sealedAt = new Date(Date.now() - 3 * DAY_MS + HOUR_MS).toISOString();
  const past = [...chunksOf(ended.dir), stateOf(ended.dir, { openedAt: new Date(Date.now() - 4 * DAY_MS).toISOString(), markedAt: sealedAt, seal: { sealedAt, lastSeq: 309, proven: true } })];
  await topic.send(past);
  const first = await start(30 * DAY_MS);
  await eventually('the stream is stored, and its end noted', async () => await count(first, 'streams FINAL WHERE sealed_at IS NOT NULL') === 1 || null, 60_000);
  assert.equal(await count(first, 'events'), 310);
  await first.stop();

  // the collector that the days of quiet have come over
  const second = await start(HOUR_MS);
  await eventually('its events are past their time', async () => await count(second, 'events') === 0 || null, 60_000);
  const lively = new RandomStream(join(dataDir, 'spool'), 2, Date.now() - 1000).write(310);
  await topic.send([...past, ...chunksOf(lively.dir)]);
  const status = await eventually('what came after it is read', () => {
    const now = second.status();
    return now.failing !== null || (now.stored >= 310 && now.repeats >= 310) ? now : null;
  }, 60_000);
  assert.deepEqual({ failing: status.failing, stored: status.stored, repeats: status.repeats }, { failing: null, stored: 310, repeats: 310 });
});
