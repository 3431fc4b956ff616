/** Completeness as judged from the store's coverage and the spool's facts; how both come about is tested with the collector. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { requires } from '../../test/harness/requires.js';
import { migrate } from '../store/migrate.js';
import { Store } from '../store/store.js';
import { completeness, type SpooledFacts } from './completeness.js';
import { coverageOf, type StreamFacts } from './stream-coverage.js';

const DAY = Date.UTC(2026, 10, 20);
const NEXT = DAY + 86_400_000;
const HOUR = 3_600_000;
const STREAM = '9f31a2b4c5d60718';

const skip = requires('chdb');

let directory: string;
let store: Store;

before(async () => {
  if (skip !== false) return;
  directory = mkdtempSync(join(tmpdir(), 'tidegate-completeness-'));
  store = await Store.open(join(directory, 'store'));
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

async function covered(...edges: readonly (readonly [edge: number, delta: number, at: number])[]): Promise<void> {
  for (const [edge, delta, at] of edges) {
    await store.command(`INSERT INTO tidegate.coverage (stream, edge, delta, at, node, worker) SELECT 0x${STREAM}, {edge:UInt64}, {delta:Int64}, fromUnixTimestamp64Milli({at:Int64}), 'a', 1`, { edge, delta, at });
  }
}

function stream({ live: given, ...facts }: Partial<Omit<StreamFacts, 'live'>> & { readonly live?: Partial<SpooledFacts['live']> }): SpooledFacts {
  const live = { markedMs: NEXT + HOUR, finished: false, behindSinceMs: null, ...given };
  return { stream: STREAM, node: 'a', worker: 1, openedMs: DAY + HOUR, sealedMs: null, lastSeq: 99, proven: true, drops: [], ...facts, live };
}

test('a living stream that is stored past the day is complete; one that may still hold events of it is not', { skip }, async () => {
  await covered([0, 1, DAY + HOUR], [100, -1, DAY + 2 * HOUR]);
  const judge = async (facts: SpooledFacts, now: number): Promise<string> => (await completeness(store, [facts], DAY, NEXT, now)).reasons.join();
  assert.equal(await judge(stream({}), NEXT + HOUR), '');
  assert.match(await judge(stream({ live: { markedMs: NEXT - 500 } }), NEXT + 1000), /not stored to the end of this time yet/);
  assert.match(await judge(stream({ live: { markedMs: NEXT - 500 } }), NEXT + HOUR), /silent since 2026-11-20T23:59:59.500Z/);
  assert.match(await judge(stream({ live: { behindSinceMs: NEXT - 1000 } }), NEXT + HOUR), /silent since/);
  assert.match(await judge(stream({ sealedMs: NEXT + 5000 }), NEXT + HOUR), /not stored to the end/);
  assert.equal(await judge(stream({ sealedMs: NEXT + 5000, live: { finished: true } }), NEXT + HOUR), '');
});

test('a day in progress is complete as long as nothing is late by more than a minute', { skip }, async () => {
  await covered([0, 1, DAY + HOUR], [90, -1, DAY + 2 * HOUR]);
  const now = DAY + 3 * HOUR;
  const judge = async (behindSinceMs: number): Promise<boolean> => (await completeness(store, [stream({ live: { markedMs: now, behindSinceMs } })], DAY, NEXT, now)).complete;
  assert.deepEqual([await judge(now - 30_000), await judge(now - 61_000)], [true, false]);
});

test('a hole makes the days incomplete that it may be of, and no others', { skip }, async () => {
  await covered([0, 1, DAY + HOUR], [50, -1, DAY + 5 * HOUR], [60, 1, DAY + 5 * HOUR + 10], [100, -1, NEXT + 5 * HOUR]);
  const facts = stream({ openedMs: DAY, sealedMs: NEXT + 6 * HOUR, live: { finished: true } });
  const missing = async (from: number, to: number): Promise<number | undefined> => (await completeness(store, [facts], from, to, NEXT + 30 * HOUR)).streams[0]?.missing;
  assert.deepEqual([await missing(DAY, NEXT), await missing(NEXT, NEXT + 24 * HOUR), await missing(DAY - 24 * HOUR, DAY)], [10, 0, undefined]);
});

test('a sealed tail that was never stored, and seqs stored twice, are found', { skip }, async () => {
  await covered([0, 1, DAY + HOUR], [50, -1, DAY + 2 * HOUR], [40, 1, DAY + 2 * HOUR], [45, -1, DAY + 2 * HOUR]);
  const facts = stream({ sealedMs: DAY + 3 * HOUR, live: { finished: true } });
  const { complete, streams } = await completeness(store, [facts], DAY, NEXT, NEXT + HOUR);
  assert.deepEqual([complete, streams[0]?.missing, streams[0]?.twice, streams[0]?.stored], [false, 50, 5, 50]);
});

test('drops explain holes, and count for the time they fell in', { skip }, async () => {
  await covered([0, 1, DAY + HOUR], [50, -1, DAY + 2 * HOUR], [60, 1, DAY + 2 * HOUR], [100, -1, DAY + 3 * HOUR]);
  const drops = [{ app: 'acme', count: 10, firstMs: DAY + 2 * HOUR, lastMs: DAY + 2 * HOUR }];
  const day = await completeness(store, [stream({ drops })], DAY, NEXT, NEXT + HOUR);
  assert.deepEqual([day.complete, day.streams[0]?.missing, day.streams[0]?.dropped, day.dropped], [false, 0, 10, [{ app: 'acme', count: 10 }]]);
  const next = await completeness(store, [stream({ drops })], NEXT, NEXT + 24 * HOUR, NEXT + HOUR);
  assert.deepEqual([next.complete, next.dropped], [true, []]);
});

test('the store remembers streams that have left the spool; one that left it unsealed is silent', { skip }, async () => {
  const note = (sealed: string): Promise<void> => store.command(`INSERT INTO tidegate.streams (stream, node, worker, opened_at, sealed_at, last_seq, proven) SELECT 0x${STREAM}, 'a', 1, fromUnixTimestamp64Milli(${DAY + HOUR}), ${sealed}, 99, true`);
  await covered([0, 1, DAY + HOUR], [100, -1, DAY + 2 * HOUR]);
  await note('NULL');
  const lost = await completeness(store, [], DAY, NEXT, NEXT + HOUR);
  assert.deepEqual([lost.complete, lost.streams[0]?.silent_since], [false, new Date(DAY + 2 * HOUR).toISOString()]);
  await note(`fromUnixTimestamp64Milli(${DAY + 3 * HOUR})`);
  const sealed = await completeness(store, [], DAY, NEXT, NEXT + HOUR);
  assert.deepEqual([sealed.complete, sealed.reasons, sealed.streams[0]?.sealed], [true, [], new Date(DAY + 3 * HOUR).toISOString()]);
});

test('a stream under which the machine went down is unproven on the day it may have lost rows', { skip }, async () => {
  await covered([0, 1, DAY + HOUR], [100, -1, DAY + 2 * HOUR]);
  const facts = stream({ proven: false, sealedMs: DAY + 3 * HOUR, live: { finished: true } });
  const day = await completeness(store, [facts], DAY, NEXT, NEXT + HOUR);
  assert.match(day.reasons.join(), /the machine went down under stream 9f31a2b4c5d60718/);
});

test('a stream without a row is whole', () => {
  const facts = stream({ lastSeq: -1, sealedMs: DAY + 2 * HOUR, live: { finished: true } });
  assert.deepEqual(coverageOf(facts, []), { stored: 0, twice: 0, firstSeq: -1, lastSeq: -1, lastEndMs: 0, holes: [] });
});
