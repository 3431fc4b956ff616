/**
 * The staging file: the rows of one range as the INSERT reads them. Of the spool's ranges it is flushed to disk before the manifest is: the spool's own
 * pages may not be there yet, and a manifest that outlives its rows (a power cut, a disk gone read-only) names an insert that nobody can make again. Kafka
 * keeps the rows of its ranges.
 */
import { closeSync, fdatasync, openSync, readFileSync, writevSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';

export interface StagedRows {
  readonly bytes: number;
  readonly crc: number;
}

/** About a megabyte, after which the event loop is let go. */
const PIECES_A_WRITE = 256;

const flushData = promisify(fdatasync);

/**
 * Writes the file anew. Throws what the file system says.
 * @param durable true: on disk when it resolves
 * @param write for tests: as writevSync, which may write less than it is given
 */
export async function writeStaging(path: string, pieces: readonly Buffer[], durable: boolean, write: (fd: number, pieces: readonly Buffer[]) => number = writevSync): Promise<StagedRows> {
  const fd = openSync(path, 'w', 0o640);
  let bytes = 0;
  let crc = 0;
  try {
    for (let i = 0; i < pieces.length; i += PIECES_A_WRITE) {
      const some = pieces.slice(i, i + PIECES_A_WRITE);
      bytes += writeAll(fd, some, write);
      for (const piece of some) crc = crc32(piece, crc);
      await nextTurn();
    }
    if (durable) await flushData(fd);
  } finally {
    closeSync(fd);
  }
  return { bytes, crc };
}

/** What a short write has left is written next: where there was no room for it, that write says so, in the system's words. @returns bytes */
function writeAll(fd: number, pieces: readonly Buffer[], write: (fd: number, pieces: readonly Buffer[]) => number): number {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  for (let written = write(fd, pieces); written < length; written += write(fd, rest(pieces, written)));
  return length;
}

/** What comes after so many bytes. */
function rest(pieces: readonly Buffer[], written: number): Buffer[] {
  let skip = written;
  return pieces.flatMap((piece) => {
    const from = Math.min(skip, piece.length);
    skip -= from;
    return from === piece.length ? [] : [piece.subarray(from)];
  });
}

/** Whether the file holds exactly those rows. */
export function isStaged(path: string, rows: StagedRows): boolean {
  try {
    const content = readFileSync(path);
    return content.length === rows.bytes && crc32(content) === rows.crc;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
