/**
 * Copies the history of a chDB store into a ClickHouse server that holds none, so that collectors go on there:
 *
 *   tables without their views -> partition by partition, insert by insert -> both sides compared -> end noted -> views
 *
 * Rows go through one file on disk, so neither side holds more than an insert of them. Each insert carries a token that names it and has the same rows each
 * time: made again, after a kill or an answer that did not come, it changes nothing. Nothing may be stored in the source meanwhile.
 */
import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { SpoolLog } from '../../gateway/events/spool-log.js';
import { checkServer, TO_MIGRATE } from './clickhouse-check.js';
import type { ClickHouseStore } from './clickhouse-store.js';
import { onCluster } from './cluster.js';
import { checkOf, chunksOf, copiedParts, copiedTables, imageOf, type CopiedPart, type CopiedTable } from './copied-tables.js';
import { CopyNotes } from './copy-notes.js';
import { INSERT_SETTINGS, quoted } from './insert-statement.js';
import { loadMigrations, migrate, splitStatements } from './migrate.js';
import type { Store } from './store.js';

export interface CopyOptions {
  readonly source: Store;
  readonly target: ClickHouseStore;
  /** Absolute; made and removed. */
  readonly file: string;
  readonly log: SpoolLog;
  /** Default: 200,000. */
  readonly rowsAnInsert?: number;
  /** Ends it after the insert under way; the same copy made again goes on there. */
  readonly signal: AbortSignal;
  readonly progress: (doneRows: number, rows: number, what: string) => void;
}

export interface TableCheck {
  readonly table: string;
  readonly rows: number;
  readonly copiedRows: number;
  /** Partitions that are not the same on both sides. */
  readonly differing: readonly string[];
}

export interface CopyResult {
  /** Made by an earlier run: nothing was done or compared now. */
  readonly already: boolean;
  readonly tables: readonly TableCheck[];
}

const ROWS_AN_INSERT = 200_000;
const TRIES = 6;
const RETRY_FROM_MS = 500;
/** Nothing of them says no. */
const AGAIN: ReadonlySet<string> = new Set(['store_unknown', 'store_unavailable', 'store_failed']);

/**
 * @returns what both sides hold. Where a table differs the end is not noted, so that no collector takes the store.
 * @throws store_copy_target; store_access; what the stores throw; AbortError
 */
export async function copyStore({ source, target, file, log, signal, progress, rowsAnInsert = ROWS_AN_INSERT }: CopyOptions): Promise<CopyResult> {
  const { mayMigrate } = await checkServer(target, log);
  const { cluster, user } = target.connection;
  if (!mayMigrate) throw new TidegateError('store_access', `the user ${user} lacks: ${TO_MIGRATE.join(' ON ')}`);
  const tables = await copiedTables(source);
  // a merge between copying and comparing may let go of what of a summed row is not summed
  for (const { table } of tables) await source.command(`SYSTEM STOP MERGES tidegate.${table}`);
  const parts: CopiedPart[] = [];
  for (const table of tables) parts.push(...await copiedParts(source, table));
  const notes = await CopyNotes.open(target, await nameOf(source, parts), cluster);
  if (notes.finished) {
    await migrate(target, loadMigrations(), cluster);
    return { already: true, tables: [] };
  }
  for (const statement of loadMigrations().flatMap(({ sql }) => splitStatements(sql))) {
    if (!/^CREATE MATERIALIZED VIEW\b/.test(statement)) await target.command(cluster === null ? statement : onCluster(statement, cluster));
  }
  const rows = parts.reduce((sum, part) => sum + part.rows, 0);
  let done = 0;
  for (const part of parts) {
    const name = partName(part);
    progress(done, rows, name);
    if (!notes.has(name)) {
      let inserts = 0;
      let copied = 0;
      for await (const chunk of chunksOf(source, part, rowsAnInsert)) {
        signal.throwIfAborted();
        await carry({ source, target, file, signal }, part, chunk.where, `copy-${name}-${++inserts}`);
        copied += chunk.rows;
        progress(done + copied, rows, name);
      }
      await notes.copied(name, part.rows);
    }
    done += part.rows;
  }
  progress(done, rows, 'comparing');
  const checks = await compare(source, target, tables, signal);
  if (checks.some(({ differing }) => differing.length > 0)) return { already: false, tables: checks };
  await notes.finish(rows);
  await migrate(target, loadMigrations(), cluster);
  return { already: false, tables: checks };
}

/** One insert: from the source to the file, from there to the target, until the target has said that it holds it. */
async function carry({ source, target, file, signal }: Pick<CopyOptions, 'source' | 'target' | 'file' | 'signal'>, { table, partition }: CopiedPart, where: string, token: string): Promise<void> {
  const structure = quoted(table.columns.map(({ name, type }) => `${name} ${type}`).join(', '));
  const columns = table.columns.map(({ name }) => name).join(', ');
  // the engine adds to a file that is there
  rmSync(file, { force: true });
  try {
    await source.command(`INSERT INTO FUNCTION file(${quoted(file)}, 'RowBinary', ${structure}) ${imageOf(table, partition, where)}`);
    const settings = [`insert_deduplication_token = ${quoted(token)}`, ...Object.entries(INSERT_SETTINGS).map(([name, value]) => `${name} = ${value}`), ...target.insertSettings];
    const insert = `INSERT INTO tidegate.${table.table} (${columns}) SETTINGS ${settings.join(', ')} SELECT ${columns} FROM input(${structure}) FORMAT RowBinary`;
    for (let tries = 1; ; tries++) {
      try {
        await target.insertBody(insert, file);
        return;
      } catch (error) {
        if (!(error instanceof TidegateError) || !AGAIN.has(error.code) || tries === TRIES) throw error;
        await pause(RETRY_FROM_MS * 2 ** (tries - 1), undefined, { signal });
      }
    }
  } finally {
    rmSync(file, { force: true });
  }
}

async function compare(source: Store, target: Store, tables: readonly CopiedTable[], signal: AbortSignal): Promise<readonly TableCheck[]> {
  const checks: TableCheck[] = [];
  for (const table of tables) {
    const partitions = new Set([...await copiedParts(source, table), ...await copiedParts(target, table)].map(({ partition }) => partition));
    let rows = 0;
    let copiedRows = 0;
    const differing: string[] = [];
    for (const partition of partitions) {
      signal.throwIfAborted();
      const [here, there] = await Promise.all([source, target].map(async (store) => (await store.query<{ rows: number; sum: string }>(checkOf(table, partition)))[0]));
      rows += here?.rows ?? 0;
      copiedRows += there?.rows ?? 0;
      if (here?.rows !== there?.rows || here?.sum !== there?.sum) differing.push(partition);
    }
    checks.push({ table: table.table, rows, copiedRows, differing });
  }
  return checks;
}

/** Names what is copied, as it stands: something that is stored there between two runs makes it another. */
async function nameOf(source: Store, parts: readonly CopiedPart[]): Promise<string> {
  const [events] = await source.query<{ id: string }>("SELECT toString(uuid) AS id FROM system.tables WHERE database = 'tidegate' AND name = 'events'");
  const held = parts.map((part) => `${partName(part)}:${part.rows}`).join('\n');
  return `${events?.id ?? ''} ${createHash('sha256').update(held).digest('hex').slice(0, 16)}`;
}

const partName = ({ table, partition }: CopiedPart): string => `${table.table}/${partition}`;
