/** Completeness as judged from the store's coverage and the spool's facts; how both come about is tested with the collector. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { GAP_WORKER } from '../../gateway/events/event.js';
import { requires } from '../../test/harness/requires.js';
import { REPORT_SETTINGS } from '../reports/report-store.js';
import { migrate } from '../store/migrate.js';
import { ChdbStore } from '../store/chdb-store.js';
import type { Store } from '../store/store.js';
import { completeness as judged, completenessOfEach, MAX_STREAM_REASONS, type Completeness } from './completeness.js';
import { coverageOf, type LiveFacts, type StreamFacts } from './stream-coverage.js';

type KnownFacts = StreamFacts & { readonly live: LiveFacts };

const DAY = Date.UTC(2026, 10, 20);
const NEXT = DAY + 86_400_000;
const HOUR = 3_600_000;
const STREAM = '9f31a2b4c5d60718';

const skip = requires('chdb');

let directory: string;
let store: ChdbStore;

before(async () => {
  if (skip !== false) return;
  directory = mkdtempSync(join(tmpdir(), 'tidegate-completeness-'));
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

async function covered(...edges: readonly (readonly [edge: number, delta: number, at: number])[]): Promise<void> {
  for (const [edge, delta, at] of edges) {
    await store.command(`INSERT INTO tidegate.coverage (stream, edge, delta, at, node, worker) SELECT 0x${STREAM}, {edge:UInt64}, {delta:Int64}, fromUnixTimestamp64Milli({at:Int64}), 'a', 1`, { edge, delta, at });
  }
}

const completeness = (to: Pick<Store, 'query'>, known: readonly StreamFacts[], fromMs: number, toMs: number, nowMs: number): Promise<Completeness> => judged(to, known, { fromMs, toMs, nowMs });

function stream({ live: given, ...facts }: Partial<Omit<StreamFacts, 'live'>> & { readonly live?: Partial<LiveFacts> }): KnownFacts {
  const live = { markedMs: NEXT + HOUR, finished: false, behindSinceMs: null, behindKnownMs: null, dueSeq: null, ...given };
  return { stream: STREAM, node: 'a', instance: '', worker: 1, openedMs: DAY + HOUR, sealedMs: null, lastSeq: 99, proven: true, drops: [], ...facts, live };
}

test('a living stream that is stored past the day is complete; one that may still hold events of it is not', { skip }, async () => {
  await covered([0, 1, DAY + HOUR], [100, -1, DAY + 2 * HOUR]);
  const judge = async (facts: KnownFacts, now: number): Promise<string> => (await completeness(store, [facts], DAY, NEXT, now)).reasons.join();
  assert.equal(await judge(stream({}), NEXT + HOUR), '');
  assert.match(await judge(stream({ live: { markedMs: NEXT - 500 } }), NEXT + 1000), /not stored to the end of this time yet/);
  assert.match(await judge(stream({ live: { markedMs: NEXT - 500 } }), NEXT + HOUR), /silent since 2026-11-20T23:59:59.500Z/);
  assert.match(await judge(stream({ live: { behindSinceMs: NEXT - 1000 } }), NEXT + HOUR), /silent since/);
  assert.match(await judge(stream({ live: { behindSinceMs: NEXT - 1000 } }), NEXT + 1000), /not stored to the end/);
  assert.equal(await judge(stream({ live: { behindSinceMs: NEXT } }), NEXT + 1000), '', 'what is pending is of the next day');
  assert.match(await judge(stream({ live: { behindSinceMs: NEXT + 1000 } }), NEXT + HOUR), /silent since 2026-11-21T00:00:01.000Z/, 'or was admitted before it');
  assert.equal(await judge(stream({ live: { behindSinceMs: NEXT + HOUR } }), NEXT + 3 * HOUR), '', 'no request takes that long');
  assert.match(await judge(stream({ live: { behindSinceMs: DAY + HOUR } }), NEXT + HOUR), /silent since 2026-11-20T02:00:00.000Z/, 'what is stored came before it');
  assert.match(await judge(stream({ sealedMs: NEXT + 5000 }), NEXT + HOUR), /not stored to the end/);
  assert.equal(await judge(stream({ sealedMs: NEXT + 5000, live: { finished: true } }), NEXT + HOUR), '');
});

test('of a stream whose parts may come in another order, a time is complete when nothing that ended in it can be under way', { skip }, async () => {
  // 50 to 59 are on their way; what came before them ended an hour before the day's end
  await covered([0, 1, DAY + HOUR], [50, -1, NEXT - HOUR], [60, 1, NEXT + 1000], [100, -1, NEXT + 2000]);
  const judge = async (live: Partial<LiveFacts>, now: number): Promise<string> => (await completeness(store, [stream({ live: { dueSeq: 49, ...live } })], DAY, NEXT, now)).reasons.join();
  const behind = { behindSinceMs: NEXT - HOUR, behindKnownMs: NEXT + 3000 };
  assert.match(await judge({ markedMs: NEXT + 3000, ...behind }, NEXT + 4000), /not stored to the end of this time yet/);
  assert.match(await judge({ markedMs: NEXT + 120_000, ...behind }, NEXT + 120_000), /silent since 2026-11-21T00:00:03.000Z/, 'since it is known, however long before there was no traffic');
  assert.match(await judge({ markedMs: NEXT + 120_000, ...behind, dueSeq: 99 }, NEXT + 4000), /10 events of stream .* are missing/);
  assert.equal(await judge({ markedMs: NEXT + 3000 }, NEXT + 4000), '', 'they were dropped');
  assert.match(await judge({ markedMs: NEXT - 1 }, NEXT + 4000), /not stored to the end/, 'and no mark says that they were all');
});

test('a time up to which a part of the log is not read is not complete: streams that nobody has heard of may lie in it', { skip }, async () => {
  const judge = async (asOfMs: number | null, nowMs: number, more: readonly number[] = []): Promise<string> =>
    (await judged(store, [], { fromMs: DAY, toMs: NEXT, nowMs, parts: [asOfMs, ...more].map((ms, i) => ({ log: `events/${i}`, asOfMs: ms })) })).reasons.join('\n');
  assert.equal(await judge(NEXT, NEXT + HOUR), '');
  assert.equal(await judge(NEXT - 1, NEXT + HOUR, [NEXT]), 'events/0 is stored up to 2026-11-20T23:59:59.999Z only, as far as any collector says: streams that began later may not be known');
  assert.equal(await judge(null, NEXT + HOUR), 'no collector has said yet how far events/0 is stored: streams in it may not be known');
  assert.deepEqual((await judge(NEXT, NEXT + HOUR, Array.from({ length: 12 }, () => 0))).split('\n').map((reason) => reason.slice(0, 10)).slice(-2), ['events/10 ', 'the same h']);
  assert.equal(await judge(NEXT - HOUR - 60_000, NEXT - HOUR), '', 'a time under way is judged up to a minute ago');
  assert.notEqual(await judge(NEXT - HOUR - 60_001, NEXT - HOUR), '');
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

test('a day of 14,000 streams, more than one statement can name, is judged whole, and each statement has the bounds of a report', { skip }, async () => {
  const streams = 14_000;
  await store.command(`INSERT INTO tidegate.streams (stream, node, worker, opened_at, sealed_at, last_seq, proven)
    SELECT number + 1, 'a', 1, fromUnixTimestamp64Milli(${DAY + HOUR}), fromUnixTimestamp64Milli(${DAY + 3 * HOUR}), 9, true FROM numbers(${streams})`);
  // the last of them lacks its last seq
  await store.command(`INSERT INTO tidegate.coverage (stream, edge, delta, at, node, worker)
    SELECT number + 1, side.1, side.2, fromUnixTimestamp64Milli(${DAY + 2 * HOUR}), 'a', 1
    FROM numbers(${streams}) ARRAY JOIN [(toUInt64(0), toInt64(1)), (if(number + 1 = ${streams}, 9, 10)::UInt64, toInt64(-1))] AS side`);
  const statements: string[] = [];
  const watched: Pick<Store, 'query'> = { query: (select, params) => { statements.push(select); return store.query(select, params); } };
  const day = await completeness(watched, [], DAY, NEXT, NEXT + HOUR);
  assert.equal(day.streams.length, streams);
  assert.deepEqual(day.reasons, [`1 events of stream ${streams.toString(16).padStart(16, '0')} (node a, worker 1) are missing`]);
  assert.equal(day.streams.reduce((total, { stored }) => total + stored, 0), streams * 10 - 1);
  assert.equal(statements.length, 3 + 3, 'streams, drops, the record\'s beginning, and edges in three pieces');
  for (const statement of statements) assert.ok(statement.endsWith(REPORT_SETTINGS), statement.slice(0, 80));
});

test('a stream without a row is whole', () => {
  const facts = stream({ lastSeq: -1, sealedMs: DAY + 2 * HOUR, live: { finished: true } });
  assert.deepEqual(coverageOf(facts, []), { stored: 0, twice: 0, firstSeq: -1, lastSeq: -1, lastEndMs: 0, holes: [], pending: null });
});

test('of drops, only those of the streams that lived in the time are read', { skip }, async () => {
  for (const [name, from] of [['0000000000000001', DAY], ['0000000000000002', DAY - 48 * HOUR]] as const) {
    await store.command(`INSERT INTO tidegate.streams (stream, node, worker, opened_at, sealed_at, last_seq, proven)
      SELECT 0x${name}, 'a', 1, fromUnixTimestamp64Milli({from:Int64}), fromUnixTimestamp64Milli({to:Int64}), 0, true`, { from, to: from + HOUR });
    await store.command(`INSERT INTO tidegate.drops (stream, app, count, first, last)
      SELECT 0x${name}, 'acme', 1, fromUnixTimestamp64Milli({from:Int64}), fromUnixTimestamp64Milli({from:Int64})`, { from });
  }
  const read: unknown[] = [];
  const watched: Pick<Store, 'query'> = {
    query: async <T>(statement: string, params?: Parameters<Store['query']>[1]): Promise<T[]> => {
      const rows = await store.query<T>(statement, params);
      if (statement.includes('tidegate.drops')) read.push(...rows);
      return rows;
    },
  };
  const day = await completeness(watched, [], DAY, NEXT, NEXT + HOUR);
  assert.deepEqual([read.length, day.dropped], [1, [{ app: 'acme', count: 1 }]]);
});

test('a gap keeps each day from being complete that it has a part of, or that a request answered in it may have begun in', { skip }, async () => {
  const reasons = async (gap: KnownFacts | null, fromMs: number): Promise<readonly string[]> => {
    const { complete, reasons: told, streams } = await completeness(store, gap === null ? [] : [gap], fromMs, fromMs + 24 * HOUR, NEXT + 100 * HOUR);
    assert.equal(complete, told.length === 0);
    assert.deepEqual(streams.map(({ missing, dropped, silent_since: silent }) => [missing, dropped, silent]), told.map(() => [0, 0, null]));
    return told;
  };
  const noted = (openedMs: number, sealedMs: number): Promise<void> => store.command(
    `INSERT INTO tidegate.streams (stream, node, worker, opened_at, sealed_at, last_seq, proven) SELECT 0x${STREAM}, 'a', ${GAP_WORKER}, fromUnixTimestamp64Milli({opened:Int64}), fromUnixTimestamp64Milli({sealed:Int64}), -1, false`,
    { opened: openedMs, sealed: sealedMs });
  for (const [fromMs, toMs, days] of [
    [DAY + 3 * HOUR, DAY + 5 * HOUR, [DAY]],
    [DAY + 3 * HOUR, NEXT + 25 * HOUR, [DAY, NEXT, NEXT + 24 * HOUR]],
    [DAY + 3 * HOUR, NEXT, [DAY]],
    [NEXT + HOUR / 2, NEXT + HOUR, [DAY, NEXT]],
    [NEXT + HOUR, NEXT + 2 * HOUR, [NEXT]],
  ] as const) {
    const text = `the data directory of node a went back to how it was at ${new Date(fromMs).toISOString()}: what the node answered from then until ${new Date(toMs).toISOString()} may be missing`;
    // in the spool, and in the store
    const gap = stream({ worker: GAP_WORKER, openedMs: fromMs, sealedMs: toMs, lastSeq: -1, proven: false });
    const expected = [DAY - 24 * HOUR, DAY, NEXT, NEXT + 24 * HOUR].map((day) => [...days].includes(day) ? [text] : []);
    const asked = (known: KnownFacts | null): Promise<readonly (readonly string[])[]> => Promise.all([DAY - 24 * HOUR, DAY, NEXT, NEXT + 24 * HOUR].map((day) => reasons(known, day)));
    assert.deepEqual(await asked(gap), expected, text);
    await noted(fromMs, toMs);
    assert.deepEqual(await asked(null), expected, text);
    await store.command('TRUNCATE TABLE tidegate.streams');
  }
});

test('a gap is no word of a node that is expected', { skip }, async () => {
  const gap = stream({ worker: GAP_WORKER, openedMs: DAY, sealedMs: DAY + HOUR, lastSeq: -1, proven: false });
  const { reasons } = await judged(store, [gap], { fromMs: NEXT, toMs: NEXT + 24 * HOUR, nowMs: NEXT + HOUR, nodes: ['a'] });
  assert.deepEqual(reasons, ['nothing was ever heard of node a, which is expected']);
});

test('days that are judged together have each the verdict that it has alone, and the store is read once', { skip }, async () => {
  // in the spool, over three days, with a hole in the second; noted in the store: dropped of, never sealed, and a gap
  await covered([0, 1, DAY + HOUR], [10, -1, NEXT + 2 * HOUR], [20, 1, NEXT + 3 * HOUR], [100, -1, NEXT + 26 * HOUR]);
  for (const [name, worker, openedMs, sealedMs] of [
    ['0000000000000001', 1, DAY, DAY + HOUR], ['0000000000000002', 2, NEXT + HOUR, null], ['0000000000000003', GAP_WORKER, DAY - 30 * HOUR, DAY - 26 * HOUR],
  ] as const) {
    await store.command(`INSERT INTO tidegate.streams (stream, node, worker, opened_at, sealed_at, last_seq, proven)
      SELECT 0x${name}, 'a', ${worker}, fromUnixTimestamp64Milli({from:Int64}), ${sealedMs === null ? 'NULL' : `fromUnixTimestamp64Milli(toInt64(${sealedMs}))`}, 0, true`, { from: openedMs });
  }
  await store.command(`INSERT INTO tidegate.drops (stream, app, count, first, last) SELECT 0x0000000000000001, 'acme', 1, fromUnixTimestamp64Milli({from:Int64}), fromUnixTimestamp64Milli({from:Int64})`, { from: DAY });
  const nowMs = NEXT + 30 * HOUR;
  const known = [stream({ live: { markedMs: nowMs } })];
  const spans = [-2, -1, 0, 1, 2, 3].map((day) => ({ fromMs: DAY + day * 24 * HOUR, toMs: DAY + (day + 1) * 24 * HOUR }));
  let statements = 0;
  const watched: Pick<Store, 'query'> = { query: (select, params) => { statements += 1; return store.query(select, params); } };
  const together = await completenessOfEach(watched, known, spans, { nowMs, nodes: ['b'] });
  assert.equal(statements, 5);
  for (const [index, span] of spans.entries()) assert.deepEqual(together[index], { ...await judged(store, known, { ...span, nowMs, nodes: ['b'] }), streams: [] }, String(index));
  assert.deepEqual(together.map(({ reasons, recorded_from: since, over }) => [reasons.map((reason) => reason.replace(/^the data directory.*/, 'a gap').replace(/ \(node.*?\)/, '')), since, over]), [
    [['a gap'], '2026-11-20T00:00:00.000Z', true],
    [[], '2026-11-20T00:00:00.000Z', true],
    [['1 events of stream 0000000000000001 were dropped'], '2026-11-20T00:00:00.000Z', true],
    [['stream 0000000000000002 is silent since 1970-01-01T00:00:00.000Z', '10 events of stream 9f31a2b4c5d60718 are missing'], '2026-11-20T00:00:00.000Z', true],
    [['stream 0000000000000002 is silent since 1970-01-01T00:00:00.000Z', 'nothing was ever heard of node b, which is expected'], '2026-11-20T00:00:00.000Z', false],
    [['stream 0000000000000002 is silent since 1970-01-01T00:00:00.000Z', 'nothing was ever heard of node b, which is expected'], '2026-11-20T00:00:00.000Z', false],
  ]);
  await store.command('TRUNCATE TABLE tidegate.streams');
  assert.equal((await judged(store, [], { fromMs: DAY, toMs: NEXT, nowMs })).recorded_from, null);
  assert.equal((await judged(store, known, { fromMs: DAY, toMs: NEXT, nowMs })).recorded_from, '2026-11-20T01:00:00.000Z', 'of what no note is in the store yet');
});

test('years of days and thousands of streams: each is looked at in its own days, and between two days the event loop turns', { skip }, async () => {
  const spans = Array.from({ length: 1100 }, (_, day) => ({ fromMs: DAY + day * 24 * HOUR, toMs: DAY + (day + 1) * 24 * HOUR }));
  const nowMs = (spans.at(-1) as (typeof spans)[number]).toMs + HOUR;
  let looks = 0;
  const known = Array.from({ length: 3000 }, (_, index) => {
    const openedMs = DAY + (index % 1099) * 24 * HOUR + HOUR;
    const facts = stream({ stream: (index + 1).toString(16).padStart(16, '0'), lastSeq: -1, sealedMs: openedMs + 24 * HOUR, live: { finished: true } });
    return Object.defineProperty(facts, 'openedMs', { get: () => { looks += 1; return openedMs; } });
  });
  // never sealed, and gone
  for (let index = 0; index < MAX_STREAM_REASONS + 5; index++) known.push({ ...stream({ stream: `f${index.toString(16).padStart(15, '0')}` }), live: null } as unknown as KnownFacts);
  let turns = 0;
  let [turnsOfStore, under] = [0, true];
  const count = (): void => {
    turns += 1;
    if (under) setImmediate(count);
  };
  count();
  const watched: Pick<Store, 'query'> = { query: async (select, params) => { const rows = await store.query(select, params); turnsOfStore = turns; return rows as never; } };
  const told = await completenessOfEach(watched, known, spans, { nowMs });
  under = false;
  assert.ok(turns - turnsOfStore >= spans.length - 1, `${turns - turnsOfStore} turns`);
  assert.ok(looks < known.length * 30, `${looks} looks at ${known.length} streams`);
  const reasons = told.map((day) => day.reasons);
  assert.deepEqual([...new Set(reasons.map(({ length }) => length))], [MAX_STREAM_REASONS + 1]);
  assert.deepEqual([reasons[0]?.[0], reasons[700]?.at(-1)], ['stream f000000000000000 (node a, worker 1) is silent since 1970-01-01T00:00:00.000Z', 'and 5 more of its streams']);
  assert.deepEqual(told.flatMap(({ streams }) => streams), []);
});

test('a stream that the log knows to be sealed is judged by that in each time, also where an old note of it in the store does not say so', { skip }, async () => {
  await covered([0, 1, DAY + HOUR], [100, -1, DAY + 2 * HOUR]);
  await store.command(`INSERT INTO tidegate.streams (stream, node, worker, opened_at, sealed_at, last_seq, proven) SELECT 0x${STREAM}, 'a', 1, fromUnixTimestamp64Milli(${DAY + HOUR}), NULL, 50, true`);
  const known = [stream({ sealedMs: DAY + 3 * HOUR, live: { finished: true } })];
  const nowMs = NEXT + 30 * HOUR;
  const spans = [{ fromMs: DAY, toMs: NEXT }, { fromMs: NEXT, toMs: NEXT + 24 * HOUR }];
  for (const span of spans) assert.deepEqual((await judged(store, known, { ...span, nowMs })).reasons, [], new Date(span.fromMs).toISOString());
  assert.deepEqual((await completenessOfEach(store, known, spans, { nowMs })).map(({ reasons }) => reasons), [[], []]);
});
