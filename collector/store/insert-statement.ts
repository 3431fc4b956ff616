/**
 * The one INSERT by which events come into the store, as text. Whatever decides how many blocks it makes stands in it: the same token
 * with other blocks would double everything (tried).
 */
import { EVENT_COLUMNS } from '../../gateway/events/event.js';

/** What a range's insert is made of; kept in the manifest and used again as it stands. */
export interface InsertPlan {
  /** Deduplication token: names the range. */
  readonly token: string;
  /** RowBinary columns of the staging file, as ClickHouse's `structure`. */
  readonly structure: string;
  readonly settings: Readonly<Record<string, number>>;
  /** Seqs in the file that are stored already, ends included. */
  readonly leaveOut: readonly { readonly stream: string; readonly first: number; readonly last: number }[];
}

/** Enums travel as their numbers. */
export const ROW_STRUCTURE = EVENT_COLUMNS.map(([name, type]) => `${name} ${type === 'Enum8' ? 'Int8' : type}`).join(', ');

/** More than any range has: the rows of a range are one block. */
const ONE_BLOCK_ROWS = 4_000_000;

export const INSERT_SETTINGS: InsertPlan['settings'] = {
  deduplicate_blocks_in_dependent_materialized_views: 1,
  insert_deduplicate: 1,
  async_insert: 0,
  max_block_size: ONE_BLOCK_ROWS,
  max_insert_block_size: ONE_BLOCK_ROWS,
  input_format_max_block_size_bytes: 0,
  min_insert_block_size_rows: ONE_BLOCK_ROWS,
  min_insert_block_size_bytes: 0,
  max_threads: 1,
  max_insert_threads: 1,
  parallel_view_processing: 0,
  max_partitions_per_insert_block: 0,
};

const STORED_DIFFERENTLY: Readonly<Record<string, readonly [column: string, expression: string]>> = {
  upstream_us: ['gateway_us', 'duration_us - upstream_us'],
  app: ['caller', "concat(app, '\\n', client)"],
  service: ['call', "concat(service, '\\n', route, '\\n', target)"],
};
const FOLDED: ReadonlySet<string> = new Set(['client', 'route', 'target']);

/** @param file absolute path of the staging file */
export function insertStatement(plan: InsertPlan, file: string): string {
  const columns = EVENT_COLUMNS.filter(([name]) => !FOLDED.has(name)).map(([name]) => STORED_DIFFERENTLY[name] ?? [name, name] as const);
  const settings = Object.entries(plan.settings).map(([name, value]) => `${name} = ${value}`);
  const where = plan.leaveOut.map(({ stream, first, last }) => `NOT (stream = 0x${stream} AND seq BETWEEN ${first} AND ${last})`);
  return `INSERT INTO tidegate.events (${columns.map(([column]) => column).join(', ')})`
    + ` SETTINGS insert_deduplication_token = ${quoted(plan.token)}, ${settings.join(', ')}`
    + ` SELECT ${columns.map(([, expression]) => expression).join(', ')}`
    + ` FROM file(${quoted(file)}, 'RowBinary', ${quoted(plan.structure)})`
    + (where.length === 0 ? '' : ` WHERE ${where.join(' AND ')}`);
}

const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
