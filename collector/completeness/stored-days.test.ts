/**
 * Parts of `events` damaged on disk while the store is closed, in each way that makes the engine set one aside when it starts, or find none: the rows are gone, and before they were compared
 * with what was stored the day was complete, and billed 0.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { requires } from '../../test/harness/requires.js';
import { ChdbStore } from '../store/chdb-store.js';
import { silentLog } from '../log/random-events.fixture.js';
import { damagePart, PART_DAMAGES, partsOf } from '../store/damaged-part.fixture.js';
import { loadMigrations, migrate } from '../store/migrate.js';
import { applyRetention } from '../store/retention.js';
import type { Store } from '../store/store.js';
import { BACKENDS, openBackend, stageRange } from '../store/stores.fixture.js';
import { StoredDays } from './stored-days.js';

const skip = requires('chdb');
const DAY_MS = 86_400_000;
const DAY = Date.UTC(2026, 10, 22);
const [FIRST, SECOND] = ['00000000000000aa', '00000000000000bb'];
const KEEP = { eventsMs: 30 * DAY_MS, minutesMs: 90 * DAY_MS, quarterHoursMs: 1100 * DAY_MS, maxBytes: 1e12 };
const NONE = { reasons: [], warnings: [], faults: [], notCompared: [] };

let folder: string;

before(() => { if (skip === false) folder = mkdtempSync(join(tmpdir(), 'tidegate-stored-days-')); });
after(() => { if (skip === false) rmSync(folder, { recursive: true, force: true }); });

async function withStore<T>(path: string, use: (store: ChdbStore) => Promise<T>): Promise<T> {
  const store = await ChdbStore.open(path);
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}

/** 3,000 rows of the first stream in one day, then 1,000 of another in the same, unless their numbers say otherwise. */
async function twoStreams(store: Store, dayMs: number, [first, second] = [FIRST, SECOND]): Promise<void> {
  for (const [stream, rows] of [[first, 3000], [second, 1000]] as const) {
    const { plan, file } = stageRange(folder, stream, 0, rows, (seq) => dayMs + seq);
    await store.insertRows(plan, file);
  }
}

/** Each part stays as it was inserted. */
async function unmerged(store: Store): Promise<void> {
  for (const table of ['events', 'stored_days']) await store.command(`ALTER TABLE tidegate.${table} MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1, max_bytes_to_merge_at_min_space_in_pool = 1`);
}

test('each kind of damage to a part of events: its day says which stream lacks how many rows, and the days beside it are whole', { skip }, async () => {
  const path = join(folder, 'damages');
  const dayOf = (number: number): number => DAY + number * DAY_MS;
  const lost = (number: number): string => (number + 1).toString(16).padStart(16, '0');
  const none = PART_DAMAGES.length;
  const [fromMs, toMs] = [dayOf(0), dayOf(none + 1)];
  await withStore(path, async (store) => {
    await migrate(store);
    await unmerged(store);
    for (let number = 0; number <= none; number++) await twoStreams(store, dayOf(number), [lost(number), lost(number + 100)]);
    for (const closing of [false, true]) assert.deepEqual(await new StoredDays(store).compare(fromMs, toMs, closing), NONE);
  });
  for (const [number, damage] of PART_DAMAGES.entries()) damagePart(path, 'events', firstOf([...partsOf(path, 'events').keys()], idOf(dayOf(number))), damage);
  await withStore(path, async (store) => {
    const days = new StoredDays(store);
    for (const [number, damage] of PART_DAMAGES.entries()) {
      const [fromMs, day] = [dayOf(number), new Date(dayOf(number)).toISOString().slice(0, 10)];
      assert.deepEqual(await store.query(`SELECT count() AS n FROM tidegate.events WHERE _partition_id = '${idOf(fromMs)}'`), [{ n: 1000 }], `${damage}: the engine has set it aside`);
      // known from the first look on, and looked at anew before a day closes
      for (const closing of [false, true, false]) {
        assert.deepEqual(await days.compare(fromMs, fromMs + DAY_MS, closing), {
          ...NONE, faults: [{ day, stream: lost(number), missing: 3000, unknown: 0 }],
          reasons: [`3000 rows of stream ${lost(number)} (node node-a, worker 1), stored of ${day} (UTC), are not in the store any more`],
        }, damage);
      }
    }
    assert.deepEqual(await days.compare(dayOf(none), dayOf(none + 1), true), NONE);
    assert.deepEqual([...await days.missing()], PART_DAMAGES.map((_, number) => [new Date(dayOf(number)).toISOString().slice(0, 10), 3000]));
  });
});

for (const backend of BACKENDS) test(`${backend}: a stream that one side alone knows, or knows more of, makes the day incomplete`, { skip }, async (t) => {
  await using opened = await openBackend(backend);
  const { store } = opened;
  await migrate(store);
  await twoStreams(store, DAY);

  await t.test('one side alone', async () => {
    await store.command(`INSERT INTO tidegate.stored_days (day, stream, rows, requests) SELECT '2026-11-22', 0x0000000000000c0c, 7, 7`);
    const { faults, reasons } = await new StoredDays(store).compare(DAY, DAY + DAY_MS);
    assert.deepEqual([faults, reasons], [[{ day: '2026-11-22', stream: '0000000000000c0c', missing: 7, unknown: 0 }], ['7 rows of stream 0000000000000c0c, stored of 2026-11-22 (UTC), are not in the store any more']]);
    await store.command('ALTER TABLE tidegate.stored_days DELETE WHERE stream = 0x0000000000000c0c SETTINGS mutations_sync = 1');
  });

  await t.test('one stream has as many too many as another lacks: seen before the day closes', async () => {
    await store.command(`ALTER TABLE tidegate.stored_days DELETE WHERE stream = 0x${FIRST} SETTINGS mutations_sync = 1`);
    await store.command(`INSERT INTO tidegate.stored_days (day, stream, rows, requests) SELECT '2026-11-22', 0x0000000000000c0c, 3000, 3000`);
    assert.deepEqual(await new StoredDays(store).compare(DAY, DAY + DAY_MS), NONE, 'the sums are the same');
    const { faults, reasons } = await new StoredDays(store).compare(DAY, DAY + DAY_MS, true);
    assert.deepEqual(faults.map(({ stream, missing, unknown }) => [stream, missing, unknown]).sort(), [[FIRST, 0, 3000], ['0000000000000c0c', 3000, 0]].sort());
    assert.ok(reasons.includes(`3000 rows of stream ${FIRST} (node node-a, worker 1) are in the store, of 2026-11-22 (UTC), that were never noted as stored`));
    await store.command('ALTER TABLE tidegate.stored_days DELETE WHERE stream = 0x0000000000000c0c SETTINGS mutations_sync = 1');
  });

  await t.test('what no note speaks of may be an insert under way: it is told when it stands', async () => {
    let nowMs = 1_000_000;
    const days = new StoredDays(store, () => nowMs);
    assert.deepEqual(await days.compare(DAY, DAY + DAY_MS), NONE);
    nowMs += 11_000;
    assert.deepEqual((await days.compare(DAY, DAY + DAY_MS)).faults, [{ day: '2026-11-22', stream: FIRST, missing: 0, unknown: 3000 }]);
  });

  await t.test('a day whose raw events were dropped is no day that lacks them', async () => {
    await applyRetention(store, { ...KEEP, eventsMs: DAY_MS }, DAY + 10 * DAY_MS, silentLog);
    assert.deepEqual(await new StoredDays(store).compare(DAY, DAY + DAY_MS, true), NONE);
    assert.deepEqual(await store.query('SELECT count() AS n FROM tidegate.stored_days'), [{ n: 0 }]);
  });
});

test('what was stored before the record began is judged by whole lives of streams, and said not to be compared where a part of a life was dropped', { skip }, async (t) => {
  await using opened = await openBackend('chDB');
  const { store } = opened;
  const known = loadMigrations();
  await migrate(store, known.filter(({ version }) => version < 11));
  await store.command('ALTER TABLE tidegate.events MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1, max_bytes_to_merge_at_min_space_in_pool = 1');
  await twoStreams(store, DAY);
  // two days of one stream
  const both = stageRange(folder, '00000000000000cc', 0, 500, (seq) => DAY + (seq < 200 ? 0 : DAY_MS) + seq);
  await store.insertRows(both.plan, both.file);
  await migrate(store);
  const [fromMs, toMs] = [DAY, DAY + DAY_MS];
  for (const closing of [false, true]) assert.deepEqual(await new StoredDays(store).compare(fromMs, toMs, closing), NONE);
  // an insert that is made again after the upgrade is in the record then, and counted once
  await store.insertRows(both.plan, both.file);
  assert.deepEqual(await store.query('SELECT (SELECT count() FROM tidegate.events) AS rows, (SELECT sum(requests) FROM tidegate.traffic_minute) AS minutes, (SELECT sum(rows) FROM tidegate.stored_days) AS noted'), [{ rows: 4500, minutes: 4500, noted: 500 }]);
  assert.deepEqual(await new StoredDays(store).compare(fromMs, toMs, true), NONE);

  await t.test('lost', async () => {
    await store.command("ALTER TABLE tidegate.events DROP PART '20261122_1_1_0'");
    const { reasons, faults } = await new StoredDays(store).compare(fromMs, toMs);
    assert.deepEqual(faults, []);
    assert.equal(reasons.length, 1);
    assert.match(reasons[0] ?? '', new RegExp(`^3000 rows of stream ${FIRST} \\(node node-a, worker 1\\) that were stored between 2026-11-2\\S+ and 2026-11-22\\S+ are not in the store any more`));
    assert.deepEqual(await new StoredDays(store).compare(fromMs + 2 * DAY_MS, toMs + 2 * DAY_MS), NONE);
  });

  await t.test('dropped in part', async () => {
    await applyRetention(store, { ...KEEP, eventsMs: DAY_MS }, DAY + 2 * DAY_MS, silentLog);
    const { reasons, notCompared, warnings } = await new StoredDays(store).compare(toMs, toMs + DAY_MS);
    assert.deepEqual([reasons, notCompared], [[], ['2026-11-23']]);
    assert.match(warnings[0] ?? '', /^2026-11-23 \(UTC\) could not be compared/);
  });
});

const blockOf = (part: string): number => Number(part.split('_')[1]);
const firstOf = (parts: readonly string[], partition: string): string => parts.filter((name) => name.startsWith(partition)).sort((a, b) => blockOf(a) - blockOf(b))[0] ?? '';
const idOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10).replaceAll('-', '');
