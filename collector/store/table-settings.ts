/**
 * Whether the tables are as the migrations make them, in what keeps events from being lost or counted twice. A table that somebody made, or altered,
 * otherwise would go on and be wrong in silence after the next crash.
 */
import { TidegateError } from '../../errors/tidegate-error.js';
import { onCluster } from './cluster.js';
import { splitStatements, type Migration } from './migrate.js';
import type { Store } from './store.js';

/** More is as good. */
const MUST_REACH: ReadonlySet<string> = new Set([
  'non_replicated_deduplication_window', 'replicated_deduplication_window', 'replicated_deduplication_window_seconds', 'fsync_after_insert', 'fsync_part_directory',
]);

export interface WantedTable {
  readonly table: string;
  readonly engine: string;
  readonly settings: ReadonlyMap<string, number>;
}

/** @param cluster null: one server, or chDB */
export function wantedTables(migrations: readonly Migration[], cluster: string | null): WantedTable[] {
  return migrations.flatMap(({ sql }) => splitStatements(sql)).flatMap((statement) => {
    const text = cluster === null ? statement : onCluster(statement, cluster);
    const table = /^CREATE TABLE (?:IF NOT EXISTS )?tidegate\.([a-z_0-9]+)/.exec(text)?.[1];
    if (table === undefined) return [];
    return [{ table, engine: /\bENGINE = (\w+)/.exec(text)?.[1] ?? '', settings: settingsOf(text) }];
  });
}

/** @throws store_settings, store_cluster */
export async function checkTables(store: Store, wanted: readonly WantedTable[]): Promise<void> {
  const tables = await store.query<{ name: string; engine: string; full: string }>("SELECT name, engine, engine_full AS full FROM system.tables WHERE database = 'tidegate'");
  const faults: string[] = [];
  for (const { table, engine, settings } of wanted) {
    const there = tables.find(({ name }) => name === table);
    // a later migration may have dropped it
    if (there === undefined) continue;
    if (there.engine !== engine) throw new TidegateError('store_cluster', `tidegate.${table} is a ${there.engine}, and must be a ${engine}: the tables were made ${engine.startsWith('Replicated') ? 'without' : 'with'} store.clickhouse.cluster`);
    const has = settingsOf(there.full);
    for (const [name, value] of settings) {
      if ((has.get(name) ?? 0) < value) faults.push(`tidegate.${table} has ${name} = ${has.get(name) ?? 'the default'}: ALTER TABLE tidegate.${table} MODIFY SETTING ${name} = ${value}`);
    }
  }
  if (faults.length > 0) throw new TidegateError('store_settings', faults.join('; '));
}

/** Of those that matter. They stand last in a table's text. */
function settingsOf(text: string): Map<string, number> {
  const settings = /\bSETTINGS\s+((?:\w+ = [^,]+(?:,\s*)?)+)$/.exec(text)?.[1] ?? '';
  return new Map([...settings.matchAll(/(\w+) = (\d+)/g)].map((match): [string, number] => [match[1] as string, Number(match[2])]).filter(([name]) => MUST_REACH.has(name)));
}
