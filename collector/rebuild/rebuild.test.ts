/** The rollups damaged on purpose: a rebuild finds it, and mends it while events go on being stored; kept days of which raw events are gone stay as they are. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TidegateError } from '../../errors/tidegate-error.js';
import { eventually } from '../../test/harness/deadline.js';
import { TestClickHouse } from '../../test/harness/clickhouse-server.js';
import { requires } from '../../test/harness/requires.js';
import { StoredDays } from '../completeness/stored-days.js';
import { silentLog } from '../log/random-events.fixture.js';
import { assertExact, storedSums } from '../log/stored-sums.fixture.js';
import { applyRetention } from '../store/retention.js';
import { insertEvents } from '../store/insert-events.fixture.js';
import { connection } from '../store/stores.fixture.js';
import type { Store } from '../store/store.js';
import { clearRebuilt, rebuild, type RebuildLine } from './rebuild.js';
import { beforeMidnight, collecting, damage, DAY_MS, dayOf, ended, forget, off, rebuilt, stream, streams, RETENTION } from './rebuilding.fixture.js';

const skip = requires('chdb');

test('a store that nothing happened to is equal, and stays as it is when it is to be swapped', { skip }, async () => {
  stream(1, beforeMidnight()).write(6000).mark();
  stream(2, Date.now() - 2_500_000).write(3000).mark();
  const running = await collecting();
  await eventually('all is stored', () => running.status().stored === 9000 || null);
  for (const swap of [false, true]) {
    const lines = await rebuilt(running, swap);
    assert.deepEqual(off(lines), []);
    const { days } = ended(lines) as { readonly days: number };
    assert.deepEqual(ended(lines), { type: 'end', days, differing: 0, swapped: 0 });
    assert.ok(days >= 3);
  }
  await assertExact(running.store, streams);
});

test('a day that is read in many pieces is compared whole, and as one that is read in one', { skip }, async () => {
  stream(1, beforeMidnight()).write(6000).mark();
  const running = await collecting();
  await eventually('all is stored', () => running.status().stored === 6000 || null);
  await damage(running.store, dayOf(beforeMidnight() + DAY_MS));
  const compared = async (rowsAPiece: number): Promise<unknown[]> => {
    const lines: RebuildLine[] = [];
    await rebuild({ store: running.store, retention: RETENTION, days: new StoredDays(running.store), between: (piece) => piece(), swaps: null, nowMs: Date.now, signal: new AbortController().signal, tell: (line) => { lines.push(line); }, rowsAPiece });
    return lines.filter(({ type }) => type !== 'progress');
  };
  const [many, one] = [await compared(400), await compared(1_000_000)];
  assert.deepEqual(many, one);
  assert.equal(off(one as RebuildLine[]).length, 2);
});

test('a day whose raw events were dropped stays as it is in both rollups, whatever of it came later, and so does its month\'s other part', { skip }, async () => {
  const startMs = beforeMidnight();
  stream(1, startMs).write(4000).mark();
  const running = await collecting();
  await eventually('all is stored', () => running.status().stored === 4000 || null);
  const whole = await storedSums(running.store);
  // the older of the two days goes, and a straggler brings a little of it again
  await applyRetention(running.store, { ...RETENTION, eventsMs: Date.now() - startMs - DAY_MS }, Date.now(), silentLog);
  await insertEvents(running.store, [{ stream: 'abc', timeMs: startMs + 1000, app: 'late', service: 's', route: 'r', bytesOut: 7 }]);
  await damage(running.store, dayOf(startMs + DAY_MS));
  const lines = await rebuilt(running, true);
  assert.deepEqual(lines[1], { type: 'left', days: [dayOf(startMs)] });
  const { minutes, quarterHours } = await storedSums(running.store);
  const expected = { ...whole.minutes, requests: whole.minutes.requests + 1, bytes_out: whole.minutes.bytes_out + 7 };
  assert.deepEqual([{ ...minutes, latencies: 0 }, { ...quarterHours, latencies: 0 }], [{ ...expected, latencies: 0 }, { ...expected, latencies: 0 }]);
});

test('one at a time; not where other nodes store into the same ClickHouse on their own; and it ends when its asker has left', { skip }, async (t) => {
  const server = await TestClickHouse.start();
  t.after(() => server[Symbol.asyncDispose]());
  stream(1, Date.now() - 600_000).write(1000).mark();
  const running = await collecting({ clickhouse: connection(server.url) });
  await eventually('all is stored', () => running.status().stored === 1000 || null);
  const first = rebuilt(running, false);
  await assert.rejects(rebuilt(running, false), (error: TidegateError) => error.code === 'rebuild_running');
  await first;
  const left = new AbortController();
  await assert.rejects(running.rebuild({ swap: false, signal: left.signal, tell: () => { left.abort(new Error('gone')); } }), /gone/);
  await insertEvents(running.store, [{ stream: 'abc', node: 'node-b', timeMs: Date.now() }]);
  await assert.rejects(rebuilt(running, true), (error: TidegateError) => error.code === 'rebuild_not_alone' && error.message.includes('node-a, node-b'));
  await running.stop();
  forget();
});

test('what another collector takes away of a rebuild under way, or of the raw events that it reads, is put in no rollup\'s place', { skip }, async () => {
  const startMs = beforeMidnight();
  stream(1, startMs).write(4000).mark();
  const running = await collecting();
  await eventually('all is stored', () => running.status().stored === 4000 || null);
  await damage(running.store, dayOf(startMs));
  const held = await storedSums(running.store);
  const swapping = (meanwhile: (store: Store) => Promise<unknown>): Promise<void> => {
    let taken: Promise<unknown> | null = null;
    return running.rebuild({ swap: true, signal: new AbortController().signal, tell: (line) => { if (line.type === 'progress' && line.what.startsWith('swapping')) taken ??= meanwhile(running.store); } });
  };
  await assert.rejects(swapping(clearRebuilt), (error: TidegateError) => error.code === 'rebuild_not_alone');
  const { minutes, quarterHours } = await storedSums(running.store);
  assert.deepEqual([minutes, quarterHours], [held.minutes, held.quarterHours]);
  await assert.rejects(swapping((store) => store.command(`ALTER TABLE tidegate.events DROP PARTITION ID '${dayOf(startMs).replaceAll('-', '')}'`)), (error: TidegateError) => error.code === 'rebuild_not_alone');
  assert.deepEqual((await storedSums(running.store)).quarterHours, held.quarterHours);
});

test('a swap that the store refuses is given up: events go on being stored, and the next collector starts', { skip }, async () => {
  const startMs = beforeMidnight();
  stream(1, startMs).write(3000).mark();
  const running = await collecting();
  await eventually('all is stored', () => running.status().stored === 3000 || null);
  await damage(running.store, dayOf(startMs));
  await running.store.command('ALTER TABLE tidegate.traffic_minute ADD COLUMN mine UInt8');
  await assert.rejects(rebuilt(running, true), (error: TidegateError) => error.code === 'store_failed');
  stream(2, Date.now() - 2_500_000).write(500).mark();
  await eventually('what came since is stored', () => running.status().stored === 3500 || null);
  await running.stop();
  await collecting();
});
