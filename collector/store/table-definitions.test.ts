import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { requires } from '../../test/harness/requires.js';
import { SmallDisk } from '../../test/harness/small-disk.js';
import { ChdbStore } from './chdb-store.js';
import { insertEvents } from './insert-events.fixture.js';
import { loadMigrations, migrate } from './migrate.js';
import { cutDefinitions } from './table-definitions.js';

test('a disk without room while the store is brought to a newer version costs no table: the next start goes on from where it was', { skip: requires('chdb', 'root', 'linux'), timeout: 120_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-definitions-'));
  t.after(() => { rmSync(folder, { recursive: true, force: true }); });
  using disk = SmallDisk.mount(join(folder, 'disk'), 64);
  const path = join(disk.path, 'store');
  const all = loadMigrations();
  // the first of these two alters events, the other creates a table
  const older = all.filter(({ version }) => version < 12);
  let store = await ChdbStore.open(path);
  await migrate(store, older);
  await store.command("INSERT INTO tidegate.record_starts (record, since) VALUES ('test', now())");
  disk.fill();
  await assert.rejects(migrate(store), { code: 'store_failed' });
  assert.ok(cutDefinitions(path).some((file) => file.endsWith('/events.sql')), 'the engine has emptied it, and said that all is well');
  await store.close();
  disk.makeRoom();
  store = await ChdbStore.open(path);
  assert.deepEqual(cutDefinitions(path), []);
  assert.deepEqual(await migrate(store), [12, 13]);
  await insertEvents(store, [{}, {}]);
  assert.deepEqual(await store.query("SELECT (SELECT count() FROM tidegate.events) AS events, (SELECT count() FROM tidegate.record_starts WHERE record = 'test') AS kept"), [{ events: 2, kept: 1 }]);
  await store.close();
});
