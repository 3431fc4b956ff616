/** Kafka to the store, on a real broker, in one process. What kills and rebalances do to it stands in files of their own. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { TidegateError } from '../../../errors/tidegate-error.js';
import { partitionOf, type ChunkMessage } from '../../../gateway/events/chunk.js';
import { eventually } from '../../../test/harness/deadline.js';
import { TestKafka } from '../../../test/harness/kafka.js';
import { requires } from '../../../test/harness/requires.js';
import { openStore } from '../../store/open-store.js';
import type { QueryParams, Store } from '../../store/store.js';
import { storedRows } from '../../store/stores.fixture.js';
import { openEventLog } from '../open-event-log.js';
import { Quarantine } from '../quarantined.js';
import { RandomStream, silentLog } from '../random-events.fixture.js';
import { assertExact } from '../stored-sums.fixture.js';
import { OLD_MESSAGES, OLD_PLACE, OLD_ROWS, OLD_STAGING, OLD_STATEMENT, OLD_STREAM } from '../version-1.fixture.js';
import { Collect } from '../spool/collect.js';
import { readManifest } from '../spool/manifest.js';
import { isBegun, parsePlace, rangeToken } from './intent.js';
import { KafkaEventLog } from './kafka-event-log.js';
import { KafkaSession, type KafkaLogOptions } from './kafka-session.js';
import { asTheyLie, chunksOf, stateOf, TestTopic } from './topic.fixture.js';

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
  dataDir = mkdtempSync(join(tmpdir(), 'tidegate-kafka-log-'));
  store = await openStore({ dataDir, clickhouse: null, log: silentLog });
  topic = await TestTopic.make(kafka, 3);
  log = await opened();
});
afterEach(async () => {
  if (skip !== false) return;
  await log.stop();
  await topic.close();
  await store.close();
  rmSync(dataDir, { recursive: true, force: true });
});

const opened = (rows = 3000, to: Store = store, timings: Partial<KafkaLogOptions> = {}, dir = 'collector'): Promise<KafkaEventLog> =>
  KafkaEventLog.open({ collectorDir: join(dataDir, dir), store: to, log: silentLog, kafka: topic.options(timings), limits: { rows, bytes: 64 * 1024 * 1024 } });
const made = (worker: number): RandomStream => new RandomStream(join(dataDir, 'spool'), worker, Date.now() - 2_500_000);

/** Steps until so many rows of the log are stored, by whoever. */
async function stored(rows: number, by: KafkaEventLog = log): Promise<void> {
  await eventually(`${rows} rows stored`, async () => {
    await by.step();
    const [row] = await store.query<{ n: number }>('SELECT count() AS n FROM tidegate.events');
    return (row?.n ?? 0) >= rows ? true : null;
  }, 60_000, 0);
}

/** Steps until the group knows of a range that is not known to be stored. */
async function rangeBegun(): Promise<void> {
  await eventually('a range is begun', async () => {
    await log.step().catch(() => undefined);
    return [...(await topic.committed()).values()].some(({ metadata }) => isBegun(metadata ?? '')) || null;
  }, 60_000, 0);
}

/** A store of which a test has changed something. */
const changed = (changes: Partial<Store>): Store => ({
  command: (...args) => store.command(...args), query: (...args) => store.query(...args), insertRows: (...args) => store.insertRows(...args), insertBeside: (...args) => store.insertBeside(...args), close: async () => undefined, ...changes,
});
const quarantined = (): Promise<{ reason: string; file: string; n: number }[]> => store.query('SELECT reason, any(file) AS file, count() AS n FROM tidegate.quarantine FINAL GROUP BY reason ORDER BY reason');

test('what was shipped is stored, over many ranges, streams and partitions', { skip }, async () => {
  const streams = [1, 2, 3, 4].map((worker) => made(worker).write(5000).seal());
  for (const { dir } of streams) await topic.send([stateOf(dir, { seal: null }), ...chunksOf(dir), stateOf(dir)]);
  await stored(20_000);
  await assertExact(store, streams);
  assert.equal(log.totals.storedRows, 20_000);
  const noted = await store.query<{ node: string; instance: string; sealed: number }>('SELECT node, instance, sealed_at IS NOT NULL AS sealed FROM tidegate.streams FINAL');
  assert.deepEqual(noted, streams.map(() => ({ node: 'node-a', instance: 'instance-a', sealed: 1 })));
  await eventually('the offsets are committed', async () => ([...(await topic.committed()).values()].every(({ metadata }) => !isBegun(metadata ?? '')) ? true : null));
});

test('chunks that come again, in another order, or cut in another way are stored once', { skip }, async () => {
  const stream = made(1).write(4960).seal();
  const chunks = chunksOf(stream.dir, 20);
  // within a range, and over several
  const disorder = [...chunks.slice(4), ...chunks.slice(0, 6), ...chunks.slice(2, 5)];
  await topic.send([stateOf(stream.dir, { seal: null }), ...disorder, ...chunksOf(stream.dir, 7), ...disorder.toReversed()]);
  await stored(4960);
  await topic.send([...chunks, stateOf(stream.dir)]);
  await eventually('all is read', async () => {
    await log.step();
    return log.totals.repeatedRows >= 3 * 4960 ? true : null;
  }, 60_000, 0);
  await assertExact(store, [stream]);
  const [repeats] = await store.query<{ n: number }>('SELECT count() AS n FROM tidegate.repeats FINAL');
  assert.ok((repeats?.n ?? 0) > 0);
});

test('what cannot be read goes to quarantine, message by message, and the rest of the partition is stored', { skip }, async () => {
  const stream = made(1).write(3100).seal();
  const [first, second, third, fourth, ...rest] = chunksOf(stream.dir, 20);
  const lying = chunksOf(stream.dir, 20, asTheyLie)[1];
  assert.ok(first !== undefined && second !== undefined && third !== undefined && fourth !== undefined && lying !== undefined);
  const flipped = ({ value }: ChunkMessage): Buffer => {
    const bytes = Buffer.from(value);
    bytes[100] = (bytes[100] as number) ^ 4;
    return bytes;
  };
  const home = { partition: 0 };
  await topic.send([
    first, { ...lying, value: flipped(lying) }, { ...third, headers: { t: 'frames', v: '4' } }, { ...fourth, value: flipped(fourth) }, ...rest,
    { ...third, key: 'no stream' }, { ...lying, value: Buffer.from('no frames at all') }, { ...stateOf(stream.dir), value: Buffer.from('{"format":1}') }, { ...third, headers: {} as never },
  ].map((message) => ({ ...message, ...home })), 0);
  await stored(3100 - 31 - 2 * 620);
  await eventually('all is put aside', async () => {
    await log.step();
    return log.totals.quarantined === 7 ? true : null;
  }, 60_000, 0);
  assert.deepEqual((await quarantined()).map(({ reason, n }) => [reason, n]), [['checksum', 2], ['frame_header', 1], ['headers', 1], ['key', 1], ['newer', 1], ['state', 1]]);
  // what is missing is what was damaged, one frame and one chunk by columns, and the chunk of a version that nobody here can read
  await topic.send([second, third, fourth, stateOf(stream.dir)]);
  await stored(3100);
  await assertExact(store, [stream]);
});

test('what lay in quarantine comes back by a replay, and nothing that is stored comes twice', { skip }, async () => {
  const stream = made(1).write(700, 1).seal();
  const single = chunksOf(stream.dir, 1);
  // every other row is stored: so many runs are more than an intent can name
  await topic.send(single.filter((_, i) => i % 2 === 0));
  await stored(350);
  await topic.send(chunksOf(stream.dir, 700));
  await eventually('the chunk is put aside', async () => {
    await log.step();
    return log.totals.quarantined === 1 ? true : null;
  }, 60_000, 0);
  assert.deepEqual((await quarantined()).map(({ reason }) => reason), ['fragmented']);
  await topic.send(single.slice(0, 600).filter((_, i) => i % 2 === 1));
  await stored(650);
  const quarantine = new Quarantine(store, log);
  const [item] = await quarantine.list();
  assert.ok(item !== undefined && item.replayed_at === null);
  await quarantine.replay(item.id);
  await stored(700);
  await assertExact(store, [stream]);
  assert.notEqual((await quarantine.list())[0]?.replayed_at, null);
  await assert.rejects(quarantine.replay('00000000000000aa-0-1'), (error: TidegateError) => error.code === 'not_found');
});

test('a group that has lost its places is not taken up at either end: the partition stands still, and says so', { skip }, async () => {
  const stream = made(1).write(310);
  await topic.send([stateOf(stream.dir), ...chunksOf(stream.dir)]);
  await stored(310);
  await log.stop();
  await topic.forgetGroup();
  log = await opened();
  stream.write(310);
  await topic.send(chunksOf(stream.dir));
  const sentMs = Date.now();
  const standing = await eventually('it is said', async () => {
    await log.step();
    return log.standing();
  }, 60_000, 0);
  assert.equal(standing.code, 'log_place_lost');
  // the other partitions go on
  const others = Array.from({ length: 8 }, (_, i) => made(i + 2)).filter(({ dir }) => partitionOf(basename(dir), 3) !== partitionOf(basename(stream.dir), 3));
  for (const other of others) await topic.send(chunksOf(other.write(31).dir));
  await stored(310 + others.length * 31);
  assert.equal((await store.query('SELECT 1 FROM tidegate.events')).length, 310 + others.length * 31);
  // several fetches of the others
  for (let steps = 0; steps < 8; steps++) await log.step();
  assert.ok(log.asOfMs() <= sentMs, 'as of stands still with it');
});

test('a first range that only says something of streams, cut off before its place is committed, is no place lost', { skip }, async () => {
  const stream = made(1).write(310).mark();
  // rows that came by the spool, before this machine had Kafka
  const spool = await Collect.open({ spoolDir: join(dataDir, 'spool'), collectorDir: join(dataDir, 'collector'), store, log: silentLog });
  await spool.step();
  await log.stop();
  let cut = 0;
  log = await opened(3000, changed({
    command: async (statement, params) => {
      await store.command(statement, params);
      if (!statement.includes('INTO tidegate.streams')) return;
      cut++;
      throw new TidegateError('store_unknown', 'no answer');
    },
  }));
  await topic.send([stateOf(stream.dir)]);
  await eventually('the stream is noted', async () => {
    await log.step().catch(() => undefined);
    return cut > 0 ? true : null;
  }, 60_000, 0);
  await log.stop();
  log = await opened();
  await topic.send([...chunksOf(stream.write(310).seal().dir), stateOf(stream.dir)]);
  await stored(620);
  assert.equal(log.standing(), null);
  await assertExact(store, [stream]);
});

test('an insert of which nobody knows whether it was done is made again as it was', { skip }, async () => {
  const stream = made(1).write(6200).seal();
  await log.stop();
  const lines: string[] = [];
  log = await opened(3000, changed({
    insertRows: async (plan, ...rest) => {
      lines.push(plan.token);
      if (lines.length % 3 === 1) throw new TidegateError('store_unavailable', 'not reached');
      await store.insertRows(plan, ...rest);
      if (lines.length % 3 === 2) throw new TidegateError('store_unknown', 'no answer');
    },
  }));
  await topic.send([...chunksOf(stream.dir), stateOf(stream.dir)]);
  let failures = 0;
  await eventually('6200 rows stored', async () => {
    await log.step().catch((error: TidegateError) => { failures += /store_unknown|store_unavailable/.test(error.code) ? 1 : 100; });
    return log.totals.storedRows === 6200 ? true : null;
  }, 60_000, 0);
  assert.equal(failures, lines.length * 2 / 3);
  assert.equal(new Set(lines).size, lines.length / 3);
  await assertExact(store, [stream]);
});

test('what comes again after an insert that failed is stored once', { skip }, async () => {
  const stream = made(1).write(620);
  const chunks = chunksOf(stream.dir, 4);
  await log.stop();
  let failures = 0;
  log = await opened(3000, changed({
    insertRows: async (plan, ...rest) => {
      // the second insert, once
      if (log.totals.storedRows > 0 && failures++ === 0) throw new TidegateError('store_unavailable', 'not reached');
      await store.insertRows(plan, ...rest);
    },
  }));
  const storedThoughOneFails = (rows: number): Promise<true> => eventually(`${rows} rows stored`, async () => {
    await log.step().catch((error: TidegateError) => { assert.equal(error.code, 'store_unavailable'); });
    return log.totals.storedRows === rows ? true : null;
  }, 60_000, 0);
  await topic.send(chunks.slice(0, 3));
  await storedThoughOneFails(3 * 4 * 31);
  await topic.send(chunks.slice(3));
  await storedThoughOneFails(620);
  assert.ok(failures > 0);
  await topic.send([...chunks, ...chunksOf(stream.write(310).seal().dir, 4)]);
  await storedThoughOneFails(930);
  await assertExact(store, [stream]);
});

test('a range of rows of version 1 that an older program had begun, and stored without knowing it, is finished as it was begun', { skip }, async () => {
  await log.stop();
  const partition = partitionOf(OLD_STREAM, 3);
  await topic.send(OLD_MESSAGES.map(({ key, headers, value }) => ({ key, headers, value })));
  const place = JSON.stringify({ ...JSON.parse(OLD_PLACE) as object, to: 2, at: new Date().toISOString(), block: 0 });
  const intent = parsePlace(place, 0)?.intent ?? assert.fail('the intent is read');
  const file = join(dataDir, 'old.rows');
  writeFileSync(file, OLD_STAGING);
  const token = rangeToken(topic.settings.topic, partition, intent);
  await store.command(OLD_STATEMENT.replace('STAGING', file).replace(/insert_deduplication_token = '[^']*'/, `insert_deduplication_token = '${token}'`));
  await topic.leavePlace(partition, 0, place);
  assert.equal((await topic.committed()).get(partition)?.metadata, place);
  log = await opened();
  await eventually('it is behind the range', async () => {
    await log.step();
    const committed = (await topic.committed()).get(partition);
    return committed?.offset === '2' && !isBegun(committed.metadata ?? '') ? true : null;
  }, 60_000, 0);
  assert.deepEqual(await storedRows(store), { rows: OLD_ROWS, minutes: OLD_ROWS, quarters: OLD_ROWS, bytes: OLD_ROWS * 4321, edges: [[0, 1], [OLD_ROWS, -1]] });
});

test('a range that somebody else has begun is built again whole, in whatever pieces it is fetched', { skip }, async () => {
  const stream = made(1).write(3100).seal();
  const chunks = chunksOf(stream.dir, 10);
  for (let i = 0; i < chunks.length; i += 2) await topic.send(chunks.slice(i, i + 2));
  await log.stop();
  const tokens: string[] = [];
  const seen = (fails: boolean): Store => changed({
    insertRows: async (plan, ...rest) => {
      tokens.push(plan.token);
      // raw rows without their coverage: whoever builds another range of them counts them twice
      if (fails) await store.command('DETACH TABLE tidegate.coverage_view SYNC');
      await store.insertRows(plan, ...rest);
      if (fails) await store.command('ATTACH TABLE tidegate.coverage_view');
      if (fails) throw new TidegateError('store_unknown', 'no answer');
    },
  });
  log = await opened(3000, seen(true));
  await eventually('an insert was begun', async () => {
    await log.step().catch(() => undefined);
    return tokens.length > 0 ? true : null;
  }, 60_000, 0);
  await log.stop();
  log = await opened(200, seen(false), { fetchBytes: 1000 });
  await topic.send([stateOf(stream.dir)]);
  await eventually('all is stored', async () => {
    await log.step();
    const [noted] = await store.query<{ n: number }>('SELECT count() AS n FROM tidegate.streams FINAL WHERE sealed_at IS NOT NULL');
    return noted?.n === 1 ? true : null;
  }, 60_000, 0);
  assert.equal(tokens[1], tokens[0]);
  await assertExact(store, [stream]);
});

test('a partition dealt out with a range begun, while its new owner waits for an offer, is read on behind that range', { skip }, async (t) => {
  const stream = made(1).write(310);
  await log.stop();
  log = await opened(3000, changed({ insertRows: () => Promise.reject(new TidegateError('store_unknown', 'no answer')) }));
  await topic.send([stateOf(stream.dir, { seal: null }), ...chunksOf(stream.dir)]);
  await rangeBegun();
  await log.stop();
  log = await opened();
  const next = t.mock.method(KafkaSession.prototype, 'next', async function dealtOutMeanwhile(this: KafkaSession, withinMs: number) {
    next.mock.restore();
    const { generation } = this;
    await (await KafkaSession.open(topic.options(), silentLog)).close();
    await eventually('all partitions are its own again', () => (this.generation > generation && this.partitions.length === 3) || null);
    return eventually('an offer', () => this.next(withinMs));
  });
  await stored(310);
  await topic.send([...chunksOf(stream.write(310).dir), stateOf(stream.seal().dir)]);
  await stored(620);
  assert.equal(next.mock.callCount(), 1);
  assert.equal(log.standing(), null);
  await assertExact(store, [stream]);
});

test('messages that were gone before they were read are a gap, and the rest is read on', { skip }, async () => {
  const stream = made(1).write(310);
  await topic.send([stateOf(stream.dir, { seal: null }), ...chunksOf(stream.dir)]);
  await stored(310);
  await log.stop();
  const before = chunksOf(stream.dir, 1).length;
  await topic.send(chunksOf(stream.write(310).dir, 1).slice(before));
  await topic.forgetMessages();
  const gone = chunksOf(stream.dir, 1).length;
  // an owner that finds nothing changes nothing for the next
  log = await opened();
  for (let i = 0; i < 8; i++) await log.step();
  await log.stop();
  log = await opened();
  await topic.send([...chunksOf(stream.write(310).dir, 1).slice(gone), stateOf(stream.seal().dir)]);
  await stored(620);
  assert.equal(log.standing(), null);
  assert.deepEqual(await store.query('SELECT count() AS n FROM tidegate.events WHERE seq < 310 OR seq >= 620'), [{ n: 620 }]);
});

test('a range that was begun, and is gone from the log, may be stored in part: the partition stands still', { skip }, async () => {
  const stream = made(1).write(310);
  await log.stop();
  log = await opened(3000, changed({ insertRows: () => Promise.reject(new TidegateError('store_unknown', 'no answer')) }));
  await topic.send([stateOf(stream.dir, { seal: null }), ...chunksOf(stream.dir)]);
  await rangeBegun();
  await log.stop();
  await topic.forgetMessages();
  log = await opened();
  await topic.send([...chunksOf(stream.write(310).dir), stateOf(stream.seal().dir)]);
  for (const owner of ['the first', 'the next']) {
    const standing = await eventually(`it is said to ${owner}`, async () => {
      await log.step();
      return log.standing();
    }, 60_000, 0);
    assert.equal(standing.code, 'log_range_gone');
    await log.stop();
    log = await opened();
  }
  assert.deepEqual(await store.query('SELECT 1 FROM tidegate.events'), []);
});

test('a range that was begun too many inserts ago is not made again: the partition stands still', { skip }, async () => {
  const stream = made(1).write(310).seal();
  let later = 0;
  await log.stop();
  log = await opened(3000, changed({
    query: async <Row>(select: string, params?: QueryParams) => {
      const rows = await store.query<Row & { block?: number }>(select, params);
      return select.includes('max_block_number') ? rows.map((row) => ({ ...row, block: (row.block ?? 0) + later })) : rows;
    },
    insertRows: async () => {
      later = 5001;
      throw new TidegateError('store_unknown', 'no answer');
    },
  }));
  await topic.send(chunksOf(stream.dir));
  const standing = await eventually('it is said', async () => {
    await log.step().catch(() => undefined);
    return log.standing();
  }, 60_000, 0);
  assert.equal(standing.code, 'log_intent_old');
  assert.deepEqual(await store.query('SELECT 1 FROM tidegate.events'), []);
});

test('a machine that moves from the spool to Kafka with its store keeps what is stored, and ships it again at will', { skip }, async () => {
  const stream = made(1).write(6200).mark();
  const [collectorDir, spoolDir] = [join(dataDir, 'collector'), join(dataDir, 'spool')];
  const spool = await Collect.open({ spoolDir, collectorDir, store, log: silentLog, limits: { rows: 3000, bytes: 64 * 1024 * 1024 } });
  await spool.step();
  // its last range is there without a rollup, as a kill can leave it
  for (const table of ['traffic_minute', 'traffic_quarter_hour', 'coverage']) await store.command(`TRUNCATE TABLE tidegate.${table}`);
  await log.stop();
  log = await openEventLog({ dataDir, store, log: silentLog, kafka: topic.options(), limits: { rows: 3000, bytes: 64 * 1024 * 1024 } }) as KafkaEventLog;
  assert.equal(readManifest(join(collectorDir, 'manifest.json'))?.rows, 0);
  await topic.send([...chunksOf(stream.dir), stateOf(stream.seal().dir)]);
  await stored(6200);
  await assertExact(store, [stream]);
});

test('whoever gets a partition back knows what another has stored of it meanwhile', { skip }, async () => {
  // a stream in each partition
  const streams: RandomStream[] = [];
  for (let worker = 1; streams.length < 3; worker++) {
    const stream = made(worker);
    if (streams.every(({ dir }) => partitionOf(basename(dir), 3) !== partitionOf(basename(stream.dir), 3))) streams.push(stream.write(310));
    else await stream.recorder.close();
  }
  for (const { dir } of streams) await topic.send(chunksOf(dir));
  await stored(930);
  const other = await opened(3000, store, {}, 'other');
  const ended = new AbortController();
  const steps = async (by: KafkaEventLog): Promise<void> => { while (!ended.signal.aborted) await by.step(); };
  const running = [steps(log), steps(other)];
  // until the other has stored something of its own
  await eventually('the other has a partition', async () => {
    for (const stream of streams) await topic.send(chunksOf(stream.write(310).dir));
    return other.totals.storedRows > 0 ? true : null;
  }, 60_000, 300);
  ended.abort();
  await Promise.all(running);
  await other.stop();
  for (const { dir } of streams) await topic.send(chunksOf(dir));
  const rows = (): number => streams.reduce((sum, { sums }) => sum + sums.rows, 0);
  await stored(rows());
  for (const stream of streams) await topic.send([...chunksOf(stream.write(310).dir), stateOf(stream.seal().dir)]);
  await stored(rows());
  await assertExact(store, streams);
});

test('an owner that stood still between its intent and its insert changes nothing when it goes on', { skip }, async () => {
  const streams = [1, 2, 3].map((worker) => made(worker).write(3100).seal());
  await log.stop();
  let stand: () => void = () => undefined;
  const stands = new Promise<void>((resolve) => { stand = resolve; });
  let goOn: () => void = () => undefined;
  const goesOn = new Promise<void>((resolve) => { goOn = resolve; });
  let late: unknown = null;
  const withinMs: number[] = [];
  const timings = { sessionTimeoutMs: 6000, rebalanceTimeoutMs: 6000 };
  // it beats its heart, so that it has to be waited for, and then loses its partitions all the same
  const zombie = await opened(3000, changed({
    insertRows: async (plan, file, notAfterMs) => {
      withinMs.push((notAfterMs ?? Number.POSITIVE_INFINITY) - Date.now());
      stand();
      await goesOn;
      await store.insertRows(plan, file, notAfterMs);
      await store.insertRows(plan, file, Date.now() - 5000).catch((error: unknown) => { late = error; });
    },
  }), timings, 'zombie');
  for (const { dir } of streams) await topic.send([stateOf(dir, { seal: null }), ...chunksOf(dir), stateOf(dir)]);
  let done = false;
  const standing = (async () => { while (!done) await zombie.step().catch(() => undefined); })();
  await stands;
  log = await opened(3000, store, timings);
  await stored(9300);
  await assertExact(store, streams);
  goOn();
  await eventually('it has gone on', () => late);
  assert.equal((late as TidegateError).code, 'store_insert_late');
  assert.ok(withinMs.every((ms) => ms > 0 && ms <= 121_000), `each insert has its deadline: ${withinMs.join()}`);
  done = true;
  await standing;
  await zombie.stop();
  await assertExact(store, streams);
});
