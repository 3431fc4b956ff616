/**
 * Parts of `events` are lost, and Kafka still has their events: they are put back once, whoever is killed on the way, and the day is complete and billed. Without the look at what is held, a
 * second run doubles them; inserted into `events` itself they would be in the rollups and in the record of days twice.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { TidegateError } from '../../errors/tidegate-error.js';
import { TestClickHouse } from '../../test/harness/clickhouse-server.js';
import { eventually } from '../../test/harness/deadline.js';
import { TestKafka } from '../../test/harness/kafka.js';
import { requires } from '../../test/harness/requires.js';
import { ALL, app } from '../billing/billing-store.fixture.js';
import { Collector } from '../collector.js';
import { chunksOf, stateOf, TestTopic } from '../log/kafka/topic.fixture.js';
import { RandomStream, silentLog } from '../log/random-events.fixture.js';
import { assertExact, storedSums } from '../log/stored-sums.fixture.js';
import { damagePart, partsOf } from '../store/damaged-part.fixture.js';
import { openStore } from '../store/open-store.js';
import { connection } from '../store/stores.fixture.js';
import type { Store } from '../store/store.js';
import type { RecoverKillPlace, RecoverToKill } from './recover-to-kill.fixture.js';
import type { RecoverLine } from './recover.js';

const DAY_MS = 86_400_000;
const RETENTION = { eventsMs: 30 * DAY_MS, minutesMs: 90 * DAY_MS, quarterHoursMs: 1100 * DAY_MS, maxBytes: 50 * 1024 ** 3 };
const CHILD = fileURLToPath(new URL(`./recover-to-kill.fixture${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url));
const skip = requires('chdb', 'kafka');

type End = Extract<RecoverLine, { type: 'end' }>;
const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
const idOf = (ms: number): string => dayOf(ms).replaceAll('-', '');
const midnightMs = Math.floor(Date.now() / DAY_MS) * DAY_MS;

interface Made { readonly dataDir: string; readonly kafka: TestKafka; readonly topic: TestTopic }

async function made(t: TestContext, properties: Readonly<Record<string, string>> = {}): Promise<Made> {
  const dataDir = mkdtempSync(join(tmpdir(), 'tidegate-recover-'));
  t.after(() => { rmSync(dataDir, { recursive: true, force: true }); });
  const kafka = await TestKafka.start({ properties });
  t.after(() => kafka.stop());
  const topic = await TestTopic.make(kafka, 2);
  t.after(() => topic.close());
  return { dataDir, kafka, topic };
}

async function recovered(collector: Collector, putBack: boolean): Promise<RecoverLine[]> {
  const lines: RecoverLine[] = [];
  await collector.recover({ putBack, signal: new AbortController().signal, tell: (line) => { if (line.type !== 'progress') lines.push(line); } });
  return lines;
}

const heldRows = async (store: Store): Promise<{ rows: number; ids: number }> => {
  const [row] = await store.query<{ rows: number; ids: number }>('SELECT count() AS rows, uniqExact(e.stream, e.seq) AS ids FROM tidegate.events AS e');
  return { rows: Number(row?.rows), ids: Number(row?.ids) };
};

test('parts of events that were lost are put back from Kafka while events come, whatever the server is killed in; the day is complete again, and billed', { skip, timeout: 400_000 }, async (t) => {
  const { dataDir, topic } = await made(t);
  const server = await TestClickHouse.start();
  t.after(() => server[Symbol.asyncDispose]());
  const start = (): Promise<Collector> => Collector.start({ dataDir, retention: RETENTION, log: silentLog, clickhouse: connection(server.url, { timeoutMs: 10_000 }), kafka: topic.options() });
  // of the day before yesterday and of yesterday
  const streams = [1, 2].map((worker) => new RandomStream(join(dataDir, 'spool'), worker, midnightMs - DAY_MS - 1_200_000));
  const today = new RandomStream(join(dataDir, 'spool'), 3, Date.now() - 2_500_000);
  t.after(async () => { for (const { recorder } of [...streams, today]) await recorder.close(); });
  const sent = new Map<RandomStream, number>();
  const send = async (stream: RandomStream): Promise<void> => {
    const chunks = chunksOf(stream.dir, 8);
    await topic.send([...chunks.slice(sent.get(stream) ?? 0), stateOf(stream.dir)]);
    sent.set(stream, chunks.length);
  };
  const stored = (): number => [...streams, today].reduce((sum, { sums }) => sum + sums.rows, 0);

  let collector = await start();
  await collector.store.command('ALTER TABLE tidegate.events MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1, max_bytes_to_merge_at_min_space_in_pool = 1');
  for (let round = 0; round < 3; round++) {
    for (const stream of streams) await send(stream.write(2480).mark());
    await eventually('all is stored', () => collector.status().stored === stored() || null, 60_000);
  }
  for (const stream of streams) {
    stream.seal();
    await send(stream);
  }
  const yesterday = (): ReturnType<Collector['completeness']> => collector.completeness(midnightMs - DAY_MS, midnightMs);
  await eventually('yesterday is complete', async () => (await yesterday()).complete || null, 60_000);
  await assertExact(collector.store, [...streams]);
  const [billed] = await collector.store.query<{ n: number }>(`SELECT sum(e.requests) AS n FROM tidegate.events AS e WHERE app = 'app-1' AND e._partition_id = '${idOf(midnightMs - DAY_MS)}'`);
  const parts = await collector.store.query<{ name: string; rows: number }>("SELECT name, rows FROM system.parts WHERE database = 'tidegate' AND table = 'events' AND active ORDER BY name");
  await collector.stop();

  await server.kill();
  const lost = parts.filter((_, number) => number % 2 === 0);
  for (const [number, { name }] of lost.entries()) damagePart(join(server.folder, 'store'), 'events', name, number % 2 === 0 ? 'count.txt emptied' : 'part removed');
  await server.restart();
  assert.ok(!partsOf(join(server.folder, 'store'), 'events').has(lost[1]?.name ?? ''));
  const missing = lost.reduce((sum, { rows }) => sum + rows, 0);
  collector = await start();
  t.after(() => collector.stop());
  const { billing } = collector;
  billing.configure({ apps: [app('app-1')], graceMs: 0, keepEventsMs: RETENTION.eventsMs, sinceMs: midnightMs - DAY_MS + 1 });
  assert.equal((await yesterday()).complete, false);
  await eventually('it was judged', async () => { await billing.step(); return billing.status().incomplete === 1 || null; }, 60_000);
  const [held, rolled] = [await heldRows(collector.store), await storedSums(collector.store)];
  assert.equal(held.rows, stored() - missing);

  // what would be put back, and nothing is
  const would = await recovered(collector, false);
  assert.deepEqual(would.at(-1), { type: 'end', days: 2, missing, in_log: missing, put_back: 0, not_whole: 2 });
  assert.deepEqual(await heldRows(collector.store), held);

  let storing = true;
  const coming = (async () => {
    while (storing) {
      const before = collector.status().stored;
      await send(today.write(248).mark());
      await eventually('it is stored', () => collector.status().stored > before || !storing || null, 60_000);
    }
  })();
  for (const fault of [{ at: 'before', statement: '^INSERT INTO tidegate.events_mended' }, { at: 'during', ms: 3, statement: '^INSERT INTO tidegate.events_mended' }, { at: 'after', statement: '^INSERT INTO tidegate.events_mended' },
    { at: 'before', statement: 'MOVE PARTITION' }, { at: 'during', ms: 1, statement: 'MOVE PARTITION' }] as const) {
    await server.faults({ kind: 'kill', times: 1, ...fault });
    await assert.rejects(recovered(collector, true), (error: TidegateError) => error.code.startsWith('store_') || error.code === 'rebuild_not_alone', JSON.stringify(fault));
    await server.restart();
    await eventually('storing works again', () => collector.status().failing === null || null, 60_000);
  }
  await recovered(collector, true);
  storing = false;
  await coming;
  // by the collector's own count: raw rows of an insert can be seen before its rollups
  await eventually('all is stored', () => collector.status().stored === today.sums.rows || null, 60_000);
  assert.deepEqual(await heldRows(collector.store), { rows: stored(), ids: stored() });
  await assertExact(collector.store, [...streams, today]);
  assert.deepEqual((await recovered(collector, true)).map((line) => ({ ...line, days: 0 })), [{ type: 'end', days: 0, missing: 0, in_log: 0, put_back: 0, not_whole: 0 }]);
  const after = await storedSums(collector.store);
  assert.equal(after.minutes.requests - today.sums.requests, rolled.minutes.requests, 'the rollups took in nothing a second time');

  const whole = await yesterday();
  assert.deepEqual([whole.complete, whole.reasons], [true, []]);
  const entries = await eventually('yesterday is closed', async () => {
    await billing.step();
    const all: unknown[] = [];
    for await (const page of billing.closed(ALL)) all.push(...page.map(({ day, complete, received }) => [day, complete, received]));
    return all.length > 0 ? all : null;
  }, 60_000);
  assert.deepEqual(entries, [[dayOf(midnightMs - DAY_MS), true, Number(billed?.n)]]);
});

test('what Kafka has let go of is told, and its day stays incomplete', { skip, timeout: 240_000 }, async (t) => {
  const { dataDir, kafka, topic } = await made(t);
  await using server = await TestClickHouse.start();
  const stream = new RandomStream(join(dataDir, 'spool'), 1, midnightMs - DAY_MS + 36_000_000).write(3000).seal();
  t.after(() => stream.recorder.close());
  const chunks = chunksOf(stream.dir, 10);
  await topic.send([...chunks, stateOf(stream.dir)]);
  const collector = await Collector.start({ dataDir, retention: RETENTION, log: silentLog, clickhouse: connection(server.url), kafka: topic.options() });
  await eventually('all is stored', () => collector.status().stored === 3000 || null, 60_000);
  await collector.store.command(`ALTER TABLE tidegate.events DROP PARTITION ID '${idOf(midnightMs - DAY_MS)}'`);

  // as after a segment's retention
  const partition = [...(await topic.committed())].findIndex(([, { offset }]) => Number(offset) > 0);
  await kafka.withAdmin(async (admin) => {
    await admin.fetchTopicOffsets(topic.settings.topic);
    await admin.deleteTopicRecords({ topic: topic.settings.topic, partitions: [{ partition, offset: '4' }] });
  });
  const gone = 4 * 310;
  const day = dayOf(midnightMs - DAY_MS);
  // Ctrl-C while the log is read: nothing is left under way, and the same command goes on
  const left = new AbortController();
  const tell = (line: RecoverLine): void => { if (line.type === 'progress' && line.what.endsWith('rows found') && line.done > 0) left.abort(new Error('left')); };
  await assert.rejects(collector.recover({ putBack: true, signal: left.signal, tell }), { message: 'left' });
  const [rows, notWhole, end] = await recovered(collector, true);
  assert.deepEqual(rows, { type: 'rows', day, stream: basename(stream.dir), missing: 3000, in_log: 3000 - gone, put_back: 3000 - gone });
  assert.ok(notWhole?.type === 'not_whole' && notWhole.reasons.some((reason) => reason.startsWith(`${gone} rows of stream`)), JSON.stringify(notWhole));
  assert.deepEqual(end, { type: 'end', days: 1, missing: 3000, in_log: 3000 - gone, put_back: 3000 - gone, not_whole: 1 });
  assert.deepEqual(await heldRows(collector.store), { rows: 3000 - gone, ids: 3000 - gone });
  assert.equal((await storedSums(collector.store)).minutes.requests, stream.sums.requests);
  assert.equal((await collector.completeness(midnightMs - DAY_MS, midnightMs)).complete, false);
  assert.deepEqual((await recovered(collector, true)).at(-1), { type: 'end', days: 1, missing: gone, in_log: 0, put_back: 0, not_whole: 1 });

  await collector.stop();
});

test('killed at any point of putting rows back, and run again, the collector has each row once', { skip, timeout: 400_000 }, async (t) => {
  // a dead member's partitions are free after its session's time
  const { dataDir, kafka, topic } = await made(t, { 'group.min.session.timeout.ms': '1000' });
  const streams = [1, 2].map((worker) => new RandomStream(join(dataDir, 'spool'), worker, midnightMs - DAY_MS - 1_200_000).write(3000).seal());
  t.after(async () => { for (const { recorder } of streams) await recorder.close(); });
  for (const { dir } of streams) await topic.send([...chunksOf(dir), stateOf(dir)]);
  const first = await Collector.start({ dataDir, retention: RETENTION, log: silentLog, kafka: topic.options() });
  await eventually('all is stored', () => first.status().stored === 6000 || null, 60_000);
  await first.stop();
  const withStore = async (use: (store: Store) => Promise<void>): Promise<void> => {
    const store = await openStore({ dataDir, clickhouse: null, log: silentLog });
    await use(store);
    await store.close();
  };
  const run = async (place: RecoverKillPlace | null): Promise<{ readonly ended: NodeJS.Signals | number | null; readonly end: End | null }> => {
    const options: RecoverToKill = { dataDir, brokers: kafka.brokers, topic: topic.settings.topic, partitions: 2, place };
    const child = spawn(process.execPath, [...process.execArgv.filter((option) => !option.startsWith('--test')), CHILD, JSON.stringify(options)], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const timer = setTimeout(() => child.kill('SIGKILL'), 120_000);
    let end: End | null = null;
    child.on('message', (line) => { end = line as End; });
    const [code, signal] = await once(child, 'exit') as [number | null, NodeJS.Signals | null];
    clearTimeout(timer);
    return { ended: signal ?? code, end };
  };
  for (const place of ['staged', 'beside', 'mid-move', 'half-moved', 'moved'] as const) {
    await withStore(async (store) => {
      const { rows, ids } = await heldRows(store);
      assert.equal(rows, ids, `before ${place}`);
      for (const ms of [midnightMs - 2 * DAY_MS, midnightMs - DAY_MS]) await store.command(`ALTER TABLE tidegate.events DROP PARTITION ID '${idOf(ms)}'`);
    });
    assert.deepEqual(await run(place), { ended: 'SIGKILL', end: null }, `${place} was passed`);
  }
  const { ended, end } = await run(null);
  assert.deepEqual([ended, end?.not_whole, end?.missing === end?.put_back], [0, 0, true], JSON.stringify(end));
  await withStore((store) => assertExact(store, streams));
});
