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

/** Writes the file anew. @param durable true: on disk when it resolves. Throws what the file system says. */
export async function writeStaging(path: string, pieces: readonly Buffer[], durable: boolean): Promise<StagedRows> {
  const fd = openSync(path, 'w', 0o640);
  let bytes = 0;
  let crc = 0;
  try {
    for (let i = 0; i < pieces.length; i += PIECES_A_WRITE) {
      const some = pieces.slice(i, i + PIECES_A_WRITE);
      const length = some.reduce((sum, piece) => sum + piece.length, 0);
      const written = writevSync(fd, some);
      // regular files are written short only when the disk is full; the next write says so
      if (written !== length) throw Object.assign(new Error(`${path}: wrote ${written} of ${length} bytes`), { code: 'ENOSPC' });
      bytes += length;
      for (const piece of some) crc = crc32(piece, crc);
      await nextTurn();
    }
    if (durable) await flushData(fd);
  } finally {
    closeSync(fd);
  }
  return { bytes, crc };
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
