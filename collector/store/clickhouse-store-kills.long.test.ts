/** A server that dies under an insert. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ErrorCode } from '../../errors/codes.js';
import type { TidegateError } from '../../errors/tidegate-error.js';
import { TestClickHouse, type Fault } from '../../test/harness/clickhouse-server.js';
import { requires } from '../../test/harness/requires.js';
import { ClickHouseStore } from './clickhouse-store.js';
import { migrate } from './migrate.js';
import { connection, eachOnce, folderOf, stageRange, storedRows } from './stores.fixture.js';

const code = (wanted: ErrorCode) => (error: TidegateError): boolean => error.code === wanted;
const STREAM = '00000000000000bb';
const INSERT = '^INSERT INTO tidegate\\.events';

test('a server killed before, within and after an insert: the same insert again is exact', { skip: requires('chdb') }, async (t) => {
  await using server = await TestClickHouse.start();
  const store = new ClickHouseStore(connection(server.url));
  t.after(() => store.close());
  const folder = folderOf(t);
  await migrate(store);
  const kills: readonly Fault[] = [
    { kind: 'kill', at: 'before' }, { kind: 'kill', at: 'after' },
    ...[1, 4, 8, 15, 25, 40].map((ms): Fault => ({ kind: 'kill', at: 'during', ms })),
  ];
  let rows = 0;
  for (const kill of kills) {
    await server.faults({ ...kill, statement: INSERT, times: 1 });
    const range = stageRange(folder, STREAM, rows, 5000);
    const begunMs = Date.now();
    await assert.rejects(store.insertRows(range.plan, range.file), code('store_unknown'), JSON.stringify(kill));
    await assert.rejects(store.query('SELECT 1'), code('store_unavailable'));
    await assert.rejects(store.insertRows(range.plan, range.file), code('store_unavailable'), 'nobody listens: it was not begun');
    await server.restart();
    await store.insertRows(range.plan, range.file, undefined, begunMs);
    assert.deepEqual(await storedRows(store), eachOnce(rows += 5000), JSON.stringify(kill));
  }
});
