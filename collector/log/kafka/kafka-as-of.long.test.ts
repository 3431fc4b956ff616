/** Where events come through Kafka, as-of and completeness never say more than is stored: not from a collector that has just begun, and not while storing fails. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { TidegateError } from '../../../errors/tidegate-error.js';
import { partitionOf } from '../../../gateway/events/chunk.js';
import { eventually } from '../../../test/harness/deadline.js';
import { TestKafka } from '../../../test/harness/kafka.js';
import { requires } from '../../../test/harness/requires.js';
import { completeness, type Completeness } from '../../completeness/completeness.js';
import { openStore } from '../../store/open-store.js';
import type { Store } from '../../store/store.js';
import { RandomStream, silentLog } from '../random-events.fixture.js';
import { KafkaEventLog } from './kafka-event-log.js';
import { chunksOf, stateOf, TestTopic } from './topic.fixture.js';

const DAY_MS = 86_400_000;
const skip = requires('chdb', 'kafka');

let kafka: TestKafka;
let dataDir: string;
let store: Store;
let topic: TestTopic;
let log: KafkaEventLog;

before(async () => {
  if (skip === false) kafka = await TestKafka.start();
});
after(async () => {
  if (skip === false) await kafka.stop();
});
beforeEach(async () => {
  if (skip !== false) return;
  dataDir = mkdtempSync(join(tmpdir(), 'tidegate-kafka-as-of-'));
  store = await openStore({ dataDir, clickhouse: null, log: silentLog });
  topic = await TestTopic.make(kafka, 2);
});
afterEach(async () => {
  if (skip !== false) return;
  await log.stop();
  await topic.close();
  await store.close();
  rmSync(dataDir, { recursive: true, force: true });
});

const opened = (to: Store = store, dir = 'collector'): Promise<KafkaEventLog> =>
  KafkaEventLog.open({ collectorDir: join(dataDir, dir), store: to, log: silentLog, kafka: topic.options(), limits: { rows: 1000, bytes: 64 * 1024 * 1024 } });
/** The store, of which inserts may fail. */
const failing = (fails: () => boolean): Store => ({
  command: (...args) => store.command(...args), query: (...args) => store.query(...args), insertBeside: (...args) => store.insertBeside(...args), close: async () => undefined,
  insertRows: async (...args) => {
    if (fails()) throw new TidegateError('store_unavailable', 'not reached');
    await store.insertRows(...args);
  },
});
const made = (worker: number): RandomStream => new RandomStream(join(dataDir, 'spool'), worker, Date.now() - 2_500_000);
const ship = ({ dir }: RandomStream): Promise<void> => topic.send([...chunksOf(dir, 10), stateOf(dir)]);

/** Of the day before `toMs`, as the collector judges it. */
async function judged(toMs: number): Promise<Completeness> {
  const parts = log.parts();
  const nowMs = Date.now();
  return completeness(store, await log.facts(nowMs), { fromMs: toMs - DAY_MS, toMs, nowMs, parts });
}

/** All before the time is stored, and said to be. */
const caughtUp = (toMs: number): Promise<unknown> => eventually('caught up', async () => {
  await log.step();
  return log.asOfMs() >= toMs ? true : null;
}, 60_000, 0);

test('a collector that starts on a backlog says no more than is stored, from its first answer on', { skip, timeout: 120_000 }, async () => {
  log = await opened();
  const known = made(1).write(310).mark();
  await ship(known);
  await caughtUp(Date.now());
  assert.equal(log.totals.storedRows, 310);
  await log.stop();
  const unheard = made(2).write(2500);
  known.write(2500);
  const toMs = Date.now();
  for (const stream of [known, unheard]) await ship(stream.mark());

  log = await opened();
  const first = await judged(toMs);
  assert.deepEqual([log.asOfMs() < toMs, first.complete, first.over, first.streams.length], [true, false, true, 1]);
  let answers = 0;
  await eventually('all is stored', async () => {
    await log.step();
    if (log.totals.storedRows === 5000) return true;
    const { complete } = await judged(toMs);
    assert.deepEqual([log.asOfMs() < toMs, complete], [true, false], `with ${log.totals.storedRows} of 5000 stored`);
    answers++;
    return null;
  }, 60_000, 0);
  assert.ok(answers > 2);
  await caughtUp(toMs);
  const last = await judged(toMs);
  assert.deepEqual([last.complete, last.reasons, last.streams.reduce((sum, row) => sum + row.stored, 0)], [true, [], 5310]);
  for (const { recorder } of [known, unheard]) await recorder.close();
});

test('while storing fails as of stands still, and no time is complete of which events wait; afterwards it is', { skip, timeout: 120_000 }, async () => {
  let fails = false;
  log = await opened(failing(() => fails));
  const stream = made(1).write(310).mark();
  await ship(stream);
  await caughtUp(Date.now());
  fails = true;
  stream.write(310);
  const toMs = Date.now();
  await ship(stream.mark());
  const sentMs = Date.now();
  let failures = 0;
  await eventually('storing has failed for some time', async () => {
    await log.step().catch((error: TidegateError) => { failures += error.code === 'store_unavailable' ? 1 : 100; });
    return failures >= 5 ? true : null;
  }, 60_000, 0);
  assert.equal(failures, 5);
  const now = await judged(toMs);
  assert.deepEqual([log.asOfMs() <= sentMs, now.complete, now.streams[0]?.stored], [true, false, 310]);
  assert.match(now.reasons.join('\n'), /not stored to the end of this time yet/);
  const later = await completeness(store, await log.facts(sentMs + 120_000), { fromMs: sentMs, toMs: sentMs + DAY_MS, nowMs: sentMs + 120_000, parts: log.parts() });
  assert.deepEqual([later.complete, later.over], [false, false], 'nor is a time under way, a minute later');
  fails = false;
  await caughtUp(sentMs);
  const mended = await judged(toMs);
  assert.deepEqual([mended.complete, mended.reasons, mended.streams[0]?.stored], [true, [], 620]);
  await stream.recorder.close();
});

test('a partition that another collector has and does not store holds as of back, and is named; whoever gets it then goes on', { skip, timeout: 300_000 }, async (t) => {
  log = await opened();
  const other = await opened(failing(() => true), 'other');
  const streams = [made(1)];
  while (new Set(streams.map(({ dir }) => partitionOf(basename(dir), 2))).size < 2) streams.push(made(streams.length + 1));
  const ended = new AbortController();
  let failures = 0;
  const othersSteps = (async () => {
    while (!ended.signal.aborted) await other.step().catch(() => { failures++; });
  })();
  t.after(() => { ended.abort(); });
  await eventually('the other has a partition, and does not store what is in it', async () => {
    for (const stream of streams) await ship(stream.write(31).mark());
    await log.step();
    return failures > 0 ? true : null;
  }, 80_000, 0);
  const sentMs = Date.now();
  const own = await eventually('its own partition is stored', async () => {
    await log.step();
    return log.parts().find(({ asOfMs }) => (asOfMs ?? 0) > sentMs) ?? null;
  }, 80_000, 0);
  const others = log.parts().filter((part) => part !== own && part.log !== own.log);
  assert.equal(others.length, 1);
  assert.ok(log.asOfMs() <= sentMs, `as of is ${log.asOfMs() - sentMs} ms after what waits was sent`);
  const { complete, reasons } = await judged(sentMs + 1);
  assert.equal(complete, false);
  assert.ok(reasons.some((reason) => reason.includes(others[0]?.log ?? '-')) && !reasons.some((reason) => reason.includes(own.log)), reasons.join('\n'));
  ended.abort();
  await othersSteps;
  await other.stop();
  const rows = streams.reduce((sum, { sums }) => sum + sums.rows, 0);
  let least = Number.POSITIVE_INFINITY;
  await eventually('all is stored', async () => {
    await log.step();
    least = Math.min(least, log.asOfMs());
    const [row] = await store.query<{ n: number }>('SELECT count() AS n FROM tidegate.events');
    return row?.n === rows ? true : null;
  }, 80_000, 0);
  assert.ok(least <= sentMs, `as of was never less than ${least - sentMs} ms after what waited was sent`);
  await caughtUp(sentMs + 1);
  for (const { recorder } of streams) await recorder.close();
});
