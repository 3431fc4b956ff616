/** What the store's own notes prove of streams that come through Kafka. Each judgement is that of a collector which has just begun, unless said otherwise. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { requires } from '../../test/harness/requires.js';
import { ChdbStore } from '../store/chdb-store.js';
import { migrate } from '../store/migrate.js';
import { completeness } from './completeness.js';
import { StoredStreams } from './stored-streams.js';

const HOUR = 3_600_000;
const OPENED = Date.UTC(2026, 10, 20, 1);
const END = OPENED + HOUR;
const ONE = '9f31a2b4c5d60718';

const skip = requires('chdb');

let directory: string;
let store: ChdbStore;

before(async () => {
  if (skip !== false) return;
  directory = mkdtempSync(join(tmpdir(), 'tidegate-stored-streams-'));
  store = await ChdbStore.open(join(directory, 'store'));
  await migrate(store);
});
after(async () => {
  if (skip !== false) return;
  await store.close();
  rmSync(directory, { recursive: true, force: true });
});
beforeEach(async () => {
  if (skip !== false) return;
  for (const table of ['coverage', 'streams', 'drops']) await store.command(`TRUNCATE TABLE tidegate.${table}`);
});

let next = 0;
/** A state message is noted. */
const said = (lastSeq: number, markedMs: number, { stream = ONE, shipped = 'NULL', sealed = 'NULL' }: { stream?: string; shipped?: string; sealed?: string } = {}): Promise<void> => store.command(
  `INSERT INTO tidegate.streams (stream, node, instance, worker, opened_at, sealed_at, marked_at, last_seq, shipped_seq, proven, log, log_next, noted_at)
   SELECT 0x${stream}, 'a', 'i', 1, fromUnixTimestamp64Milli(${OPENED}), ${sealed}, fromUnixTimestamp64Milli(${markedMs}), ${lastSeq}, ${shipped}, true, 'events/0', ${++next}, fromUnixTimestamp64Milli(${OPENED + next})`);
/** Rows `first` up to `end`, without it, are stored; the last of them ended then. */
const stored = (first: number, end: number, endMs: number, stream = ONE): Promise<void> => store.command(
  `INSERT INTO tidegate.coverage (stream, edge, delta, at, node, worker) SELECT 0x${stream}, side.1, side.2, fromUnixTimestamp64Milli(side.3::Int64), 'a', 1
   FROM numbers(1) ARRAY JOIN [(toUInt64(${first}), toInt64(1), ${endMs - 1000}), (toUInt64(${end}), toInt64(-1), ${endMs})] AS side`);
const judge = async (nowMs: number, by = new StoredStreams(store), toMs = END): Promise<string> => (await completeness(store, await by.facts(nowMs, nowMs), { fromMs: OPENED, toMs, nowMs })).reasons.join();

test('a time that is over is complete once a mark made after its end is stored, and not before, whoever judges', { skip }, async () => {
  await said(99, END - 500);
  await stored(0, 100, END - 2000);
  assert.match(await judge(END + 1000), /not stored to the end of this time yet/, 'the mark was made before the end');
  await said(149, END + 500);
  assert.match(await judge(END + 1000), /not stored to the end of this time yet/, 'what it speaks of is not stored');
  const running = new StoredStreams(store);
  assert.match(await judge(END + 1000, running), /not stored to the end/);
  assert.match(await judge(END + 62_000, running), /^50 events of stream .* are missing$/, 'in time that is a loss');
  await stored(100, 140, END - 100);
  assert.match(await judge(END + 1000), /not stored to the end of this time yet/, 'nor all of it');
  await stored(140, 150, END - 50);
  assert.deepEqual([await judge(END + 1000), await judge(END + 1000, running)], ['', '']);
});

test('a time is complete before the stream is stored to its mark when what is stored has passed its end', { skip }, async () => {
  await said(149, END + 5000);
  await stored(0, 100, END + 1000);
  assert.equal(await judge(END + 6000), '');
  assert.match(await judge(END + 6000, new StoredStreams(store), END + 3000), /not stored to the end/);
});

test('what is lost is missing, and keeps nothing after it open; what was dropped is neither', { skip }, async () => {
  await said(199, END + 500, { shipped: '99' });
  await stored(0, 50, END - 10_000);
  await stored(60, 200, END - 5000);
  assert.match(await judge(END + 1000), /^10 events of stream \S+ \(node a, worker 1\) are missing$/);
  await store.command(`INSERT INTO tidegate.drops (stream, app, count, first, last) SELECT 0x${ONE}, 'acme', 10, fromUnixTimestamp64Milli(${OPENED - 2 * HOUR}), fromUnixTimestamp64Milli(${OPENED - HOUR})`);
  assert.equal(await judge(END + 1000), '');
  await said(199, END + 550, { shipped: '49' });
  assert.equal(await judge(END + 1000), '', 'nor on its way');
  await said(200, END + 600, { shipped: '99' });
  assert.match(await judge(END + 1000), /^stream \S+ \(node a, worker 1\) is not stored to the end of this time yet$/);
});
