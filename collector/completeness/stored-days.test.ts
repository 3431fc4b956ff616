/** What was stored of each day beside what is held: by an engine in process and over HTTP, and of days before the record began. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { RowVersion } from '../../gateway/events/event.js';
import { requires } from '../../test/harness/requires.js';
import { silentLog } from '../log/random-events.fixture.js';
import { loadMigrations, migrate } from '../store/migrate.js';
import { applyRetention } from '../store/retention.js';
import type { Store } from '../store/store.js';
import { BACKENDS, openBackend, stageRange } from '../store/stores.fixture.js';
import { StoredDays, type MissingRows } from './stored-days.js';

const skip = requires('chdb');
const DAY_MS = 86_400_000;
const DAY = Date.UTC(2026, 10, 22);
const [FIRST, SECOND] = ['00000000000000aa', '00000000000000bb'];
const KEEP = { eventsMs: 30 * DAY_MS, minutesMs: 90 * DAY_MS, quarterHoursMs: 1100 * DAY_MS, maxBytes: 1e12 };
const NONE = { reasons: [], warnings: [], faults: [], notCompared: [] };

const all = (missing: readonly (readonly [day: string, rows: number])[] = []): MissingRows => ({ rows: new Map(missing), olderUncounted: null });

let folder: string;

before(() => { if (skip === false) folder = mkdtempSync(join(tmpdir(), 'tidegate-stored-days-')); });
after(() => { if (skip === false) rmSync(folder, { recursive: true, force: true }); });

/** In one day, 3,000 rows of the first stream, then 1,000 of another in the same. */
async function twoStreams(store: Store, version?: RowVersion): Promise<void> {
  for (const [stream, rows] of [[FIRST, 3000], [SECOND, 1000]] as const) {
    const { plan, file } = stageRange(folder, stream, 0, rows, (seq) => DAY + seq, version);
    await store.insertRows(plan, file);
  }
}

/** The store, whose engine refuses to read what takes this long, as a store of very many rows would past its time. */
function overburdened(store: Store): Pick<Store, 'query'> {
  return { query: (select, params) => store.query(select.includes('tidegate.events ') ? select.replace('max_execution_time', 'max_rows_to_read = 1, max_execution_time') : select, params) };
}

for (const backend of BACKENDS) test(`${backend}: a stream that one side alone knows, or knows more of, makes the day incomplete`, { skip }, async (t) => {
  await using opened = await openBackend(backend);
  const { store } = opened;
  await migrate(store);
  await twoStreams(store);

  await t.test('one side alone', async () => {
    await store.command(`INSERT INTO tidegate.stored_days (day, stream, rows, requests) SELECT '2026-11-22', 0x0000000000000c0c, 7, 7`);
    const { faults, reasons } = await new StoredDays(store).compare(DAY, DAY + DAY_MS);
    assert.deepEqual([faults, reasons], [[{ day: '2026-11-22', stream: '0000000000000c0c', missing: 7, unknown: 0 }], ['7 rows of stream 0000000000000c0c, stored of 2026-11-22 (UTC), are not in the store any more']]);
    // that rows are missing is known all the same where their streams cannot be counted
    const days = new StoredDays(overburdened(store));
    const uncounted = await days.compare(DAY, DAY + DAY_MS);
    assert.deepEqual(uncounted, { ...NONE, faults: [{ day: '2026-11-22', stream: '', missing: 7, unknown: 0 }], reasons: ['7 rows of streams that were not looked for in time, stored of 2026-11-22 (UTC), are not in the store any more'] });
    assert.deepEqual(await days.missing(), all([['2026-11-22', 7]]));
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

  await t.test('no day closes that the engine did not count by stream', async () => {
    const { reasons, faults, notCompared } = await new StoredDays(overburdened(store)).compare(DAY, DAY + DAY_MS, true);
    assert.deepEqual([faults, notCompared], [[], []]);
    assert.equal(reasons.length, 1);
    assert.match(reasons[0] ?? '', /^2026-11-22 \(UTC\) could not be compared with what was stored: the store did not count it \(store_failed\): /);
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
    // as when the collector ends between the two
    await store.command(`INSERT INTO tidegate.stored_days (day, stream, rows, requests) SELECT '2026-11-22', 0x0000000000000c0c, 7, 7`);
    for (const closing of [false, true]) assert.deepEqual(await new StoredDays(store).compare(DAY, DAY + DAY_MS, closing), NONE);
    assert.deepEqual(await new StoredDays(store).missing(), all());
  });
});

test('what was stored before the record began is judged by whole lives of streams, and said not to be compared where a part of a life was dropped', { skip }, async (t) => {
  await using opened = await openBackend('chDB');
  const { store } = opened;
  const known = loadMigrations();
  await migrate(store, known.filter(({ version }) => version < 11));
  await store.command('ALTER TABLE tidegate.events MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1, max_bytes_to_merge_at_min_space_in_pool = 1');
  await twoStreams(store, 1);
  // two days of one stream
  const both = stageRange(folder, '00000000000000cc', 0, 500, (seq) => DAY + (seq < 200 ? 0 : DAY_MS) + seq, 1);
  await store.insertRows(both.plan, both.file);
  await migrate(store);
  const [fromMs, toMs] = [DAY, DAY + DAY_MS];
  for (const closing of [false, true]) assert.deepEqual(await new StoredDays(store).compare(fromMs, toMs, closing), NONE);
  // an insert that is made again after the upgrade is in the record then, and counted once
  await store.insertRows(both.plan, both.file);
  assert.deepEqual(await store.query('SELECT (SELECT count() FROM tidegate.events) AS rows, (SELECT sum(requests) FROM tidegate.traffic_minute) AS minutes, (SELECT sum(rows) FROM tidegate.stored_days) AS noted'), [{ rows: 4500, minutes: 4500, noted: 500 }]);
  assert.deepEqual(await new StoredDays(store).compare(fromMs, toMs, true), NONE);

  await t.test('not counted: a report says so, and no day closes', async () => {
    const days = new StoredDays(overburdened(store));
    for (let asked = 0; asked < 2; asked++) {
      const { warnings, ...report } = await days.compare(fromMs, toMs);
      assert.deepEqual(report, { reasons: [], faults: [], notCompared: ['2026-11-22'] });
      assert.match(warnings.join('\n'), /^2026-11-22 \(UTC\) could not be compared with what was stored: the store did not count it \(store_failed\): [^\n]+$/);
    }
    const closing = await days.compare(fromMs, toMs, true);
    assert.deepEqual(closing.notCompared, []);
    // of the streams in the day, and of the streams that are older than the record
    assert.equal(closing.reasons.filter((reason) => reason.startsWith('2026-11-22 (UTC) could not be compared with what was stored: ')).length, 2);
    assert.deepEqual((await new StoredDays(store).compare(fromMs + 5 * DAY_MS, toMs + 5 * DAY_MS, true)), NONE);
  });

  let eventsRead = 0;
  let busy = false;
  let steadyMs = 0;
  const watched = new StoredDays({ query: (select, params) => {
    if (select.includes('tidegate.coverage ')) {
      eventsRead++;
      assert.match(select, /max_execution_time = 10\b/, 'nothing that may hold up a report for longer');
    }
    return (busy ? overburdened(store) : store).query(select, params);
  } }, () => steadyMs);
  assert.deepEqual(await watched.missing(), all());
  const readOnce = eventsRead;
  assert.ok(readOnce > 0);
  assert.deepEqual([await watched.missing(), eventsRead], [all(), readOnce], 'rows are read again only when a day holds others than before');

  await t.test('lost', async () => {
    await store.command("ALTER TABLE tidegate.events DROP PART '20261122_1_1_0'");
    const { reasons, faults } = await new StoredDays(store).compare(fromMs, toMs);
    assert.deepEqual(faults, []);
    assert.equal(reasons.length, 1);
    assert.match(reasons[0] ?? '', new RegExp(`^3000 rows of stream ${FIRST} \\(node node-a, worker 1\\) that were stored between 2026-11-2\\S+ and 2026-11-22\\S+ are not in the store any more`));
    assert.deepEqual(await new StoredDays(store).compare(fromMs + 2 * DAY_MS, toMs + 2 * DAY_MS), NONE);
    // the day before, too: a request may have been admitted an hour before it ended
    const spans = [-2, -1, 0, 2].map((day) => ({ fromMs: fromMs + day * DAY_MS, toMs: toMs + day * DAY_MS }));
    assert.deepEqual((await new StoredDays(store).compareEach(spans)).map((day) => day.reasons), [[], reasons, reasons, []]);
    // older days that cannot be counted hide nothing of what can, and are left alone for ten minutes
    await store.command(`INSERT INTO tidegate.stored_days (day, stream, rows, requests) SELECT '2100-01-01', 0x0000000000000c0c, 7, 7`);
    busy = true;
    for (const [atMs, reads] of [[0, true], [599_999, false], [600_000, true]] as const) {
      [steadyMs, eventsRead] = [atMs, 0];
      const { rows, olderUncounted } = await watched.missing();
      assert.deepEqual(rows, new Map([['2100-01-01', 7]]));
      assert.match(olderUncounted ?? '', /^days before \S+ \(UTC\) could not be compared with what was stored \(store_failed\): /);
      assert.equal(eventsRead > 0, reads);
    }
    [busy, steadyMs] = [false, 1_200_000];
    await store.command('ALTER TABLE tidegate.stored_days DELETE WHERE stream = 0x0000000000000c0c SETTINGS mutations_sync = 1');
    for (const days of [watched, watched, new StoredDays(store)]) assert.deepEqual(await days.missing(), all([['2026-11-22', 3000]]));
  });

  await t.test('dropped in part', async () => {
    await applyRetention(store, { ...KEEP, eventsMs: DAY_MS }, DAY + 2 * DAY_MS, silentLog);
    const { reasons, notCompared, warnings } = await new StoredDays(store).compare(toMs, toMs + DAY_MS);
    assert.deepEqual([reasons, notCompared], [[], ['2026-11-23']]);
    assert.match(warnings[0] ?? '', /^2026-11-23 \(UTC\) could not be compared/);
    assert.deepEqual(await watched.missing(), all(), 'the day that lacked rows is dropped; of a life that reaches into it nothing can be said');
  });

  await t.test('alive when the record began: the days after that are judged by the record, alone and in a range', async () => {
    const recordedFrom = DAY + 30 * DAY_MS;
    const days = [-2, -1, 0, 1].map((day) => ({ fromMs: recordedFrom + day * DAY_MS, toMs: recordedFrom + (day + 1) * DAY_MS }));
    const { plan, file } = stageRange(folder, '00000000000000dd', 0, 400, (seq) => recordedFrom + (Math.floor(seq / 100) - 2) * DAY_MS + seq);
    await store.insertRows(plan, file);
    await store.command("ALTER TABLE tidegate.stored_days DELETE WHERE stream = 0xdd AND day < '2026-12-22' SETTINGS mutations_sync = 1");
    await store.command('ALTER TABLE tidegate.record_starts DELETE WHERE 1 SETTINGS mutations_sync = 1');
    await store.command(`INSERT INTO tidegate.record_starts (record, since) SELECT 'stored_days', fromUnixTimestamp64Milli(${recordedFrom - DAY_MS - 3_600_000}, 'UTC')`);
    await store.command("ALTER TABLE tidegate.events DROP PARTITION ID '20261221'");
    const alone = await Promise.all(days.map((day) => new StoredDays(store).compare(day.fromMs, day.toMs, true)));
    assert.deepEqual(alone.map(({ reasons }) => reasons.length), [1, 1, 0, 0]);
    assert.deepEqual(await new StoredDays(store).compareEach(days, true), alone);
  });

  await t.test('past its time with no part left to drop: it is noted as dropped, and told no longer', async () => {
    const lostDays = new StoredDays(store);
    assert.deepEqual(await lostDays.missing(), all([['2026-12-21', 100]]));
    const gone = async (): Promise<unknown> => (await store.query<{ d: string }>("SELECT toString(day) AS d FROM tidegate.dropped_days FINAL WHERE day > '2026-12-01' ORDER BY d")).map(({ d }) => d);
    await applyRetention(store, KEEP, Date.UTC(2027, 0, 20), silentLog);
    assert.deepEqual(await gone(), ['2026-12-20']);
    await store.command("ALTER TABLE tidegate.dropped_days DELETE WHERE day = '2026-12-20' SETTINGS mutations_sync = 1");
    assert.deepEqual(await lostDays.missing(), all([['2026-12-21', 200]]), 'as when both parts were lost');
    await applyRetention(store, KEEP, Date.UTC(2027, 0, 21), silentLog);
    assert.deepEqual([await gone(), await lostDays.missing()], [['2026-12-20', '2026-12-21'], all()]);
  });
});
