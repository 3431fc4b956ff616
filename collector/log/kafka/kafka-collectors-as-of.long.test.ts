/**
 * Two collectors share the log of one store, and one of them stands still without the group's knowledge. Without what each says of its partitions in the store, the other's
 * as-of went on and its days were complete, although nobody stored a half of the log.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { test } from 'node:test';
import { partitionOf } from '../../../gateway/events/chunk.js';
import { TestClickHouse } from '../../../test/harness/clickhouse-server.js';
import { eventually } from '../../../test/harness/deadline.js';
import { TestKafka } from '../../../test/harness/kafka.js';
import { requires } from '../../../test/harness/requires.js';
import { completeness, type Completeness } from '../../completeness/completeness.js';
import { openStore } from '../../store/open-store.js';
import { connection } from '../../store/stores.fixture.js';
import { RandomStream, silentLog } from '../random-events.fixture.js';
import { assertExact } from '../stored-sums.fixture.js';
import { KafkaEventLog } from './kafka-event-log.js';
import { startCollector } from './start-collector.fixture.js';
import { chunksOf, stateOf, TestTopic } from './topic.fixture.js';

const DAY_MS = 86_400_000;
/** Longer than the test: the group does not notice. */
const SESSION_MS = 600_000;

test('as of and completeness of a collector stand while another stands still, say which partition it is, and go on with it', { timeout: 480_000, skip: requires('chdb', 'kafka') }, async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'tidegate-collectors-'));
  t.after(() => { rmSync(dataDir, { recursive: true, force: true }); });
  const kafka = await TestKafka.start();
  t.after(() => kafka.stop());
  const server = await TestClickHouse.start();
  t.after(() => server[Symbol.asyncDispose]());
  const topic = await TestTopic.make(kafka, 2);
  t.after(() => topic.close());
  const store = await openStore({ dataDir, clickhouse: connection(server.url), log: silentLog });
  t.after(() => store.close());
  const streams: RandomStream[] = [];
  for (let worker = 1; new Set(streams.map(({ dir }) => partitionOf(basename(dir), 2))).size < 2; worker++) streams.push(new RandomStream(join(dataDir, 'spool'), worker, Date.now() - 2_500_000));
  t.after(() => Promise.all(streams.map(({ recorder }) => recorder.close())));
  const more = async (): Promise<void> => {
    for (const stream of streams) {
      const before = chunksOf(stream.dir).length;
      await topic.send([...chunksOf(stream.write(310).mark().dir).slice(Math.max(0, before - 1)), stateOf(stream.dir)]);
    }
  };
  const count = async (): Promise<number> => (await store.query<{ n: number }>('SELECT count() AS n FROM tidegate.events'))[0]?.n ?? 0;

  const log = await KafkaEventLog.open({ collectorDir: join(dataDir, 'collector'), store, log: silentLog, kafka: topic.options({ sessionTimeoutMs: SESSION_MS }) });
  const ended = new AbortController();
  const steps = (async () => { while (!ended.signal.aborted) await log.step().catch(() => pause(50)); })();
  const judged = async (toMs: number): Promise<Completeness> => {
    const parts = log.parts();
    const nowMs = Date.now();
    return completeness(store, await log.facts(nowMs), { fromMs: toMs - DAY_MS, toMs, nowMs, parts });
  };
  const other = startCollector({
    dataDir: join(dataDir, 'other'), brokers: kafka.brokers, topic: topic.settings.topic, partitions: 2, rows: 2000, total: null, clickhouse: server.url, sessionTimeoutMs: SESSION_MS,
  });
  try {
    await eventually('both store', async () => {
      await more();
      return await count() > log.totals.storedRows ? true : null;
    }, 120_000, 200);
    const togetherMs = Date.now();
    await eventually('as of is that of both', () => log.asOfMs() > togetherMs || null, 120_000);

    other.kill('SIGSTOP');
    const stoppedMs = Date.now();
    const before = log.totals.storedRows;
    // marks that are made after the time make it complete
    const toMs = Date.now();
    await more();
    const own = await eventually('this one goes on with its own', () => (log.totals.storedRows > before ? log.parts().find(({ asOfMs }) => (asOfMs ?? 0) > toMs) : null) ?? null, 120_000);
    assert.ok(log.asOfMs() <= stoppedMs, `as of is ${log.asOfMs() - stoppedMs} ms after the other was stopped`);
    const stands = await judged(toMs);
    const others = `${topic.settings.topic}/${own.log.endsWith('/0') ? 1 : 0} is stored up to`;
    assert.deepEqual([stands.complete, stands.over, stands.reasons.some((reason) => reason.startsWith(others))], [false, true, true], stands.reasons.join('\n'));

    other.kill('SIGCONT');
    await eventually('as of goes on', () => log.asOfMs() > toMs || null, 120_000);
    const whole = await eventually('the time is complete', async () => {
      const answer = await judged(toMs);
      return answer.complete ? answer : null;
    }, 120_000);
    assert.deepEqual(whole.reasons, []);
    await assertExact(store, streams);
  } finally {
    // before the servers go
    other.kill('SIGKILL');
    ended.abort();
    await steps;
    await log.stop();
  }
});

test('a collector that has joined and never reads leaves its partition unspoken of: as of says no more than the log keeps', { timeout: 480_000, skip: requires('chdb', 'kafka') }, async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'tidegate-collectors-'));
  t.after(() => { rmSync(dataDir, { recursive: true, force: true }); });
  const kafka = await TestKafka.start();
  t.after(() => kafka.stop());
  const topic = await TestTopic.make(kafka, 2);
  t.after(() => topic.close());
  const store = await openStore({ dataDir, clickhouse: null, log: silentLog });
  t.after(() => store.close());
  const open = (name: string): Promise<KafkaEventLog> => KafkaEventLog.open({ collectorDir: join(dataDir, name), store, log: silentLog, kafka: topic.options() });
  // it beats its heart, and nobody works on what it is offered
  const idle = topic.client.consumer({ groupId: topic.settings.group });
  let has: readonly number[] = [];
  idle.on('consumer.group_join', ({ payload }) => { has = payload.memberAssignment[topic.settings.topic] ?? []; });
  let log: KafkaEventLog | null = null;
  try {
    await idle.connect();
    await idle.subscribe({ topics: [topic.settings.topic] });
    await idle.run({ autoCommit: false, eachBatch: () => new Promise(() => undefined) });
    // else the other would have both for a moment, and speak of both
    await eventually('it has joined', () => has.length === 2 || null, 120_000);
    log = await open('collector');
    const reads = log;
    const own = await eventually('this one has come to the end of its own partition', async () => {
      await reads.step();
      return has.length === 1 ? reads.parts().find(({ asOfMs }) => asOfMs !== null) ?? null : null;
    }, 120_000, 0);
    assert.deepEqual(reads.parts().filter(({ log: name }) => name !== own.log), [{ log: `${topic.settings.topic}/${has[0] ?? -1}`, asOfMs: null }]);
    assert.ok(reads.asOfMs() <= Date.now() - topic.settings.retentionMs);
    const nowMs = Date.now();
    const { complete, reasons } = await completeness(store, await reads.facts(nowMs), { fromMs: nowMs - DAY_MS, toMs: nowMs + DAY_MS, nowMs, parts: reads.parts() });
    assert.deepEqual([complete, reasons], [false, [`no collector has said yet how far ${topic.settings.topic}/${has[0] ?? -1} is stored: streams in it may not be known`]]);
  } finally {
    // before the server goes
    await log?.stop();
    await idle.disconnect();
  }
});
