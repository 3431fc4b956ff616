/** What a store must be before anything is stored there: found at the start, and said with what to do. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ERROR_CODES, type ErrorCode } from '../../errors/codes.js';
import type { TidegateError } from '../../errors/tidegate-error.js';
import { KeptLog } from '../../gateway/events/event-samples.fixture.js';
import { TEST_USERS, TestClickHouse, type TestClickHouseOptions } from '../../test/harness/clickhouse-server.js';
import { eventually } from '../../test/harness/deadline.js';
import { requires } from '../../test/harness/requires.js';
import { freePorts } from '../../test/harness/tidegate.js';
import { checkCluster, isOlder } from './clickhouse-check.js';
import { ClickHouseStore, type ClickHouseConnection } from './clickhouse-store.js';
import { loadMigrations, migrate } from './migrate.js';
import { openStore } from './open-store.js';
import type { Store } from './store.js';
import { BACKENDS, connection, openBackend } from './stores.fixture.js';
import { checkTables, wantedTables } from './table-settings.js';

const says = (code: ErrorCode, ...words: readonly string[]) => (error: TidegateError): boolean => error.code === code && words.every((word) => error.message.includes(word));
const all = loadMigrations().map(({ version }) => version);

async function opening(clickhouse: ClickHouseConnection, signal?: AbortSignal, log = new KeptLog()): Promise<KeptLog> {
  const store = await openStore({ dataDir: '/nowhere', clickhouse, log, ...(signal === undefined ? {} : { signal }) });
  await store.close();
  return log;
}

async function withServer(options: TestClickHouseOptions, job: (server: TestClickHouse) => Promise<void>): Promise<void> {
  await using server = await TestClickHouse.start(options);
  await job(server);
}

const as = ({ name, password }: { readonly name: string; readonly password: string }): Partial<ClickHouseConnection> => ({ user: name, password });

test('a user who may is given the schema; opened again nothing changes', { skip: requires('chdb') }, async () => {
  await withServer({}, async (server) => {
    const first = await opening(connection(server.url, as(TEST_USERS.owner)));
    assert.deepEqual(first.lines.map(({ fields }) => fields), [{ migrations: all }]);
    const again = await opening(connection(server.url, as(TEST_USERS.owner)));
    assert.deepEqual(again.lines, []);
    const writer = await opening(connection(server.url, as(TEST_USERS.writer)));
    assert.deepEqual(writer.lines, [], 'who may not make tables needs to make none');
    await assert.rejects(opening(connection(server.url, as(TEST_USERS.nobody))), says('store_access', 'nobody', 'SELECT ON tidegate.*', 'INSERT ON tidegate.*', 'ALTER DELETE ON tidegate.*', 'SELECT ON system.parts'));
    await assert.rejects(opening(connection(server.url, as(TEST_USERS.reader))), says('store_access'));
    await assert.rejects(opening(connection(server.url, { user: 'owner', password: 'wrong' })), says('store_access', 'Authentication failed'));
  });
});

test('a collector that may not migrate says so, waits, and goes on when another has', { skip: requires('chdb') }, async () => {
  await withServer({}, async (server) => {
    const log = new KeptLog();
    const waiting = opening(connection(server.url, as(TEST_USERS.writer)), undefined, log);
    await eventually('the warning', () => (log.lines.length > 0 ? true : null));
    assert.deepEqual(log.lines.map(({ level, fields }) => [level, fields]), [['warn', { code: 'store_schema_old', remedy: ERROR_CODES.store_schema_old.remedy, migrations: all }]]);
    await opening(connection(server.url, as(TEST_USERS.owner)));
    await waiting;
    assert.equal(log.lines.length, 1, 'it migrated nothing itself');
  });
});

test('a wait for the schema ends when the node ends', { skip: requires('chdb') }, async () => {
  await withServer({}, async (server) => {
    const stop = new AbortController();
    const log = new KeptLog();
    const waiting = assert.rejects(opening(connection(server.url, as(TEST_USERS.writer)), stop.signal, log), says('store_schema_old'));
    await eventually('the warning', () => (log.lines.length > 0 ? true : null));
    stop.abort();
    await waiting;
  });
});

test('a server that is too old is refused before anything is made there', { skip: requires('chdb') }, async () => {
  await withServer({ version: '24.8.14.39' }, async (server) => {
    await assert.rejects(opening(connection(server.url)), says('store_old_server', '24.8.14.39', '25.3'));
    assert.deepEqual((await server.statements()).filter((text) => /^(?:CREATE|INSERT)/.test(text)), []);
  });
  assert.deepEqual(['25.2.1', '9.1', '', '25.3.2.39', '25.10.1', '26.7.2.1'].map(isOlder), [true, true, true, false, false, false]);
});

test('nobody there: it is said where', { skip: requires('chdb') }, async () => {
  const [port] = await freePorts(1) as [number];
  await assert.rejects(opening(connection(`http://127.0.0.1:${port}`)), says('store_unavailable', String(port)));
});

test('a cluster that the server does not know is refused', { skip: requires('chdb') }, async () => {
  await withServer({}, async (server) => {
    await assert.rejects(opening(connection(server.url, { cluster: 'tide' })), says('store_cluster', 'tide'));
  });
});

test('a cluster must have one shard, a name for each replica, and as many of them as the quorum', async () => {
  const check = (nodes: { shards: number; replicas: number }, macros: number, quorum: number, log = new KeptLog()): Promise<void> => {
    const query = (select: string): Promise<unknown[]> => Promise.resolve(select.includes('system.clusters') ? [nodes] : Array.from({ length: macros }, () => ({ macro: 'replica' })));
    return checkCluster({ query: query as Store['query'] }, 'tide', quorum, log);
  };
  await assert.rejects(check({ shards: 0, replicas: 0 }, 1, 0), says('store_cluster', 'no cluster tide'));
  await assert.rejects(check({ shards: 2, replicas: 4 }, 1, 0), says('store_cluster', '2 shards'));
  await assert.rejects(check({ shards: 1, replicas: 2 }, 1, 3), says('store_cluster', 'insert_quorum is 3'));
  await assert.rejects(check({ shards: 1, replicas: 2 }, 0, 2), says('store_cluster', '{replica}'));
  const log = new KeptLog();
  await check({ shards: 1, replicas: 2 }, 1, 2, log);
  assert.deepEqual(log.lines, []);
  await check({ shards: 1, replicas: 3 }, 1, 2, log);
  assert.deepEqual(log.lines.map(({ level }) => level), ['warn']);
});

test('tables of one server are not taken for a cluster\'s', { skip: requires('chdb') }, async () => {
  await using opened = await openBackend('chDB');
  await migrate(opened.store);
  await assert.rejects(checkTables(opened.store, wantedTables(loadMigrations(), 'tide')), says('store_cluster', 'tidegate.events', 'ReplicatedMergeTree'));
});

for (const backend of BACKENDS) {
  test(`${backend}: a table with too small a window, or that is not flushed, is refused with the statement that mends it`, { skip: requires('chdb') }, async () => {
    await using opened = await openBackend(backend);
    const { store } = opened;
    await migrate(store);
    const wanted = wantedTables(loadMigrations(), null);
    await checkTables(store, wanted);
    await store.command('ALTER TABLE tidegate.traffic_minute MODIFY SETTING non_replicated_deduplication_window = 100');
    await store.command('ALTER TABLE tidegate.events MODIFY SETTING fsync_after_insert = 0');
    const mend = ['ALTER TABLE tidegate.traffic_minute MODIFY SETTING non_replicated_deduplication_window = 10000', 'ALTER TABLE tidegate.events MODIFY SETTING fsync_after_insert = 1'];
    await assert.rejects(checkTables(store, wanted), says('store_settings', ...mend));
    for (const statement of mend) await store.command(statement);
    await store.command('ALTER TABLE tidegate.coverage MODIFY SETTING non_replicated_deduplication_window = 20000');
    await checkTables(store, wanted);
    await store.command('ALTER TABLE tidegate.coverage RESET SETTING fsync_part_directory');
    await assert.rejects(checkTables(store, wanted), says('store_settings', 'tidegate.coverage', 'the default'));
  });
}

test('chDB is opened the same way', { skip: requires('chdb') }, async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'tidegate-open-'));
  t.after(() => { rmSync(dataDir, { recursive: true, force: true }); });
  const log = new KeptLog();
  const store = await openStore({ dataDir, clickhouse: null, log });
  assert.ok(!(store instanceof ClickHouseStore));
  assert.deepEqual(log.lines.map(({ fields }) => fields), [{ migrations: all }]);
  await store.close();
});
