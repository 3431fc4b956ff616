/** The bytes of a log, plain or gzip (told by its first bytes, not its name), in large pieces. */
import { closeSync, createReadStream, fstatSync, openSync, readSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { TidegateError } from '../../../errors/tidegate-error.js';

const PIECE_BYTES = 1024 * 1024;

export class LogBytes {
  readonly path: string;
  /** Of the file, as of its opening; what comes later is for the next import. */
  readonly size: number;
  readonly compressed: boolean;
  readonly #file: Readable & { readonly bytesRead: number };
  readonly #stream: Readable;
  readonly #pieces: AsyncIterator<Buffer>;

  private constructor(path: string, fd: number, size: number) {
    const magic = Buffer.alloc(2);
    readSync(fd, magic, 0, 2, 0);
    this.path = path;
    this.size = size;
    this.compressed = magic[0] === 0x1f && magic[1] === 0x8b;
    this.#file = createReadStream(path, { fd, start: 0, end: Math.max(0, size - 1), highWaterMark: PIECE_BYTES });
    this.#stream = this.compressed ? this.#file.pipe(createGunzip({ chunkSize: PIECE_BYTES })) : this.#file;
    if (this.#stream !== this.#file) this.#file.on('error', (error) => { this.#stream.destroy(error); });
    this.#pieces = (this.#stream as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  }

  /** @throws import_file */
  static open(path: string): LogBytes {
    let fd = -1;
    try {
      fd = openSync(path, 'r');
      const stat = fstatSync(fd);
      if (!stat.isFile()) throw Object.assign(new Error('it is no regular file'), { code: 'EINVAL' });
      return new LogBytes(path, fd, stat.size);
    } catch (cause) {
      if (fd !== -1) closeSync(fd);
      throw new TidegateError('import_file', `${path}: ${(cause as Error).message}`, { cause });
    }
  }

  /** Of the file, so far. */
  get read(): number {
    return Math.min(this.size, this.#file.bytesRead);
  }

  /** Null: the end. @throws import_file: what the file system says, and broken gzip */
  async next(): Promise<Buffer | null> {
    try {
      const piece = await this.#pieces.next();
      return piece.done === true ? null : piece.value;
    } catch (cause) {
      const { code = '', message } = cause as NodeJS.ErrnoException;
      throw new TidegateError('import_file', `${this.path}: ${code.startsWith('Z_') ? `its gzip is damaged or cut (${message})` : message}`, { cause });
    }
  }

  close(): void {
    this.#file.destroy();
    this.#stream.destroy();
  }
}
