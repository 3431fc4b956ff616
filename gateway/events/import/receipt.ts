/**
 * What is known of a log that was imported: how much of it is in the spool, or went from there. Kept per stream, so that a file that grew adds its tail only and what
 * was read before is read once more, not written:
 *
 *   data_dir/imports/<stream>.json
 *
 * Without it everything would be written again, and left out by the collector as stored.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TidegateError } from '../../../errors/tidegate-error.js';
import { makeFolder } from '../make-folder.js';
import { flushDirectory } from '../stream-state.js';

export interface Receipt {
  readonly format: 1;
  /** As it was given, at last. */
  readonly file: string;
  readonly service: string;
  readonly app: string;
  /** Bytes of whole lines, uncompressed, that are accounted for; and their SHA-256. */
  readonly bytes: number;
  readonly sha256: string;
  /** Lines in them, and rows made of these. */
  readonly lines: number;
  readonly rows: number;
  /** SHA-256 of what follows them to the file's end, a line without an end, if it was taken as a row; '': it was not. */
  readonly cut: string;
  /** The last segment that was written. */
  readonly segment: number;
  /** RFC 3339 */
  readonly at: string;
}

export const importsDir = (dataDir: string): string => join(dataDir, 'imports');
/** Locked by the kernel while an import writes the stream. */
export const importLockFile = (dataDir: string, stream: string): string => join(importsDir(dataDir), `${stream}.held`);

/** Null: nothing was imported. @throws data_dir_unusable: there is one, and it cannot be read */
export function readReceipt(dataDir: string, stream: string): Receipt | null {
  const path = join(importsDir(dataDir), `${stream}.json`);
  try {
    const receipt = JSON.parse(readFileSync(path, 'utf8')) as Partial<Receipt>;
    const { format, bytes, lines, rows, segment, sha256, cut } = receipt;
    const sound = format === 1 && [bytes, lines, rows, segment].every((value) => Number.isSafeInteger(value)) && typeof sha256 === 'string' && typeof cut === 'string';
    if (!sound) throw new Error('it is no receipt of this version');
    return receipt as Receipt;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new TidegateError('data_dir_unusable', `${path}: ${(cause as Error).message}`, { cause });
  }
}

/** On disk when it returns. @throws data_dir_unusable */
export function writeReceipt(dataDir: string, stream: string, receipt: Receipt): void {
  const path = join(importsDir(dataDir), `${stream}.json`);
  try {
    makeFolder(importsDir(dataDir));
    const fd = openSync(`${path}.tmp`, 'w', 0o640);
    try {
      writeFileSync(fd, `${JSON.stringify(receipt)}\n`);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(`${path}.tmp`, path);
    flushDirectory(importsDir(dataDir));
  } catch (cause) {
    throw new TidegateError('data_dir_unusable', `${path}: ${(cause as Error).message}`, { cause });
  }
}
