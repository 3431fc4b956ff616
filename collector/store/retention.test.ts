/** What goes of the collector's notes, and what must stay; whole days of events are tested with the collector. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { requires } from '../../test/harness/requires.js';
import { migrate } from './migrate.js';
import { pruneQuarantine, pruneStreams, type Retention } from './retention.js';
import { BACKENDS, openBackend } from './stores.fixture.js';

const DAY_MS = 86_400_000;
const NOW = Date.UTC(2026, 10, 21, 10);
const RETENTION: Retention = { eventsMs: 30 * DAY_MS, minutesMs: 90 * DAY_MS, quarterHoursMs: 1100 * DAY_MS, maxBytes: 1e12 };
const log = { info: () => undefined, warn: () => undefined, error: () => undefined };

for (const backend of BACKENDS) test(`${backend}: notes of streams go with the last numbers of their time, quarantine with its raw events`, { skip: requires('chdb') }, async (t) => {
  await using opened = await openBackend(backend);
  const { store, folder: directory } = opened;
  await migrate(store);

  const note = async (stream: string, sealedDaysAgo: number | null, newestDaysAgo: number, notedDaysAgo = sealedDaysAgo ?? 0): Promise<void> => {
    const at = `fromUnixTimestamp64Milli(${NOW - newestDaysAgo * DAY_MS}, 'UTC')`;
    const sealed = sealedDaysAgo === null ? 'NULL' : `fromUnixTimestamp64Milli(${NOW - sealedDaysAgo * DAY_MS}, 'UTC')`;
    await store.command(`INSERT INTO tidegate.streams (stream, node, worker, opened_at, sealed_at, last_seq, proven, noted_at) SELECT 0x${stream}, 'n', 1, ${at}, ${sealed}, 9, true, fromUnixTimestamp64Milli(${NOW - notedDaysAgo * DAY_MS})`);
    for (const [edge, delta] of [[0, 1], [10, -1]]) await store.command(`INSERT INTO tidegate.coverage (stream, edge, delta, at, node, worker) SELECT 0x${stream}, ${edge}, ${delta}, ${at}, 'n', 1`);
    await store.command(`INSERT INTO tidegate.drops (stream, app, count, first, last) SELECT 0x${stream}, 'acme', 1, ${at}, ${at}`);
    await store.command(`INSERT INTO tidegate.repeats (stream, first_seq, last_seq, range) SELECT 0x${stream}, 0, 1, 1`);
  };
  const noted = async (): Promise<string[][]> => Promise.all(['streams', 'coverage', 'drops', 'repeats'].map(async (table) =>
    (await store.query<{ name: string }>(`SELECT DISTINCT leftPad(lower(hex(stream)), 16, '0') AS name FROM tidegate.${table} ORDER BY name`)).map(({ name }) => name)));

  await t.test('streams', async () => {
    const [past, used, unsealed, lately, skewed, late, pastToo] = ['a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'fedcba9876543210'].map((name) => name.padStart(16, '0')) as [string, string, string, string, string, string, string];
    await note(past, 1101, 1102);
    await note(used, 1101, 1102);
    await note(unsealed, null, 1102);
    await note(lately, 1099, 1102);
    // the clock was set between its last event and its seal
    await note(skewed, 1101, 1);
    // it waited in the spool, and the log has it yet
    await note(late, 1101, 1102, 6);
    await note(pastToo, 2000, 2000, 8);
    const needed = { inUse: new Set([used]), comesAgainMs: 7 * DAY_MS };
    assert.deepEqual([...await pruneStreams(store, RETENTION, needed, NOW, log)].sort(), [past, pastToo].sort());
    for (const names of await noted()) assert.deepEqual(names, [used, unsealed, lately, skewed, late]);
    assert.deepEqual(await pruneStreams(store, RETENTION, needed, NOW, log), []);
    assert.deepEqual(await pruneStreams(store, { ...RETENTION, eventsMs: 4000 * DAY_MS }, { inUse: new Set(), comesAgainMs: 0 }, NOW, log), [], 'the longest of the three is what counts');
  });

  await t.test('quarantine', async () => {
    const quarantine = join(directory, 'quarantine');
    assert.deepEqual(await pruneQuarantine(store, quarantine, RETENTION, NOW, log), [], 'there is none');
    mkdirSync(quarantine);
    for (const [file, daysAgo] of [['old.bin', 31], ['old.bin.tmp', 31], ['new.bin', 29]] as const) {
      writeFileSync(join(quarantine, file), 'x');
      utimesSync(join(quarantine, file), NOW / 1000, (NOW - daysAgo * DAY_MS) / 1000);
      await store.command(`INSERT INTO tidegate.quarantine (stream, segment, from_offset, to_offset, reason, file, noted_at)
        SELECT 1, ${daysAgo}, 0, 1, 'checksum', {file:String}, fromUnixTimestamp64Milli(${NOW - daysAgo * DAY_MS}, 'UTC')`, { file });
    }
    assert.deepEqual([...await pruneQuarantine(store, quarantine, RETENTION, NOW, log)].sort(), ['old.bin', 'old.bin.tmp']);
    assert.deepEqual(readdirSync(quarantine), ['new.bin']);
    assert.deepEqual(await store.query('SELECT file FROM tidegate.quarantine'), [{ file: 'new.bin' }]);
  });
});
