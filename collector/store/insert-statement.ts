/**
 * The one INSERT by which events come into the store, as text. Whatever decides how many blocks it makes stands in it: the same token
 * with other blocks would double everything (tried).
 */
import { columnsOf, ROW_VERSION, type RowVersion } from '../../gateway/events/event.js';

/** What a range's insert is made of; kept in the manifest and used again as it stands. */
export interface InsertPlan {
  /** Deduplication token: names the range. */
  readonly token: string;
  /** RowBinary columns of the staging file, as ClickHouse's `structure`. */
  readonly structure: string;
  readonly settings: Readonly<Record<string, number>>;
  /** Rows a second of each stream within the range: seq is stored as what it differs from the end that this lets expect. Any number gives the same seq back. */
  readonly paces: readonly { readonly stream: string; readonly rowsASecond: number }[];
  /** Seqs in the file that are stored already, ends included. */
  readonly leaveOut: readonly { readonly stream: string; readonly first: number; readonly last: number }[];
}

/** Enums travel as their numbers. */
const structureOf = (version: RowVersion): string => columnsOf(version).map(([name, type]) => `${name} ${type === 'Enum8' ? 'Int8' : type}`).join(', ');
export const ROW_STRUCTURES: Readonly<Record<RowVersion, string>> = { 1: structureOf(1), 2: structureOf(2) };

/** Of the rows in a plan's staging file. */
export const rowVersionOf = ({ structure }: Pick<InsertPlan, 'structure'>): RowVersion => (structure === ROW_STRUCTURES[1] ? 1 : ROW_VERSION);

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

/** How far the end came from where the stream's pace puts it. Wraps around below 0; its sign then goes into the lowest bit, so that small stays small. */
const SEQ_OFF = 'toUInt64(seq - ordinal - intDiv(duration_us * row_pace, 1000000))';

/** Column of the table -> what of the row it is made of. The table's ALIAS columns are the way back. */
const STORED_DIFFERENTLY: Readonly<Record<string, readonly (readonly [column: string, expression: string])[]>> = {
  seq: [['pace', 'row_pace'], ['seq_off', `bitXor(bitShiftLeft(${SEQ_OFF}, 1), toUInt64(0) - bitShiftRight(${SEQ_OFF}, 63))`]],
  upstream_us: [['gateway_us', 'duration_us - upstream_us']],
  bytes_in: [['bytes_in_low', 'toUInt8(bitAnd(bytes_in, 255))'], ['bytes_in_high', 'bitShiftRight(bytes_in, 8)']],
  bytes_out: [['bytes_out_low', 'toUInt8(bitAnd(bytes_out, 255))'], ['bytes_out_high', 'bitShiftRight(bytes_out, 8)']],
  status: [['verdict', `reinterpretAsFixedString(${packed([['status', 16], ['outcome', 8], ['protocol', 8], ['kind', 8], ['attempts', 8], ['requests', 1], ['counted', 1], ['billable', 1]])})`]],
  app: [['caller', "concat(app, '\\n', client)"]],
  service: [['call', "concat(service, '\\n', route, '\\n', target, '\\n', toString(method))"]],
};
const FOLDED: ReadonlySet<string> = new Set(['client', 'route', 'target', 'method', 'outcome', 'protocol', 'kind', 'attempts', 'requests', 'counted', 'billable']);

const storedOf = (version: RowVersion): readonly (readonly [column: string, expression: string])[] =>
  columnsOf(version).filter(([name]) => !FOLDED.has(name)).flatMap(([name]) => STORED_DIFFERENTLY[name] ?? [[name, name] as const]);

/** @param file absolute path of the staging file, which the engine reads itself */
export function insertFromFile(plan: InsertPlan, file: string, notAfterMs?: number): string {
  return insertPlanned(plan, `file(${quoted(file)}, 'RowBinary', ${quoted(plan.structure)})`, notAfterMs, []);
}

/** The same rows, sent as the request's body. @param more settings that do not decide how many blocks there are: a quorum, say */
export function insertFromBody(plan: InsertPlan, notAfterMs?: number, more: readonly string[] = []): string {
  return `${insertPlanned(plan, `input(${quoted(plan.structure)})`, notAfterMs, more)} FORMAT RowBinary`;
}

/** Of the same rows those of one day, put beside the table, where no view sees them. @param day partition, such as 20261121 @param token of this insert */
export function insertDayFromFile(plan: InsertPlan, file: string, day: string, token: string): string {
  return insertDay({ ...plan, token }, `file(${quoted(file)}, 'RowBinary', ${quoted(plan.structure)})`, day, []);
}

/** The same, sent as the request's body. */
export function insertDayFromBody(plan: InsertPlan, day: string, token: string, more: readonly string[]): string {
  return `${insertDay({ ...plan, token }, `input(${quoted(plan.structure)})`, day, more)} FORMAT RowBinary`;
}

function insertDay(plan: InsertPlan, source: string, day: string, more: readonly string[]): string {
  return insertPlanned(plan, source, undefined, more, { table: 'events_mended', where: `toYYYYMMDD(time) = ${day}` });
}

function insertPlanned(plan: InsertPlan, source: string, notAfterMs: number | undefined, more: readonly string[], into: { readonly table: string; readonly where?: string } = { table: 'events' }): string {
  const settings = Object.entries(plan.settings).map(([name, value]) => `${name} = ${value}`);
  const where = [
    ...(into.where === undefined ? [] : [into.where]),
    ...(notAfterMs === undefined ? [] : [`throwIf(now() > toDateTime(${Math.floor(notAfterMs / 1000)}), 'begun after its deadline') = 0`]),
    ...plan.leaveOut.map(({ stream, first, last }) => `NOT (stream = 0x${stream} AND seq BETWEEN ${first} AND ${last})`),
  ];
  return insertSelect(source, plan.paces, [`insert_deduplication_token = ${quoted(plan.token)}`, ...settings, ...more], into.table, rowVersionOf(plan)) + (where.length === 0 ? '' : ` WHERE ${where.join(' AND ')}`);
}

/** @param source what has the columns of rows of that version, enums as their numbers; the table's others are left to their defaults */
export function insertSelect(source: string, paces: InsertPlan['paces'], settings: readonly string[] = [], table = 'events', version: RowVersion = ROW_VERSION): string {
  const stored = storedOf(version);
  const pace = paces.length === 0 ? 'toUInt32(0)'
    : `transform(stream, [${paces.map(({ stream }) => `toUInt64(0x${stream})`).join(', ')}], [${paces.map(({ rowsASecond }) => `toUInt32(${rowsASecond})`).join(', ')}], toUInt32(0))`;
  return `INSERT INTO tidegate.${table} (${stored.map(([column]) => column).join(', ')})${settings.length === 0 ? '' : ` SETTINGS ${settings.join(', ')}`}`
    + ` WITH ${pace} AS row_pace SELECT ${stored.map(([, expression]) => expression).join(', ')} FROM ${source}`;
}

/** Bit fields of one UInt64, the first in the lowest bits. */
function packed(fields: readonly (readonly [column: string, bits: number])[]): string {
  let shift = 0;
  const parts = fields.map(([column, bits]) => {
    const part = `bitShiftLeft(toUInt64(${column}), ${shift})`;
    shift += bits;
    return part;
  });
  return parts.reduce((sum, part) => `bitOr(${sum}, ${part})`);
}

/** A string as ClickHouse's SQL has it. */
export const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
