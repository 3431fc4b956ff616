/**
 * The Parquet files that were given out, kept in the store. Parquet's bytes depend on the version of what writes them, so the first file of a selection is the
 * one that is given again, by whichever collector, and from a store that was put back, too.
 */
import { createHash } from 'node:crypto';
import { TidegateError } from '../../errors/tidegate-error.js';
import { PARQUET_WRITER } from '../reports/parquet.js';
import type { Store } from '../store/store.js';
import type { BillingEntry } from './entry.js';

/** Of one insert: as base64 it is half of what a statement may have (max_query_size, 256 KB). */
const PIECE_BYTES = 96 * 1024;

/** By the checksums of the entries, in their order. */
export async function selectionKey(pages: AsyncIterable<readonly BillingEntry[]>): Promise<string> {
  const hash = createHash('sha256');
  for await (const page of pages) for (const { checksum } of page) hash.update(`${checksum}\n`);
  return hash.digest('hex');
}

interface Kept { readonly writer: string; readonly pieces: number; readonly bytes: number; readonly sha256: string }

export class KeptFiles {
  readonly #store: Pick<Store, 'command' | 'query'>;
  readonly #writer: string;

  /** @param writer what makes files now */
  constructor(store: Pick<Store, 'command' | 'query'>, writer: string = PARQUET_WRITER) {
    this.#store = store;
    this.#writer = writer;
  }

  /**
   * The file of a selection, a piece at a time: what is kept, else what `make` makes, which is kept first.
   * @param key see selectionKey
   * @throws internal_error: what is kept is not what was put there
   */
  async *file(key: string, make: () => AsyncIterable<string | Buffer>): AsyncGenerator<Buffer> {
    // what is kept is given, also to who had it made: another collector may have been first
    const kept = await this.#first(key) ?? await this.#keep(key, make());
    const hash = createHash('sha256');
    for (let piece = 0; piece < kept.pieces; piece++) {
      const [row] = await this.#store.query<{ data: string }>(
        'SELECT any(p.data) AS data FROM tidegate.billing_file_pieces AS p WHERE p.selection = {key:String} AND p.writer = {writer:String} AND p.piece = {piece:UInt32}', { key, writer: kept.writer, piece });
      const bytes = Buffer.from(row?.data ?? '', 'base64');
      hash.update(bytes);
      // before the last piece: who reads it sees no end of a file that is damaged
      if (piece === kept.pieces - 1 && hash.copy().digest('hex') !== kept.sha256) throw new TidegateError('internal_error', `the file that is kept of the selection ${key} is damaged`);
      yield bytes;
    }
  }

  async #first(key: string): Promise<Kept | null> {
    const [row] = await this.#store.query<Kept>(
      'SELECT f.writer AS writer, f.pieces AS pieces, f.bytes AS bytes, f.sha256 AS sha256 FROM tidegate.billing_files AS f WHERE f.selection = {key:String} ORDER BY f.made_at, f.writer LIMIT 1', { key });
    return row ?? null;
  }

  async #keep(key: string, made: AsyncIterable<string | Buffer>): Promise<Kept> {
    const hash = createHash('sha256');
    let pieces = 0;
    let bytes = 0;
    let rest: Buffer = Buffer.alloc(0);
    const put = async (piece: Buffer): Promise<void> => {
      // base64 has no quote: the one value that stands in a statement's text, because a server takes no parameter of this size
      await this.#store.command(`INSERT INTO tidegate.billing_file_pieces (selection, writer, piece, data) SELECT {key:String}, {writer:String}, {piece:UInt32}, '${piece.toString('base64')}'`, { key, writer: this.#writer, piece: pieces });
      pieces += 1;
    };
    for await (const part of made) {
      const more = Buffer.from(part);
      hash.update(more);
      bytes += more.length;
      rest = Buffer.concat([rest, more]);
      for (; rest.length >= PIECE_BYTES; rest = rest.subarray(PIECE_BYTES)) await put(rest.subarray(0, PIECE_BYTES));
    }
    if (rest.length > 0) await put(rest);
    await this.#store.command('INSERT INTO tidegate.billing_files (selection, writer, pieces, bytes, sha256) SELECT {key:String}, {writer:String}, {pieces:UInt32}, {bytes:UInt64}, {sha256:String}',
      { key, writer: this.#writer, pieces, bytes, sha256: hash.digest('hex') });
    const first = await this.#first(key);
    if (first === null) throw new TidegateError('internal_error', 'the store does not have the file that was put there');
    return first;
  }
}
