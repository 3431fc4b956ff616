/**
 * Parts of `events` damaged on disk while the store is closed, in each way that makes the engine set one aside when it starts, or find none: the rows are gone, and before they were compared
 * with what was stored the day was complete, and billed 0.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { requires } from '../../test/harness/requires.js';
import { ChdbStore } from '../store/chdb-store.js';
import { damagePart, PART_DAMAGES, partsOf } from '../store/damaged-part.fixture.js';
import { migrate } from '../store/migrate.js';
import { stageRange } from '../store/stores.fixture.js';
import { StoredDays } from './stored-days.js';

const DAY_MS = 86_400_000;
const DAY = Date.UTC(2026, 10, 22);
const [FIRST, SECOND] = ['00000000000000aa', '00000000000000bb'];
const NONE = { reasons: [], warnings: [], faults: [], notCompared: [] };

async function withStore<T>(path: string, use: (store: ChdbStore) => Promise<T>): Promise<T> {
  const store = await ChdbStore.open(path);
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

test('each kind of damage to a part of events: its day says which stream lacks how many rows, and the day beside them is whole', { skip: requires('chdb') }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-damaged-days-'));
  t.after(() => { rmSync(folder, { recursive: true, force: true }); });
  const path = join(folder, 'store');
  const dayOf = (number: number): number => DAY + number * DAY_MS;
  const all = PART_DAMAGES.length + 1;
  const [fromMs, toMs] = [dayOf(0), dayOf(all)];
  await withStore(path, async (store) => {
    await migrate(store);
    // each part stays as it was inserted
    await store.command('ALTER TABLE tidegate.events MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1, max_bytes_to_merge_at_min_space_in_pool = 1');
    // a part a day of each insert
    for (const [stream, rows] of [[FIRST, 300], [SECOND, 100]] as const) {
      const { plan, file } = stageRange(folder, stream, 0, rows * all, (seq) => dayOf(Math.floor(seq / rows)) + seq);
      await store.insertRows(plan, file);
    }
    for (const closing of [false, true]) assert.deepEqual(await new StoredDays(store).compare(fromMs, toMs, closing), NONE);
  });
  for (const [number, damage] of PART_DAMAGES.entries()) damagePart(path, 'events', firstOf([...partsOf(path, 'events').keys()], idOf(dayOf(number))), damage);
  await withStore(path, async (store) => {
    const days = new StoredDays(store);
    const lost = PART_DAMAGES.map((_, number) => dashed(dayOf(number)));
    assert.deepEqual(await store.query('SELECT toString(toDate(time)) AS day, count() AS n FROM tidegate.events GROUP BY day ORDER BY day'),
      [...lost.map((day) => ({ day, n: 100 })), { day: dashed(dayOf(all - 1)), n: 400 }], 'the engine has set them aside');
    // known from the first look on, and looked at anew before a day closes
    for (const closing of [false, true, false]) {
      assert.deepEqual(await days.compare(fromMs, toMs, closing), {
        ...NONE, faults: lost.map((day) => ({ day, stream: FIRST, missing: 300, unknown: 0 })),
        reasons: lost.map((day) => `300 rows of stream ${FIRST} (node node-a, worker 1), stored of ${day} (UTC), are not in the store any more`),
      });
    }
    assert.deepEqual(await days.compare(dayOf(all - 1), toMs, true), NONE);
    // together, each as it is alone
    const spans = Array.from({ length: all + 1 }, (_, number) => ({ fromMs: dayOf(number), toMs: dayOf(number + 1) }));
    for (const closing of [false, true]) {
      const together = await days.compareEach(spans, closing);
      assert.deepEqual(together.map(({ faults }) => faults.map(({ day }) => day)), [...lost.map((day) => [day]), [], []]);
      for (const [number, { fromMs: from, toMs: to }] of spans.entries()) assert.deepEqual(together[number], await days.compare(from, to, closing));
    }
    assert.deepEqual([...(await days.missing()).rows], lost.map((day) => [day, 300]));
  });
});

const blockOf = (part: string): number => Number(part.split('_')[1]);
const firstOf = (parts: readonly string[], partition: string): string => parts.filter((name) => name.startsWith(partition)).sort((a, b) => blockOf(a) - blockOf(b))[0] ?? '';
const dashed = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
const idOf = (ms: number): string => dashed(ms).replaceAll('-', '');
