/**
 * Brings the store to this version: runs the numbered files of migrations/ that it has not seen, in order. Every statement there can
 * be repeated, so a migration that was cut off is simply run again.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TidegateError } from '../../errors/tidegate-error.js';
import { onCluster } from './cluster.js';
import { refuseUnfinishedCopy } from './copy-notes.js';
import type { Store } from './store.js';

export interface Migration {
  readonly version: number;
  readonly name: string;
  readonly sql: string;
}

/**
 * The migrations that the store has not seen. Asks for no right but to read.
 * @throws store_version: the store is newer than this program; store_copy_unfinished
 */
export async function lacking(store: Store, migrations: readonly Migration[] = loadMigrations()): Promise<readonly Migration[]> {
  await refuseUnfinishedCopy(store);
  const noted = await store.query("SELECT name FROM system.tables WHERE database = 'tidegate' AND name = 'schema_migrations'");
  if (noted.length === 0) return migrations;
  const seen = await store.query<{ version: number; name: string }>('SELECT DISTINCT version, name FROM tidegate.schema_migrations ORDER BY version');
  const newest = migrations.at(-1)?.version ?? 0;
  const beyond = seen.find(({ version }) => version > newest);
  if (beyond !== undefined) throw new TidegateError('store_version', `the store is at migration ${beyond.version} (${beyond.name}), this program knows ${newest}`);
  return migrations.filter(({ version }) => !seen.some((row) => row.version === version));
}

/** @param cluster null: one server, or chDB @returns the versions that were applied now. @throws store_version; store_copy_unfinished; store_cluster */
export async function migrate(store: Store, migrations: readonly Migration[] = loadMigrations(), cluster: string | null = null): Promise<readonly number[]> {
  const lacks = await lacking(store, migrations);
  if (lacks.length === 0) return [];
  const define = (store.define ?? store.command).bind(store);
  const run = async (statement: string): Promise<void> => define(cluster === null ? statement : onCluster(statement, cluster));
  await run('CREATE DATABASE IF NOT EXISTS tidegate');
  await run(`CREATE TABLE IF NOT EXISTS tidegate.schema_migrations (version UInt32, name String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3))
    ENGINE = ReplacingMergeTree ORDER BY version SETTINGS fsync_after_insert = 1`);
  for (const { version, name, sql } of lacks) {
    for (const statement of splitStatements(sql)) await run(statement);
    await store.command('INSERT INTO tidegate.schema_migrations (version, name) SELECT {version:UInt32}, {name:String}', { version, name });
  }
  return lacks.map(({ version }) => version);
}

/** `0001_traffic.sql` and so on, in order. */
export function loadMigrations(directory: string = join(packageRoot(), 'migrations')): Migration[] {
  return readdirSync(directory).sort().flatMap((file) => {
    const match = /^(\d{4})_(.+)\.sql$/.exec(file);
    return match === null ? [] : [{ version: Number(match[1]), name: match[2] as string, sql: readFileSync(join(directory, file), 'utf8') }];
  });
}

/** Statements between semicolons; semicolons in strings, quoted names and comments do not count. */
export function splitStatements(sql: string): string[] {
  const token = /--[^\n]*|\/\*[\s\S]*?\*\/|'(?:[^'\\]|\\[\s\S]|'')*'|"(?:[^"\\]|\\[\s\S])*"|`(?:[^`\\]|\\[\s\S])*`|;|[^;'"`/-]+|[\s\S]/g;
  const statements: string[] = [];
  let current = '';
  for (const [part] of sql.matchAll(token)) {
    if (part === ';') {
      statements.push(current.trim());
      current = '';
    } else if (!part.startsWith('--') && !part.startsWith('/*')) {
      current += part;
    }
  }
  return [...statements, current.trim()].filter((statement) => statement !== '');
}

/** The sources and the compiled program lie at different depths below it. */
export function packageRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, 'package.json')) && dirname(directory) !== directory) directory = dirname(directory);
  return directory;
}
