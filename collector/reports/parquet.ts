/**
 * Rows as a Parquet file, a row group in memory at a time. The file is a function of the rows, of the columns and of the writer's version, which it names.
 */
import { ByteWriter, ParquetWriter } from 'hyparquet-writer';

/** As `created_by` in the file's footer. The version is pinned in package.json: another one may make other bytes of the same rows (parquet.test.ts). */
export const PARQUET_WRITER = 'hyparquet-writer 0.17.0';

/** `integer`: 64 bits, signed; `real`: 64 bits. */
export type ParquetType = 'text' | 'integer' | 'real' | 'boolean';

export interface ParquetColumn<Row> {
  readonly name: string;
  readonly type: ParquetType;
  readonly nullable?: true;
  /** Null only where the column is nullable. */
  readonly of: (row: Row) => string | number | boolean | null;
}

/** Rows of a group: of 20 columns, some milliseconds of work and a megabyte. */
const GROUP_ROWS = 5000;

const TYPES = {
  text: { type: 'BYTE_ARRAY', converted_type: 'UTF8' }, integer: { type: 'INT64' }, real: { type: 'DOUBLE' }, boolean: { type: 'BOOLEAN' },
} as const satisfies Record<ParquetType, object>;

/** Bytes that are written are taken away, row group by row group. */
class TakenBytes extends ByteWriter {
  take(): Buffer {
    const bytes = Buffer.from(this.getBuffer());
    this.index = 0;
    return bytes;
  }
}

/** The file, in pieces. */
export async function* parquetPieces<Row>(columns: readonly ParquetColumn<Row>[], rows: AsyncIterable<Row>): AsyncGenerator<Buffer> {
  const bytes = new TakenBytes();
  const writer = new ParquetWriter({
    writer: bytes, createdBy: `tidegate (${PARQUET_WRITER})`,
    schema: [
      { name: 'root', num_children: columns.length },
      ...columns.map(({ name, type, nullable }) => ({ name, ...TYPES[type], repetition_type: nullable === true ? 'OPTIONAL' as const : 'REQUIRED' as const })),
    ],
  });
  let group: Row[] = [];
  const write = async (): Promise<Buffer> => {
    await writer.write({ rowGroupSize: GROUP_ROWS, columnData: columns.map(({ name, type, of }) => ({ name, offsetIndex: false, data: group.map((row) => valueOf(type, of(row))) })) });
    group = [];
    return bytes.take();
  };
  for await (const row of rows) {
    group.push(row);
    if (group.length === GROUP_ROWS) yield await write();
  }
  if (group.length > 0) yield await write();
  await writer.finish();
  yield bytes.take();
}

const valueOf = (type: ParquetType, value: string | number | boolean | null): string | number | bigint | boolean | null => (type === 'integer' && typeof value === 'number' ? BigInt(value) : value);
