/** A log that does not go on where the group stands: it ends before, or a batch comes from further on. Nothing is passed over in silence. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, test, type TestContext } from 'node:test';
import { TidegateError } from '../../../errors/tidegate-error.js';
import { eventually } from '../../../test/harness/deadline.js';
import { TestClickHouse } from '../../../test/harness/clickhouse-server.js';
import { TestKafka } from '../../../test/harness/kafka.js';
import { requires } from '../../../test/harness/requires.js';
import { openStore } from '../../store/open-store.js';
import type { Store } from '../../store/store.js';
import { RandomStream, silentLog } from '../random-events.fixture.js';
import { assertExact } from '../stored-sums.fixture.js';
import { isBegun } from './intent.js';
import { KafkaEventLog } from './kafka-event-log.js';
import { KafkaSession } from './kafka-session.js';
import { chunksOf, stateOf, TestTopic } from './topic.fixture.js';

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
  dataDir = mkdtempSync(join(tmpdir(), 'tidegate-kafka-back-'));
  store = await openStore({ dataDir, clickhouse: null, log: silentLog });
  topic = await TestTopic.make(kafka, 1);
  log = await opened();
});
afterEach(async () => {
  if (skip !== false) return;
  await log.stop();
  await topic.close();
  await store.close();
  rmSync(dataDir, { recursive: true, force: true });
});

const opened = (to: Store = store): Promise<KafkaEventLog> =>
  KafkaEventLog.open({ collectorDir: join(dataDir, 'collector'), store: to, log: silentLog, kafka: topic.options(), limits: { rows: 3000, bytes: 64 * 1024 * 1024 } });
const made = (): RandomStream => new RandomStream(join(dataDir, 'spool'), 1, Date.now() - 2_500_000);

async function stored(rows: number): Promise<void> {
  await eventually(`${rows} rows stored`, async () => {
    await log.step();
    return (await store.query('SELECT 1 FROM tidegate.events')).length >= rows || null;
  }, 60_000, 0);
}

/** All of a stream is stored; then it is as if eight messages had been read, of which the log has lost most. */
async function lostMost(): Promise<RandomStream> {
  const stream = made().write(310);
  await topic.send(chunksOf(stream.dir));
  await stored(310);
  await log.stop();
  await topic.moveGroup(0, 8);
  log = await opened();
  return stream;
}

test('a log that ends before the group\'s place is said, not passed over up to there; from its beginning, all of it is stored once', { skip, timeout: 300_000 }, async () => {
  const stream = await lostMost();
  await topic.send([...chunksOf(stream.write(310).seal().dir), stateOf(stream.dir)]);
  const standing = await eventually('it is said', async () => {
    await log.step();
    return log.standing();
  }, 60_000, 0);
  assert.equal(standing.code, 'log_went_back');
  // what comes now reaches beyond that place
  for (let more = 0; more < 10; more++) await topic.send([stateOf(stream.dir)]);
  for (let steps = 0; steps < 8; steps++) await log.step();
  assert.equal(log.standing()?.code, 'log_went_back');
  await log.stop();
  await topic.seekEarliest();
  log = await opened();
  await stored(620);
  await assertExact(store, [stream]);
  assert.equal(log.standing(), null);
});

test('a log that lost messages and has grown beyond the group\'s place within seconds is said all the same', { skip, timeout: 100_000 }, async (t) => {
  const stream = await lostMost();
  const untilMs = performance.now() + 7500;
  while (performance.now() < untilMs) await log.step();
  await topic.send([...chunksOf(stream.write(310).seal().dir), stateOf(stream.dir)]);
  for (let more = 0; more < 10; more++) await topic.send([stateOf(stream.dir)]);
  const laterMs = performance.now() + 15_000;
  while (performance.now() < laterMs && log.standing() === null) await log.step();
  t.diagnostic(`standing ${log.standing()?.code}, rows stored ${(await store.query('SELECT 1 FROM tidegate.events')).length} of 620, group ${JSON.stringify([...(await topic.committed())])}, as of ${Date.now() - log.asOfMs()} ms ago`);
  assert.equal(log.standing()?.code, 'log_went_back');
});

for (const [name, running] of [['before the start', false], ['under a running collector', true]] as const) {
  test(`a store that was put back ${name} is said where nothing comes any more, too, and is as of nothing`, { skip, timeout: 300_000 }, async () => {
    let behind: Store | Error = store;
    const asked = (): Store => { if (behind instanceof Error) throw behind; return behind; };
    const passing: Store = {
      command: async (...args) => asked().command(...args), query: async (...args) => asked().query(...args), insertRows: async (...args) => asked().insertRows(...args), insertBeside: async (...args) => asked().insertBeside(...args), close: async () => undefined,
    };
    await log.stop();
    log = await opened(passing);
    const stream = made().write(310).seal();
    await topic.send([...chunksOf(stream.dir), stateOf(stream.dir)]);
    await stored(310);
    await eventually('it is stored as of the end', async () => {
      await log.step();
      return log.asOfMs() > Date.now() - 5000 || null;
    }, 60_000, 0);
    const server = await TestClickHouse.start();
    const emptied = await openStore({ dataDir, clickhouse: { urls: [server.url], user: 'default', password: '', ca: null, cluster: null, insertQuorum: 0, timeoutMs: 30_000, compression: false }, log: silentLog });
    try {
      if (running) {
        behind = new TidegateError('store_unavailable', 'it is being put back');
        await eventually('a step fails', () => log.step().then(() => null, () => true as const), 60_000, 0);
      } else {
        await log.stop();
        log = await opened(passing);
      }
      behind = emptied;
      const standing = await eventually('it is said', async () => {
        await log.step();
        return log.standing();
      }, 60_000, 0);
      assert.equal(standing.code, 'log_store_behind');
      for (let steps = 0; steps < 8; steps++) await log.step();
      assert.deepEqual(await emptied.query('SELECT log FROM tidegate.log_places'), [], 'nobody is told that it holds all');
    } finally {
      behind = store;
      await emptied.close();
      await server[Symbol.asyncDispose]();
    }
  });
}

for (const [name, begun] of [['that is begun', true], ['to come', false]] as const) {
  test(`a batch from further on, of a fetch that was sent before, takes nothing from the range ${name}`, { skip, timeout: 300_000 }, async (t) => {
    const stream = made().write(310);
    await log.stop();
    log = await opened(begun ? failing() : store);
    await topic.send(chunksOf(stream.dir, 1).slice(0, 5));
    await eventually('the group has a place', async () => {
      await log.step().catch(() => undefined);
      const [place] = (await topic.committed()).values();
      return (place !== undefined && Number(place.offset) >= 0 && isBegun(place.metadata ?? '') === begun) || null;
    }, 60_000, 0);
    await log.stop();
    await topic.send([...chunksOf(stream.dir, 1).slice(5), stateOf(stream.seal().dir)]);
    log = await opened();
    const cut = cutsFirstOffer(t, 2);
    await stored(310);
    assert.equal(cut(), 1);
    assert.equal(log.standing(), null);
    await assertExact(store, [stream]);
  });
}

/** The first offer lacks its first messages, as one of a fetch from further on does. @returns how many did */
function cutsFirstOffer(t: TestContext, messages: number): () => number {
  let cut = 0;
  const next: KafkaSession['next'] = Reflect.get(KafkaSession.prototype, 'next');
  t.mock.method(KafkaSession.prototype, 'next', async function fromFurtherOn(this: KafkaSession, withinMs: number) {
    const offer = await next.call(this, withinMs);
    if (offer === null || cut > 0) return offer;
    cut++;
    Object.defineProperty(offer, 'messages', { value: offer.messages.slice(messages) });
    return offer;
  });
  return () => cut;
}

const failing = (): Store => ({
  command: (...args) => store.command(...args), query: (...args) => store.query(...args), insertBeside: (...args) => store.insertBeside(...args), close: async () => undefined,
  insertRows: () => Promise.reject(new TidegateError('store_unavailable', 'not reached')),
});
