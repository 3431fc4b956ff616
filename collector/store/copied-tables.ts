/**
 * What of each table a copy of the store takes, as a SELECT that says the same on both sides however far either engine has merged its parts: rows of a table
 * that merges are taken as if it had merged them all. What the rule for a table is follows from its engine, so a table that a migration adds is copied too.
 */
import { TidegateError } from '../../errors/tidegate-error.js';
import type { Store } from './store.js';

/** Of the store itself, not of what is in it. */
const NOT_COPIED: ReadonlySet<string> = new Set(['schema_migrations', 'store_copies', 'traffic_minute_rebuilt', 'traffic_quarter_hour_rebuilt', 'events_mended', 'traffic_minute_mended']);

export interface CopiedTable {
  readonly table: string;
  readonly columns: readonly { readonly name: string; readonly type: string; readonly expression: string }[];
  /** Columns by which rows are told apart, and dealt out to inserts. */
  readonly key: readonly string[];
  readonly merges: 'nothing' | 'sums' | 'replaces';
  /** SummingMergeTree: a row of which this is 0 vanishes; '': none does. */
  readonly summed: string;
}

/** Rows of one partition. */
export interface CopiedPart {
  readonly table: CopiedTable;
  /** As in system.parts. */
  readonly partition: string;
  readonly rows: number;
}

/** What one insert takes. */
export interface Chunk {
  readonly where: string;
  /** About so many. */
  readonly rows: number;
}

/** @throws store_failed: of an engine that is not known here */
export async function copiedTables(store: Store): Promise<readonly CopiedTable[]> {
  const tables = await store.query<{ name: string; engine: string; full: string; key: string }>(
    "SELECT name, engine, engine_full AS full, sorting_key AS key FROM system.tables WHERE database = 'tidegate' AND engine LIKE '%MergeTree' ORDER BY name");
  const columns = await store.query<{ table: string; name: string; type: string }>(
    "SELECT table, name, type FROM system.columns WHERE database = 'tidegate' AND default_kind != 'ALIAS' ORDER BY table, position");
  return tables.filter(({ name }) => !NOT_COPIED.has(name)).map(({ name, engine, full, key: sorted }) => {
    const own = columns.filter(({ table }) => table === name);
    const key = sorted.split(', ');
    const plain = engine.replace(/^Replicated/, '');
    const summed = /SummingMergeTree\((?:'[^']*', )*(\w+)\)/.exec(full)?.[1] ?? '';
    const as = (expression: (column: { name: string; type: string }) => string): CopiedTable['columns'] =>
      own.map((column) => ({ name: column.name, type: plainType(column.type), expression: expression(column) }));
    switch (plain) {
      case 'MergeTree': return { table: name, key, merges: 'nothing', summed: '', columns: as((column) => `t.${column.name}`) };
      case 'ReplacingMergeTree': return { table: name, key, merges: 'replaces', summed: '', columns: as((column) => `t.${column.name}`) };
      case 'AggregatingMergeTree': return { table: name, key, merges: 'sums', summed: '', columns: as(aggregated) };
      case 'SummingMergeTree': return {
        table: name, key, merges: 'sums', summed,
        columns: as((column) => (key.includes(column.name) ? `t.${column.name}` : column.name === summed ? `sum(t.${column.name})` : `max(t.${column.name})`)),
      };
      default: throw new TidegateError('store_failed', `tidegate.${name} is a ${engine}, and it is not known how to copy one`);
    }
  });
}

/** Oldest first within a table. */
export async function copiedParts(store: Store, table: CopiedTable): Promise<readonly CopiedPart[]> {
  const partitions = await store.query<{ id: string }>("SELECT DISTINCT partition_id AS id FROM system.parts WHERE database = 'tidegate' AND table = {table:String} AND active ORDER BY id", { table: table.table });
  const parts: CopiedPart[] = [];
  for (const { id } of partitions) {
    const [row] = await store.query<{ n: number }>(`SELECT count() AS n FROM (${imageOf(table, id)})`);
    parts.push({ table, partition: id, rows: row?.n ?? 0 });
  }
  return parts;
}

/** @param where of one insert; '': all of the partition */
export function imageOf(table: CopiedTable, partition: string, where = ''): string {
  const select = table.columns.map(({ name, expression }) => `${expression} AS ${name}`).join(', ');
  const from = `FROM tidegate.${table.table} AS t${table.merges === 'replaces' ? ' FINAL' : ''} WHERE t._partition_id = '${partition}'${where === '' ? '' : ` AND ${where}`}`;
  const group = table.merges === 'sums' ? ` GROUP BY ${table.key.map((column) => `t.${column}`).join(', ')}` : '';
  const having = table.summed === '' ? '' : ` HAVING sum(t.${table.summed}) != 0`;
  return `SELECT ${select} ${from}${group}${having}`;
}

/** How many rows, and a sum over what is in all their columns. */
export function checkOf(table: CopiedTable, partition: string): string {
  const hashed = table.columns.map(({ name, type }) => (/^(?:Nullable|Map|Array)\(/.test(type) ? `ifNull(toString(i.${name}), 'NULL')` : `i.${name}`));
  return `SELECT count() AS rows, toString(sum(cityHash64(${hashed.join(', ')}))) AS sum FROM (${imageOf(table, partition)}) AS i`;
}

/**
 * The conditions that deal a partition's rows out to inserts, one after the other. They are the same each time, as long as the source does not change: an
 * insert made again has the same rows.
 * @param most rows of one insert, or a few more
 */
export async function* chunksOf(store: Store, part: CopiedPart, most: number): AsyncGenerator<Chunk> {
  const { table: { table, key, merges }, partition, rows } = part;
  if (merges !== 'nothing') {
    const chunks = Math.max(1, Math.ceil(rows / most));
    for (let chunk = 0; chunk < chunks; chunk++) yield { where: `cityHash64(${key.map((column) => `t.${column}`).join(', ')}) % ${chunks} = ${chunk}`, rows: rows / chunks };
    return;
  }
  // large: its rows lie in the order of the key, whole numbers, so that each chunk is read alone
  const columns = key.map((column) => `t.${column}`);
  for (let after: readonly string[] | null = null; ;) {
    const beyond: string = after === null ? '' : ` AND ${compared(columns, '>', after)}`;
    const [end] = await store.query<{ last: readonly string[]; n: number }>(
      `SELECT max(k) AS last, count() AS n FROM (SELECT [${columns.map((column) => `leftPad(toString(${column}), 20, '0')`).join(', ')}] AS k FROM tidegate.${table} AS t
       WHERE t._partition_id = '${partition}'${beyond} ORDER BY ${columns.join(', ')} LIMIT ${most})`);
    if (end === undefined || end.n === 0) return;
    const last = end.last.map((number) => BigInt(number).toString());
    yield { where: `${compared(columns, '<=', last)}${beyond}`, rows: end.n };
    after = last;
  }
}

/** As of tuples, in a form that the engine finds its way through the key by. */
function compared(columns: readonly string[], sign: '>' | '<=', values: readonly string[]): string {
  return columns.reduceRight((rest, column, index) => {
    const value = values[index] ?? '0';
    return rest === '' ? `${column} ${sign} ${value}` : `(${column} ${sign[0]} ${value} OR (${column} = ${value} AND ${rest}))`;
  }, '');
}

function aggregated({ name, type }: { readonly name: string; readonly type: string }): string {
  const by = /^SimpleAggregateFunction\((\w+), /.exec(type)?.[1];
  return by === undefined ? `t.${name}` : `${by}(t.${name})`;
}

/** As RowBinary carries it. */
function plainType(type: string): string {
  return type.replace(/^SimpleAggregateFunction\(\w+, (.*)\)$/, '$1').replace(/^LowCardinality\((.*)\)$/, '$1');
}
