/** An imported log that comes through Kafka: each line once, also when it is imported again without its receipt; by ranges of less than 100 days. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { importLog } from '../../../gateway/events/import/import-log.js';
import { eventually } from '../../../test/harness/deadline.js';
import { TestKafka } from '../../../test/harness/kafka.js';
import { requires } from '../../../test/harness/requires.js';
import { completeness } from '../../completeness/completeness.js';
import { openStore } from '../../store/open-store.js';
import { silentLog } from '../random-events.fixture.js';
import { importOptions, logOf } from '../spool/imported-log.fixture.js';
import { KafkaEventLog } from './kafka-event-log.js';
import { chunksOf, stateOf, TestTopic } from './topic.fixture.js';

const DAY_MS = 86_400_000;
const OLD = Date.UTC(2015, 4, 17, 22);

test('a log of 150 days is stored once, however often it is imported, and nobody is told of anything missing or twice', { skip: requires('chdb', 'kafka'), timeout: 180_000 }, async (t) => {
  const kafka = await TestKafka.start();
  const dataDir = mkdtempSync(join(tmpdir(), 'tidegate-kafka-import-'));
  const store = await openStore({ dataDir, clickhouse: null, log: silentLog });
  const topic = await TestTopic.make(kafka, 3);
  const log = await KafkaEventLog.open({ collectorDir: join(dataDir, 'collector'), store, log: silentLog, kafka: topic.options() });
  t.after(async () => {
    await log.stop();
    await topic.close();
    await store.close();
    await kafka.stop();
    rmSync(dataDir, { recursive: true, force: true });
  });
  const lines = 600;
  const file = join(dataDir, 'access.log');
  writeFileSync(file, logOf(lines, OLD, DAY_MS / 4));

  /** As the shipper does, which then removes the stream. */
  const importAndShip = async (): Promise<void> => {
    const { stream, rows } = await importLog(importOptions(dataDir, file));
    assert.equal(rows, lines);
    const dir = join(dataDir, 'spool', stream);
    await topic.send([stateOf(dir, { seal: null }), ...chunksOf(dir), stateOf(dir)]);
    for (const folder of [dir, join(dataDir, 'imports')]) rmSync(folder, { recursive: true });
  };
  const stored = async (): Promise<unknown> => (await store.query('SELECT count() AS rows, uniqExact(bytes_out) AS lines, uniqExact(stream) AS streams, (SELECT sum(t.requests) FROM tidegate.traffic_minute AS t) AS minutes FROM tidegate.events'))[0];
  const once = { rows: lines, lines, streams: 1, minutes: lines };
  await importAndShip();
  await eventually('all lines are stored', async () => {
    await log.step();
    return (await stored() as typeof once).rows >= lines || null;
  }, 60_000, 0);
  assert.deepEqual(await stored(), once);
  const inserts = await store.query<{ days: number }>('SELECT uniqExact(toDate(time)) AS days FROM tidegate.events GROUP BY stored_at');
  assert.ok(inserts.length >= 2 && inserts.every(({ days }) => days < 100), JSON.stringify(inserts));

  const { ranges } = log.totals;
  await importAndShip();
  await eventually('it is read again', async () => {
    await log.step();
    return log.totals.ranges > ranges || null;
  }, 60_000, 0);
  await eventually('to its end', async () => (await log.step()).rows === 0 || null, 60_000, 0);
  assert.deepEqual(await stored(), once);
  assert.equal(log.totals.repeatedRows, 0);
  assert.deepEqual(await store.query('SELECT count() AS n FROM tidegate.repeats'), [{ n: 0 }]);
  const nowMs = Date.now();
  for (const fromMs of [Math.floor(nowMs / DAY_MS) * DAY_MS, OLD - OLD % DAY_MS]) {
    const { streams, reasons } = await completeness(store, await log.facts(nowMs), { fromMs, toMs: fromMs + DAY_MS, nowMs });
    assert.deepEqual([streams, reasons], [[], []]);
  }
  assert.deepEqual(readdirSync(join(dataDir, 'spool')), []);
});
