import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parquetMetadata, parquetReadObjects } from 'hyparquet';
import { packageRoot } from '../store/migrate.js';
import { PARQUET_WRITER, parquetPieces, type ParquetColumn } from './parquet.js';

interface Made { readonly index: number }
const COLUMNS: readonly ParquetColumn<Made>[] = [
  { name: 'text', type: 'text', of: ({ index }) => `row ${index} ☂` },
  { name: 'whole', type: 'integer', of: ({ index }) => (index % 2 === 0 ? -index : Number.MAX_SAFE_INTEGER - index) },
  { name: 'rarely', type: 'integer', nullable: true, of: ({ index }) => (index % 1000 === 0 ? index : null) },
  { name: 'real', type: 'real', nullable: true, of: ({ index }) => (index % 3 === 0 ? null : index / 7) },
  { name: 'flag', type: 'boolean', of: ({ index }) => index % 5 === 0 },
];

async function* made(count: number): AsyncGenerator<Made> {
  for (let index = 0; index < count; index++) yield { index };
}

async function fileOf(count: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of parquetPieces(COLUMNS, made(count))) pieces.push(piece);
  return Buffer.concat(pieces);
}
const arrayOf = (bytes: Buffer): ArrayBuffer => bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;

test('every value comes back as it went in, over several groups of rows; no rows are a file too', async () => {
  for (const count of [0, 1, 5000, 12_345]) {
    const rows = await parquetReadObjects({ file: arrayOf(await fileOf(count)) });
    assert.equal(rows.length, count);
    for (const [index, row] of rows.entries()) {
      const expected = Object.fromEntries(COLUMNS.map(({ name, type, of }) => [name, type === 'integer' && of({ index }) !== null ? BigInt(of({ index }) as number) : of({ index }) ?? undefined]));
      assert.deepEqual(Object.fromEntries(Object.entries(row).map(([name, value]) => [name, value ?? undefined])), expected);
    }
  }
});

test('the same rows are the same bytes, and the file says what wrote it', async () => {
  const [first, again] = [await fileOf(7000), await fileOf(7000)];
  assert.ok(first.equals(again));
  const { version } = JSON.parse(readFileSync(join(packageRoot(), 'node_modules', 'hyparquet-writer', 'package.json'), 'utf8')) as { version: string };
  assert.equal(PARQUET_WRITER, `hyparquet-writer ${version}`);
  assert.equal(parquetMetadata(arrayOf(first)).created_by, `tidegate (${PARQUET_WRITER})`);
});

test('a piece leaves with each group of rows: a long file is never in memory', async () => {
  let largest = 0;
  let pieces = 0;
  for await (const piece of parquetPieces(COLUMNS, made(100_000))) {
    largest = Math.max(largest, piece.length);
    pieces++;
  }
  assert.equal(pieces, 21);
  assert.ok(largest < 300_000, `${largest} bytes`);
});
