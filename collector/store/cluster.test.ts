import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TidegateError } from '../../errors/tidegate-error.js';
import { requires } from '../../test/harness/requires.js';
import { onCluster } from './cluster.js';
import { loadMigrations, splitStatements } from './migrate.js';
import { openBackend } from './stores.fixture.js';
import { wantedTables } from './table-settings.js';

const statements = loadMigrations().flatMap(({ sql }) => splitStatements(sql));

test('a cluster gets the same tables: replicated, on every node, with the window that replicas know', () => {
  assert.equal(onCluster('CREATE DATABASE IF NOT EXISTS tidegate', 'c'), 'CREATE DATABASE IF NOT EXISTS tidegate ON CLUSTER `c`');
  assert.equal(onCluster('CREATE TABLE IF NOT EXISTS tidegate.t (a UInt8) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1', 'c-1'),
    "CREATE TABLE IF NOT EXISTS tidegate.t ON CLUSTER `c-1` (a UInt8) ENGINE = ReplicatedMergeTree('/clickhouse/tidegate/t', '{replica}') ORDER BY a "
    + 'SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800, fsync_after_insert = 1');
  assert.match(onCluster('CREATE TABLE tidegate.t (d Int8)\nENGINE = SummingMergeTree(d)\nORDER BY d', 'c'), /^CREATE TABLE tidegate\.t ON CLUSTER `c` \(d Int8\)\nENGINE = ReplicatedSummingMergeTree\('[^']+', '\{replica\}', d\)\n/);
  assert.equal(onCluster('CREATE MATERIALIZED VIEW IF NOT EXISTS tidegate.v TO tidegate.t AS SELECT 1', 'c'), 'CREATE MATERIALIZED VIEW IF NOT EXISTS tidegate.v ON CLUSTER `c` TO tidegate.t AS SELECT 1');
  assert.equal(onCluster('ALTER TABLE tidegate.t\n  ADD COLUMN a UInt8', 'c'), 'ALTER TABLE tidegate.t ON CLUSTER `c`\n  ADD COLUMN a UInt8');
  assert.equal(onCluster('DROP VIEW IF EXISTS tidegate.v', 'c'), 'DROP VIEW IF EXISTS tidegate.v ON CLUSTER `c`');
  assert.equal(onCluster('INSERT INTO tidegate.t SELECT 1', 'c'), 'INSERT INTO tidegate.t SELECT 1');
  for (const unknown of ['RENAME TABLE tidegate.a TO tidegate.b', 'CREATE TABLE other.t (a UInt8) ENGINE = MergeTree', 'OPTIMIZE TABLE tidegate.t']) {
    assert.throws(() => onCluster(unknown, 'c'), (error: TidegateError) => error.code === 'store_cluster', unknown);
  }
});

test('every migration has its form for a cluster, which ClickHouse\'s own parser takes', { skip: requires('chdb') }, async () => {
  await using opened = await openBackend('chDB');
  for (const statement of statements) {
    const [row] = await opened.store.query<{ text: string }>('SELECT formatQuerySingleLine({statement:String}) AS text', { statement: onCluster(statement, 'tide-1') });
    const text = row?.text ?? '';
    // rows: the replicas tell them each other
    if (!text.startsWith('INSERT')) assert.match(text, /ON CLUSTER `tide-1`/);
    assert.doesNotMatch(text, /non_replicated/);
    if (text.startsWith('CREATE TABLE')) assert.match(text, /ENGINE = Replicated\w*MergeTree\('\/clickhouse\/tidegate\/\w+', '\{replica\}'/);
  }
});

test('a table that an insert\'s views write to keeps its window on a cluster too', () => {
  const [one, many] = [wantedTables(loadMigrations(), null), wantedTables(loadMigrations(), 'c')];
  for (const table of ['events', 'traffic_minute', 'traffic_quarter_hour', 'coverage']) {
    assert.equal(one.find((wanted) => wanted.table === table)?.settings.get('non_replicated_deduplication_window'), 10_000, table);
    const replicated = many.find((wanted) => wanted.table === table);
    assert.equal(replicated?.settings.get('replicated_deduplication_window'), 10_000, table);
    assert.equal(replicated?.settings.get('replicated_deduplication_window_seconds'), 604_800, table);
    assert.equal(replicated?.settings.get('fsync_after_insert'), 1, table);
  }
  assert.deepEqual(many.map(({ engine }) => engine), one.map(({ engine }) => `Replicated${engine}`));
});
