import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestClickHouse, TEST_USERS } from '../../test/harness/clickhouse-server.js';
import { requires } from '../../test/harness/requires.js';
import { ClickHouseStore } from '../store/clickhouse-store.js';
import { migrate } from '../store/migrate.js';
import type { Store } from '../store/store.js';
import { connection, folderOf, stageRange } from '../store/stores.fixture.js';
import { StoreWatch } from './store-watch.js';

const DAY = Date.UTC(2026, 10, 22);

let nowMs = 1000;

interface Line { readonly level: string; readonly code?: string; readonly missing?: number; readonly days?: readonly string[]; readonly detached?: unknown; readonly detail?: string }

function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => undefined;
  return { promise: new Promise<void>((done) => { resolve = done; }), resolve: () => { resolve(); } };
}

function watching(store: Pick<Store, 'query'>): { readonly watch: StoreWatch; readonly lines: Line[] } {
  const lines: Line[] = [];
  const at = (level: string) => (fields: object): void => { lines.push({ level, ...fields }); };
  return { lines, watch: new StoreWatch(store, { info: at('info'), warn: at('warn'), error: at('error') }, () => nowMs) };
}

test('rows that go, and parts that are set aside, are logged when that changes; a user who may not see such parts is warned of once, and sees the rows', { skip: requires('chdb') }, async (t) => {
  await using server = await TestClickHouse.start();
  const folder = folderOf(t);
  const store = new ClickHouseStore(connection(server.url));
  const { name: user, password } = TEST_USERS.writer;
  const writer = new ClickHouseStore(connection(server.url, { user, password }));
  t.after(async () => { await store.close(); await writer.close(); });
  await migrate(store);
  await store.command('ALTER TABLE tidegate.events MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1, max_bytes_to_merge_at_min_space_in_pool = 1');
  for (const [stream, rows] of [['00000000000000aa', 300], ['00000000000000bb', 100]] as const) {
    const { plan, file } = stageRange(folder, stream, 0, rows, (seq) => DAY + seq);
    await store.insertRows(plan, file);
  }
  const [part] = await store.query<{ name: string }>('SELECT _part AS name FROM tidegate.events WHERE stream = 0xaa LIMIT 1');
  const name = part?.name ?? '';
  const all = watching(store);
  const less = watching(writer);

  assert.equal(all.watch.found, null);
  await Promise.all([all.watch.look(), all.watch.look()]);
  assert.deepEqual([all.watch.found, all.lines], [{ lookedMs: nowMs, rowsMissing: [], detached: [] }, []]);

  await store.command(`ALTER TABLE tidegate.events DETACH PART '${name}'`);
  for (let looks = 0; looks < 2; looks++) await all.watch.look();
  assert.deepEqual(all.watch.found, { lookedMs: nowMs, rowsMissing: [{ day: '2026-11-22', rows: 300 }], detached: [{ table: 'events', parts: 1, names: [name] }] });
  assert.deepEqual(all.lines.splice(0).map(({ level, code, missing, days, detached }) => [level, code, missing ?? detached, days]), [
    ['error', 'stored_rows_missing', 300, ['2026-11-22: 300']],
    ['warn', 'store_parts_detached', [{ table: 'events', parts: 1, names: [name] }], undefined],
  ], 'once');

  for (let looks = 0; looks < 2; looks++) await less.watch.look();
  assert.deepEqual(less.watch.found, { lookedMs: nowMs, rowsMissing: [{ day: '2026-11-22', rows: 300 }], detached: null });
  assert.deepEqual(less.lines.splice(0).map(({ level, code }) => [level, code]), [['warn', 'store_access'], ['error', 'stored_rows_missing']], 'each once');

  await store.command(`ALTER TABLE tidegate.events ATTACH PART '${name}'`);
  for (let looks = 0; looks < 2; looks++) await all.watch.look();
  assert.deepEqual([all.watch.found, all.lines.splice(0)], [{ lookedMs: nowMs, rowsMissing: [], detached: [] }, [{ level: 'info', days: ['2026-11-22'] }]]);

  // of days before the record, which begins now
  await store.command("INSERT INTO tidegate.record_starts (record, since) SELECT 'stored_days', toDateTime64('2100-01-01', 3, 'UTC')");
  await store.command("INSERT INTO tidegate.stored_days (day, stream, rows, requests) SELECT '2100-01-05', 0x0c, 7, 7");
  const busy = watching({ query: (select, params) => store.query(select.includes('tidegate.coverage ') ? select.replace('max_execution_time', 'max_rows_to_read = 1, max_execution_time') : select, params) });
  for (let looks = 0; looks < 2; looks++) await busy.watch.look();
  assert.deepEqual(busy.watch.found, { lookedMs: null, rowsMissing: [{ day: '2100-01-05', rows: 7 }], detached: [] }, 'what was compared is told, and not that all was');
  assert.deepEqual(busy.lines.map(({ level, code }) => [level, code]), [['warn', undefined], ['error', 'stored_rows_missing']], 'each once');

  const asked = deferred();
  const answer = deferred();
  let statements = 0;
  const stopped = watching({ query: async (select, params) => { statements++; asked.resolve(); await answer.promise; return store.query(select, params); } });
  const look = stopped.watch.look();
  await asked.promise;
  await stopped.watch.stop();
  await look;
  answer.resolve();
  await stopped.watch.look();
  assert.deepEqual([stopped.watch.found, stopped.lines, statements], [null, [], 1], 'a stop waits for no look');
  await store.command("ALTER TABLE tidegate.stored_days DELETE WHERE stream = 0x0c SETTINGS mutations_sync = 1");

  await server[Symbol.asyncDispose]();
  nowMs = 2000;
  for (let looks = 0; looks < 2; looks++) await all.watch.look();
  assert.deepEqual([all.watch.found, all.lines.map(({ level }) => level)], [{ lookedMs: 1000, rowsMissing: [], detached: [] }, ['warn']], 'while the store is away, what it said last stands');
});
