/**
 * The collector killed by SIGKILL at every placed point between Kafka and the store, and in the midst of inserts, over and over on the same topic and data: at the
 * end raw events, every rollup and the coverage hold each event once. Where the intent is not made durable before the insert, `between-raw-and-rollup` alone
 * doubles raw events: the range is built anew, longer, under another token.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { TestKafka } from '../../../test/harness/kafka.js';
import { requires } from '../../../test/harness/requires.js';
import { openStore } from '../../store/open-store.js';
import { RandomStream, silentLog } from '../random-events.fixture.js';
import { assertExact, storedSums } from '../stored-sums.fixture.js';
import type { KillPlace } from './collector-to-kill.fixture.js';
import { startCollector } from './start-collector.fixture.js';
import { chunksOf, stateOf, TestTopic } from './topic.fixture.js';

test('killed at any point between Kafka and the store, the collector loses nothing and stores nothing twice', { timeout: 400_000, skip: requires('chdb', 'kafka') }, async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'tidegate-kafka-kills-'));
  t.after(() => { rmSync(dataDir, { recursive: true, force: true }); });
  // a dead member's partitions are free after its session's time
  const kafka = await TestKafka.start({ properties: { 'group.min.session.timeout.ms': '1000' } });
  t.after(() => kafka.stop());
  const topic = await TestTopic.make(kafka, 2);
  t.after(() => topic.close());
  const streams = [1, 2].map((worker) => new RandomStream(join(dataDir, 'spool'), worker, Date.now() - 2_500_000, 200_000));

  /** @returns the signal it died by, or its exit code */
  const collect = async (place?: KillPlace, afterMs = 0): Promise<NodeJS.Signals | number | null> => {
    const total = place === undefined ? streams.reduce((sum, stream) => sum + stream.sums.rows, 0) : null;
    const child = startCollector({ dataDir, brokers: kafka.brokers, topic: topic.settings.topic, partitions: 2, rows: 3000, total, clickhouse: null, ...(place === undefined ? {} : { place, afterMs }) });
    const [code, signal] = await once(child, 'exit') as [number | null, NodeJS.Signals | null];
    return signal ?? code;
  };
  const sent = new Map<RandomStream, number>();
  const more = async (): Promise<void> => {
    for (const stream of streams) {
      stream.write(2480).mark();
      const chunks = chunksOf(stream.dir, 8);
      await topic.send([stateOf(stream.dir), ...chunks.slice(sent.get(stream) ?? 0)]);
      sent.set(stream, chunks.length);
    }
  };

  const places: readonly (readonly [KillPlace, number])[] = [
    ['before-intent', 0], ['after-intent', 0], ['between-raw-and-rollup', 0], ['after-insert', 0], ['before-commit', 0], ['after-commit', 0],
    ...[1, 3, 6, 10, 20].map((ms) => ['mid-insert', ms] as const),
  ];
  let half = 0;
  for (const [place, afterMs] of places) {
    await more();
    assert.equal(await collect(place, afterMs), 'SIGKILL', `${place} was passed`);
    if (place !== 'between-raw-and-rollup') continue;
    const store = await openStore({ dataDir, clickhouse: null, log: silentLog });
    const { raw, minutes } = await storedSums(store);
    half = raw.requests - minutes.requests;
    await store.close();
  }
  assert.ok(half > 0, 'one kill left raw events without their rollup');
  await more();
  assert.equal(await collect(), 0);
  // a clean end, taken up again, changes nothing either
  assert.equal(await collect(), 0);

  const store = await openStore({ dataDir, clickhouse: null, log: silentLog });
  await assertExact(store, streams);
  await store.close();
  for (const { recorder } of streams) await recorder.close();
});
