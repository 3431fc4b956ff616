/** A store that another version of the program has written: an older one is brought to this version as it stands, a newer one is left alone. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TidegateError } from '../../errors/tidegate-error.js';
import { requires } from '../../test/harness/requires.js';
import { ChdbStore } from './chdb-store.js';
import { loadMigrations, migrate } from './migrate.js';
import { openStore } from './open-store.js';
import type { Store } from './store.js';
import { eachOnce, stageRange, storedRows } from './stores.fixture.js';

const log = { info: () => undefined, warn: () => undefined, error: () => undefined };
const STREAM = '0123456789abcdef';

test('a store of the first version is migrated when it is opened and keeps what it holds; one of a later version is refused and stays as it is', { skip: requires('chdb') }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-upgrade-'));
  t.after(() => { rmSync(folder, { recursive: true, force: true }); });
  const raw = async (use: (store: Store) => Promise<void>): Promise<void> => {
    const store = await ChdbStore.open(join(folder, 'store'));
    await use(store);
    await store.close();
  };
  const known = loadMigrations();
  await raw(async (store) => {
    assert.deepEqual(await migrate(store, known.slice(0, 1)), [1]);
    const { plan, file } = stageRange(folder, STREAM, 0, 300, undefined, 1);
    await store.insertRows(plan, file);
    await store.command(`INSERT INTO tidegate.streams (stream, node, worker, opened_at, last_seq, proven, noted_at) SELECT 0x${STREAM}, 'n', 1, fromUnixTimestamp(1795260000), 299, true, fromUnixTimestamp(1795260300)`);
    await store.command("INSERT INTO tidegate.quarantine (stream, segment, from_offset, to_offset, reason, file) SELECT 1, 2, 3, 4, 'checksum', 'f'");
  });

  const store = await openStore({ dataDir: folder, clickhouse: null, log });
  assert.deepEqual(await storedRows(store), eachOnce(300));
  assert.deepEqual(await store.query('SELECT log, instance, last_seq, toUnixTimestamp(marked_at) AS marked FROM tidegate.streams FINAL'), [{ log: '', instance: '', last_seq: 299, marked: 1_795_260_300 }]);
  assert.deepEqual(await store.query('SELECT log, reason, replayed_at FROM tidegate.quarantine FINAL'), [{ log: '', reason: 'checksum', replayed_at: null }]);
  // the same insert again is still recognised, and what is new is counted
  for (const [first, rows, version] of [[0, 300, 1], [300, 100, 2]] as const) {
    const { plan, file } = stageRange(folder, STREAM, first, rows, undefined, version);
    await store.insertRows(plan, file);
  }
  assert.deepEqual(await storedRows(store), eachOnce(400));
  await store.close();

  const all = 'SELECT name, total_rows FROM system.tables WHERE database = \'tidegate\' ORDER BY name';
  let before: unknown;
  await raw(async (later) => {
    await migrate(later, [...known, { version: 9999, name: 'from_the_future', sql: 'CREATE TABLE IF NOT EXISTS tidegate.of_the_future (x UInt8) ENGINE = MergeTree ORDER BY x' }]);
    before = await later.query(all);
  });
  await assert.rejects(openStore({ dataDir: folder, clickhouse: null, log }), (error: TidegateError) => error.code === 'store_version' && error.message.includes('9999 (from_the_future)'));
  await raw(async (later) => {
    assert.deepEqual(await later.query(all), before);
    assert.deepEqual(await storedRows(later), eachOnce(400));
  });
});
