/**
 * What of an engine's errors is a damaged part, by messages as chDB 26.7 wrote them; and the real thing: a byte of a part flipped while the store is closed. Before parts that cannot be read were
 * set aside, each report and merge over one failed for ever, and nothing was missing.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TidegateError } from '../../errors/tidegate-error.js';
import { eventually } from '../../test/harness/deadline.js';
import { requires } from '../../test/harness/requires.js';
import { ChdbStore } from './chdb-store.js';
import { damagePart } from './damaged-part.fixture.js';
import { detachedParts } from './detached-parts.js';
import { insertEvents } from './insert-events.fixture.js';
import { migrate } from './migrate.js';
import { damagedPlace, isDamage } from './unreadable-parts.js';

const UUID = '0b87199c-684e-454d-b7df-20136456881c';
const FILE = `/var/lib/my data/9d7c2782-2f5a-4681-a783-fab108e015f9/store/store/0b8/${UUID}/20261122_2_2_0/data.bin`;
const READ = `(while reading from part ${FILE.slice(0, -8)} in table tidegate.events (${UUID}) located on disk default of type local, from mark 0 with max_rows_to_read = 300, offset = 0): While executing MergeTreeSequentialSource. `;

test('an error of the engine is of a damaged part only if it says that a file does not hold what was written, and in which part', () => {
  const place = { uuid: UUID, name: '20261122_2_2_0' };
  const flipped = `Checksum doesn't match: corrupted data. Reference: 15ca6f3b8bcfe83d475aeb65d91a9343. Actual: 77a312333fa3fd3538519d947291406d. Size of compressed block: 3517: While reading or decompressing ${FILE} (position: 4539, typename: DB::ReadBufferFromFilePReadWithDescriptorsCache, compressed data header: 43931ad965eb5a473de8cf8b3b6fca1590bd0d0000991c0000): (while reading column path): ${READ}`;
  assert.deepEqual(damagedPlace('40', flipped), place);
  assert.deepEqual(damagedPlace('40', flipped.replaceAll('20261122_2_2_0', '20261122_1_7_2_9')), { uuid: UUID, name: '20261122_1_7_2_9' }, 'merged and mutated');
  assert.equal(damagedPlace('40', "Checksum doesn't match: corrupted data. Reference: d2ebc8bf2703d99adb848685e859c9d2. Actual: 2163c21ddfa337ff0dd3db15600ed171. Size of compressed block: 38"), null, 'of which part it does not say');
  assert.equal(damagedPlace('33', `Cannot read all data. Bytes read: 5. Bytes expected: 9.: (at row 3): (in file/uri /var/lib/${UUID}/collector/staged.rows): While executing File`), null, 'no part of a table');
  for (const [code, why] of [
    ['107', `Cannot open file ${FILE}: , errno: 2, strerror: No such file or directory: ${READ}`],
    ['76', `Cannot open file ${FILE}: , errno: 24, strerror: Too many open files: ${READ}`],
    ['74', `Cannot read from file ${FILE}: , errno: 5, strerror: Input/output error: ${READ}`],
    ['241', `(total) memory limit exceeded: would use 3.5 GiB: (while reading column path): ${READ}`],
  ] as const) assert.equal(damagedPlace(code, why), null, why);

  assert.equal(isDamage({ is_passed: 0, message: 'Code: 40. DB::Exception: Checksum mismatch for file data.bin in data part 20261122_2_2_0 (e5eaeb2c73785552b85dc8dd30cdbaf4 vs 4e312b9457a02746b88ce171ea25cb08). (CHECKSUM_DOESNT_MATCH) (version 26.7.2.1)' }), true);
  assert.equal(isDamage({ is_passed: 0, message: `Code: 107. DB::ErrnoException: Cannot open file ${FILE}: , errno: 2, strerror: No such file or directory. (FILE_DOESNT_EXIST) (version 26.7.2.1)` }), false);
  assert.equal(isDamage({ is_passed: 1, message: '' }), false);
});

test('a part with a flipped byte is set aside by the first who reads it, or once a merge has met it; one of another table stays, and is told', { skip: requires('chdb') }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-unreadable-'));
  t.after(() => { rmSync(folder, { recursive: true, force: true }); });
  const path = join(folder, 'store');
  let store = await ChdbStore.open(path);
  await migrate(store);
  for (const table of ['events', 'traffic_minute']) await store.command(`ALTER TABLE tidegate.${table} MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1, max_bytes_to_merge_at_min_space_in_pool = 1`);
  for (let day = 21; day < 24; day++) {
    for (let piece = 0; piece < 2; piece++) await insertEvents(store, Array.from({ length: 300 }, (_, seq) => ({ seq: seq + piece * 300, ordinal: seq + piece * 300, timeMs: Date.UTC(2026, 10, day, 12) + seq, app: 'acme' })));
  }
  const partOf = async (table: string, partition: string): Promise<string> => (await store.query<{ name: string }>(
    `SELECT name FROM system.parts WHERE database = 'tidegate' AND table = '${table}' AND active AND partition_id = '${partition}' ORDER BY name LIMIT 1`))[0]?.name ?? '';
  const [read, merged, minutes] = [await partOf('events', '20261121'), await partOf('events', '20261122'), await partOf('traffic_minute', '20261123')];
  await store.close();
  for (const [table, name] of [['events', read], ['events', merged], ['traffic_minute', minutes]] as const) damagePart(path, table, name, 'data.bin flipped');

  const lines: Readonly<Record<string, unknown>>[] = [];
  const at = (level: string) => (fields: object): void => { lines.push({ level, ...fields }); };
  store = await ChdbStore.open(path, { info: at('info'), warn: at('warn'), error: at('error') });
  t.after(() => store.close());
  const sums = (partition: string): Promise<unknown[]> => store.query(`SELECT sum(cityHash64(*)) != 0 AS ok, count() AS n FROM tidegate.events WHERE _partition_id = '${partition}'`);
  const unreadable = (error: TidegateError): boolean => error.code === 'store_part_unreadable' && !error.message.includes(path);
  const told = (): unknown[] => lines.splice(0).map(({ level, code, table, part, rows, reason }) => [level, code, table, part, rows, String(reason).includes(`/${String(part)}/`)]);

  assert.deepEqual(await sums('20261123'), [{ ok: 1, n: 600 }]);
  await Promise.all([1, 2].map(() => assert.rejects(sums('20261121'), unreadable)));
  assert.deepEqual(told(), [['error', 'store_part_unreadable', 'events', read, 300, true]], 'once');
  assert.deepEqual(await sums('20261121'), [{ ok: 1, n: 300 }]);
  assert.deepEqual(await detachedParts(store), [{ table: 'events', parts: 1, names: [`broken_${read}`] }]);

  // of a merge's error nobody is told
  await store.setAsideUnreadable();
  assert.deepEqual(told(), []);
  await store.command('ALTER TABLE tidegate.events RESET SETTING max_bytes_to_merge_at_max_space_in_pool, max_bytes_to_merge_at_min_space_in_pool');
  await store.command('ALTER TABLE tidegate.events MODIFY SETTING min_age_to_force_merge_seconds = 1');
  await eventually('a merge has met the part', async () => {
    await store.setAsideUnreadable();
    return lines.length > 0 || null;
  });
  assert.deepEqual(told(), [['error', 'store_part_unreadable', 'events', merged, 300, true]]);
  assert.deepEqual(await sums('20261122'), [{ ok: 1, n: 300 }]);

  await assert.rejects(store.query("SELECT sum(cityHash64(*)) FROM tidegate.traffic_minute WHERE _partition_id = '20261123'"), unreadable);
  assert.deepEqual(told(), [['error', 'store_part_unreadable', 'traffic_minute', minutes, 1, true]]);
  assert.equal(await partOf('traffic_minute', '20261123'), minutes);
});
