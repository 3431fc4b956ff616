/**
 * Collectors that come, go, stand still and die while events flow. Whoever loses a partition has perhaps inserted its range and perhaps not: the next owner inserts
 * that range again, and each event is stored once. kafkajs itself hands a batch to two owners around a rebalance (kafkajs#1764), which is harmless here.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { test } from 'node:test';
import { TestClickHouse } from '../../../test/harness/clickhouse-server.js';
import { eventually } from '../../../test/harness/deadline.js';
import { TestKafka } from '../../../test/harness/kafka.js';
import { requires } from '../../../test/harness/requires.js';
import { openStore } from '../../store/open-store.js';
import type { Store } from '../../store/store.js';
import { RandomStream, silentLog } from '../random-events.fixture.js';
import { assertExact } from '../stored-sums.fixture.js';
import { KafkaEventLog } from './kafka-event-log.js';
import { startCollector } from './start-collector.fixture.js';
import { chunksOf, stateOf, TestTopic } from './topic.fixture.js';

const skip = requires('chdb', 'kafka');
const PARTITIONS = 4;
const LEAST_SESSION = { 'group.min.session.timeout.ms': '1000' };

/** Four workers' streams, shipped as they grow, some chunks twice. */
class Load {
  readonly streams: readonly RandomStream[];
  readonly #topic: TestTopic;
  readonly #sent = new Map<RandomStream, number>();

  constructor(dataDir: string, topic: TestTopic) {
    this.streams = [1, 2, 3, 4].map((worker) => new RandomStream(join(dataDir, 'spool'), worker, Date.now() - 2_500_000));
    this.#topic = topic;
  }

  get rows(): number {
    return this.streams.reduce((sum, { sums }) => sum + sums.rows, 0);
  }

  async more(): Promise<void> {
    for (const stream of this.streams) {
      stream.write(620).mark();
      const chunks = chunksOf(stream.dir, 5);
      const sent = this.#sent.get(stream) ?? 0;
      await this.#topic.send([...chunks.slice(Math.max(0, sent - 1)), stateOf(stream.dir)]);
      this.#sent.set(stream, chunks.length);
    }
  }

  async end(): Promise<void> {
    for (const stream of this.streams) {
      await stream.recorder.close();
      await this.#topic.send([stateOf(stream.seal().dir)]);
    }
  }
}

async function count(store: Store): Promise<number> {
  const [row] = await store.query<{ n: number }>('SELECT count() AS n FROM tidegate.events');
  return row?.n ?? 0;
}

test('collectors that join and leave every second make progress, and store each event once', { timeout: 480_000, skip }, async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'tidegate-rebalance-'));
  t.after(() => { rmSync(dataDir, { recursive: true, force: true }); });
  const kafka = await TestKafka.start({ properties: LEAST_SESSION });
  t.after(() => kafka.stop());
  const topic = await TestTopic.make(kafka, PARTITIONS);
  t.after(() => topic.close());
  const store = await openStore({ dataDir, clickhouse: null, log: silentLog });
  t.after(() => store.close());
  const load = new Load(dataDir, topic);
  const open = (name: string): Promise<KafkaEventLog> =>
    KafkaEventLog.open({ collectorDir: join(dataDir, name), store, log: silentLog, kafka: topic.options({ sessionTimeoutMs: 3000 }), limits: { rows: 500, bytes: 64 * 1024 * 1024 } });
  const ended = new AbortController();
  let moved = 0;
  /** Steps without a pause, and is another member after each `everyMs`. */
  const collector = async (name: string, everyMs: number): Promise<void> => {
    while (!ended.signal.aborted) {
      const log = await open(name);
      const until = performance.now() + everyMs;
      while (performance.now() < until && !ended.signal.aborted) await log.step().catch(() => pause(50));
      await log.stop();
      moved++;
    }
  };
  const running = [collector('stays', 5000), collector('goes', 1300)];
  const before: number[] = [];
  for (let i = 0; i < 12; i++) {
    await load.more();
    before.push(await count(store));
    await pause(700);
  }
  await load.end();
  await eventually(`${load.rows} rows stored`, async () => (await count(store) >= load.rows ? true : null), 200_000, 200);
  ended.abort();
  await Promise.all(running);
  await assertExact(store, load.streams);
  assert.ok(moved >= 5, `${moved} memberships ended`);
  assert.ok((before.at(-1) ?? 0) > 0, 'events were stored while members came and went');
});

test('of two collectors one stands still for longer than its session, and the other is killed: each event is stored once', { timeout: 480_000, skip }, async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'tidegate-standstill-'));
  t.after(() => { rmSync(dataDir, { recursive: true, force: true }); });
  const kafka = await TestKafka.start({ properties: LEAST_SESSION });
  t.after(() => kafka.stop());
  const server = await TestClickHouse.start();
  t.after(() => server[Symbol.asyncDispose]());
  const topic = await TestTopic.make(kafka, PARTITIONS);
  t.after(() => topic.close());
  const clickhouse = { urls: [server.url], user: 'default', password: '', ca: null, cluster: null, insertQuorum: 0, timeoutMs: 10_000, compression: true };
  const store = await openStore({ dataDir, clickhouse, log: silentLog });
  t.after(() => store.close());
  const load = new Load(dataDir, topic);
  const start = (name: string) => startCollector({
    dataDir: join(dataDir, name), brokers: kafka.brokers, topic: topic.settings.topic, partitions: PARTITIONS, rows: 2000, total: null, clickhouse: server.url,
  });
  const more = async (times: number): Promise<void> => {
    for (let i = 0; i < times; i++) {
      await load.more();
      await pause(300);
    }
  };
  const [first, second] = [start('a'), start('b')];
  t.after(() => { for (const child of [first, second]) child.kill('SIGKILL'); });
  await more(6);
  await eventually('events are stored', async () => (await count(store) > 0 ? true : null), 60_000, 100);
  first.kill('SIGSTOP');
  await more(20);
  first.kill('SIGCONT');
  await more(6);
  second.kill('SIGKILL');
  await once(second, 'exit');
  await more(3);
  const third = start('b');
  t.after(() => { third.kill('SIGKILL'); });
  await more(6);
  await load.end();
  await eventually(`${load.rows} rows stored`, async () => (await count(store) >= load.rows ? true : null), 200_000, 200);
  for (const child of [first, third]) {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  await assertExact(store, load.streams);
});
