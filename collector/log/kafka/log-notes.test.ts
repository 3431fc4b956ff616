/** What nodes say of their streams stays noted, whatever the store's clock does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requires } from '../../../test/harness/requires.js';
import { migrate } from '../../store/migrate.js';
import { BACKENDS, openBackend, stageRange } from '../../store/stores.fixture.js';
import { LogNotes } from './log-notes.js';
import { LogPlaces } from './log-places.js';
import type { StatedFacts } from './range-builder.js';

const STREAM = '9f31a2b4c5d60718';
const AT = '2026-11-20T10:00:00.000Z';

const said = (offset: number, rows: number, seal: StatedFacts['facts']['seal']): StatedFacts => ({
  offset,
  facts: {
    format: 1, stream: STREAM, node: 'a', instance: 'i', worker: 1, openedAt: AT, lastSeq: rows, markedAt: AT, seal,
    drops: [{ app: 'acme', rows, firstMs: Date.parse(AT), lastMs: Date.parse(AT) }],
  },
});

for (const backend of BACKENDS) {
  test(`a store whose clock is set back keeps the seal and the last count of what was dropped, on ${backend}`, { skip: requires('chdb') }, async (t) => {
    const opened = await openBackend(backend);
    t.after(() => opened[Symbol.asyncDispose]());
    const { store } = opened;
    await migrate(store);
    const notes = new LogNotes(store, 'events');
    await notes.states(0, [said(0, 7, null)]);
    // an hour ahead, as it was then
    await store.command('INSERT INTO tidegate.streams SELECT * REPLACE (noted_at + INTERVAL 1 HOUR AS noted_at) FROM tidegate.streams');
    await store.command('INSERT INTO tidegate.drops SELECT * REPLACE (noted_at + INTERVAL 1 HOUR AS noted_at) FROM tidegate.drops');
    await notes.states(0, [said(1, 9, { sealedAt: AT, lastSeq: 9, proven: true })]);
    const [stream] = await store.query("SELECT sealed_at IS NOT NULL AS sealed, last_seq, log, log_next FROM tidegate.streams FINAL");
    assert.deepEqual(stream, { sealed: 1, last_seq: 9, log: 'events/0', log_next: 2 });
    assert.deepEqual(await store.query('SELECT count FROM tidegate.drops FINAL'), [{ count: 9 }]);
    // what comes late undoes nothing
    await notes.states(0, [said(0, 7, null)]);
    assert.deepEqual(await store.query('SELECT sealed_at IS NOT NULL AS sealed, count() AS n FROM tidegate.streams FINAL GROUP BY sealed'), [{ sealed: 1, n: 1 }]);
    // nor where it was written to the log late, by a request of before the seal
    await notes.states(0, [said(5, 7, null)]);
    assert.deepEqual(await store.query('SELECT sealed_at IS NOT NULL AS sealed, last_seq FROM tidegate.streams FINAL'), [{ sealed: 1, last_seq: 9 }]);
  });
}

test('inserts are counted by the numbers of blocks, whatever days their rows are of', { skip: requires('chdb') }, async (t) => {
  const opened = await openBackend('chDB');
  t.after(() => opened[Symbol.asyncDispose]());
  const { store, folder } = opened;
  await migrate(store);
  const notes = new LogNotes(store, 'events');
  const rowsADay = 8_640_000;
  const counts = [(await notes.look()).block];
  // a later day first: what comes for an older one is counted all the same
  for (const day of [3, 0, 1, 0, 2]) {
    const { plan, file } = stageRange(folder, STREAM, day * rowsADay + counts.length * 10, 10);
    await store.insertRows(plan, file);
    counts.push((await notes.look()).block);
  }
  assert.deepEqual(counts.map((count, i) => count - (counts[i - 1] ?? count)), [0, 1, 1, 1, 1, 1]);
});

test('each partition is as far as was said of it last; one that nobody spoke of is not known, whatever other topics say', { skip: requires('chdb') }, async (t) => {
  const opened = await openBackend('chDB');
  t.after(() => opened[Symbol.asyncDispose]());
  const { store } = opened;
  await migrate(store);
  let nowMs = 0;
  const places = (topic: string): LogPlaces => new LogPlaces(store, topic, () => nowMs);
  const [one, other] = [places('events'), places('events')];
  assert.deepEqual(one.parts(null), [{ log: 'events', asOfMs: null }], 'before Kafka has been asked');
  await places('events.2').share({ partitions: [0, 1, 2], asOfMs: 9000 });
  await one.share({ partitions: [0, 2], asOfMs: 1000 });
  await store.command('INSERT INTO tidegate.log_places SELECT * REPLACE (noted_at + INTERVAL 1 HOUR AS noted_at) FROM tidegate.log_places');
  for (const of of [one, other]) of.setCount(3);
  await other.share(null);
  const [zero, , two] = ['events/0', 'events/1', 'events/2'];
  assert.deepEqual(other.parts(null), [{ log: zero, asOfMs: 1000 }, { log: 'events/1', asOfMs: null }, { log: two, asOfMs: 1000 }]);
  assert.deepEqual(other.parts({ partitions: [1, 2], asOfMs: 3000 }).map(({ asOfMs }) => asOfMs), [1000, 3000, 3000], 'what it knows itself is newer');
  await one.share({ partitions: [0, 2], asOfMs: 2000 });
  nowMs = 1000;
  await other.share(null);
  assert.deepEqual(other.parts(null).map(({ asOfMs }) => asOfMs), [1000, null, 1000], 'not said within the second');
  // and the clock of whoever reads it was set back, or the store's
  await one.share({ partitions: [0], asOfMs: 500 });
  nowMs = 2000;
  await other.share(null);
  assert.deepEqual(other.parts(null).map(({ asOfMs }) => asOfMs), [500, null, 1000]);
});
