/** Ranges older than what is kept that can be asked all the same, because logs of them were imported. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { requires } from '../../test/harness/requires.js';
import { ChdbStore } from '../store/chdb-store.js';
import { insertEvents } from '../store/insert-events.fixture.js';
import { migrate } from '../store/migrate.js';
import { importedWithin, isImported } from './imported-days.js';
import { keptRange } from './kept-range.js';
import { ReportStore } from './report-store.js';

test('a range between imported days can be asked; one that reaches beyond them, or has days that were counted and are gone, cannot', { skip: requires('chdb') }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-imported-'));
  const store = await ChdbStore.open(join(folder, 'store'));
  t.after(async () => {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });
  await migrate(store);
  const reports = new ReportStore(store);
  const can = (table: string, from: string, to: string): Promise<boolean> => isImported(reports, { principal: { kind: 'operator' } }, `tidegate.${table}`, Date.parse(from), Date.parse(to));
  const imported = async (day: string): Promise<void> => {
    await store.command('INSERT INTO tidegate.imports (stream, day) SELECT 7, toDate({day:String})', { day });
    await insertEvents(store, [{ stream: '7', kind: 'import', timeMs: Date.parse(`${day}T12:00:00Z`), seq: Date.parse(day) / 86_400_000, ordinal: Date.parse(day) / 86_400_000 }]);
  };
  assert.equal(await can('events', '2015-05-17T00:00:00Z', '2015-05-20T00:00:00Z'), false, 'nothing was imported');
  for (const day of ['2015-05-17', '2015-05-19']) await imported(day);
  for (const table of ['events', 'traffic_minute', 'traffic_quarter_hour']) {
    assert.equal(await can(table, '2015-05-17T00:00:00Z', '2015-05-20T00:00:00Z'), true, table);
    assert.equal(await can(table, '2015-05-16T10:00:00Z', '2015-05-20T14:00:00Z'), true, 'as days of other zones begin and end');
    assert.equal(await can(table, '2015-05-15T23:59:59Z', '2015-05-20T00:00:00Z'), false);
    assert.equal(await can(table, '2015-05-17T00:00:00Z', '2015-05-21T00:00:01Z'), false);
  }

  // asked for from two days before its first line, in any zone
  const kept = (from: string, to: string, timeZone = 'UTC') => keptRange({ store: reports, kept: () => ({ eventsMs: 86_400_000, minutesMs: 86_400_000, quarterHoursMs: 86_400_000 }), nowMs: () => Date.parse('2026-11-21T10:00:00Z') },
    { fromMs: Date.parse(from), toMs: Date.parse(to), timeZone }, 'events', { principal: { kind: 'operator' } }, 'this');
  const range = (from: string, to: string, clipped: boolean) => ({ fromMs: Date.parse(from), toMs: Date.parse(to), clipped });
  assert.deepEqual(await kept('2015-05-15T00:00:00Z', '2015-05-20T00:00:00Z'), range('2015-05-17T00:00:00Z', '2015-05-20T00:00:00Z', true));
  assert.deepEqual(await kept('2015-05-01T00:00:00Z', '2015-06-01T00:00:00Z'), range('2015-05-17T00:00:00Z', '2015-05-20T00:00:00Z', true), 'it ends with the last of them too');
  assert.deepEqual(await kept('2015-05-14T18:30:00Z', '2015-05-20T18:30:00Z', 'Asia/Kolkata'), range('2015-05-16T18:30:00Z', '2015-05-20T18:30:00Z', true), 'whole days of the zone');
  assert.deepEqual(await kept('2015-05-17T00:00:00Z', '2015-05-20T00:00:00Z'), range('2015-05-17T00:00:00Z', '2015-05-20T00:00:00Z', false));
  await assert.rejects(kept('2015-05-01T00:00:00Z', '2015-05-15T00:00:00Z'), { code: 'range_not_kept' });
  assert.equal(await importedWithin(reports, { principal: { kind: 'operator' } }, Date.parse('2015-05-01T00:00:00Z'), Date.parse('2015-05-17T00:00:00Z')), null);

  // the gateway's own day between the two, of which the raw events have gone
  await insertEvents(store, [{ timeMs: Date.parse('2015-05-18T12:00:00Z'), seq: 1, ordinal: 1 }]);
  assert.equal(await can('events', '2015-05-17T00:00:00Z', '2015-05-20T00:00:00Z'), true);
  await store.command("ALTER TABLE tidegate.events DROP PARTITION ID '20150518'");
  assert.equal(await can('events', '2015-05-17T00:00:00Z', '2015-05-20T00:00:00Z'), false);
  assert.equal(await can('events', '2015-05-17T00:00:00Z', '2015-05-18T00:00:00Z'), true, 'it does not reach there');
  assert.equal(await can('traffic_minute', '2015-05-17T00:00:00Z', '2015-05-20T00:00:00Z'), true, 'its minutes are there');

  // of a month that is gone, or never was, nobody can say which
  await imported('2015-07-02');
  assert.equal(await can('traffic_quarter_hour', '2015-05-17T00:00:00Z', '2015-07-03T00:00:00Z'), false);
  await imported('2015-06-10');
  assert.equal(await can('traffic_quarter_hour', '2015-05-17T00:00:00Z', '2015-07-03T00:00:00Z'), true);
});
