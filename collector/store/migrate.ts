/**
 * Brings the store to this version: runs the numbered files of migrations/ that it has not seen, in order. Every statement there can
 * be repeated, so a migration that was cut off is simply run again.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { Store } from './store.js';

export interface Migration {
  readonly version: number;
  readonly name: string;
  readonly sql: string;
}

/** @returns the versions that were applied now. @throws store_version: the store is newer than this program */
export async function migrate(store: Store, migrations: readonly Migration[] = loadMigrations()): Promise<readonly number[]> {
  await store.command('CREATE DATABASE IF NOT EXISTS tidegate');
  await store.command(`CREATE TABLE IF NOT EXISTS tidegate.schema_migrations (version UInt32, name String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3))
    ENGINE = ReplacingMergeTree ORDER BY version SETTINGS fsync_after_insert = 1`);
  const seen = await store.query<{ version: number; name: string }>('SELECT DISTINCT version, name FROM tidegate.schema_migrations ORDER BY version');
  const newest = migrations.at(-1)?.version ?? 0;
  const beyond = seen.find(({ version }) => version > newest);
  if (beyond !== undefined) throw new TidegateError('store_version', `the store is at migration ${beyond.version} (${beyond.name}), this program knows ${newest}`);
  const applied: number[] = [];
  for (const { version, name, sql } of migrations) {
    if (seen.some((row) => row.version === version)) continue;
    for (const statement of splitStatements(sql)) await store.command(statement);
    await store.command('INSERT INTO tidegate.schema_migrations (version, name) SELECT {version:UInt32}, {name:String}', { version, name });
    applied.push(version);
  }
  return applied;
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
function packageRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, 'package.json')) && dirname(directory) !== directory) directory = dirname(directory);
  return directory;
}
