import { closeSync, constants, fstatSync, openSync, readSync, statSync } from 'node:fs';

/** `code`: the system's, or null where what is there is not for reading; `why`: in words, without the path. */
export type BoundedRead =
  | { readonly bytes: Buffer }
  | { readonly bytes: null; readonly code: string | null; readonly why: string };

/**
 * The bytes of a regular file of at most `maxBytes`. A path out of a configuration may lead anywhere: a device is not opened (to open one can do something),
 * a FIFO that nobody writes to is not waited for, and what has no size of its own (/proc) is read no further than the bound.
 */
export function readBounded(path: string, maxBytes: number): BoundedRead {
  let fd: number | null = null;
  try {
    if (!statSync(path).isFile()) return notAFile(path);
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    const stat = fstatSync(fd);
    // another may have taken its name meanwhile
    if (!stat.isFile()) return notAFile(path);
    return stat.size > maxBytes ? tooLarge(maxBytes) : readAtMost(fd, stat.size, maxBytes);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    return { bytes: null, code, why: code === 'ENOENT' ? 'there is no such file' : `the file cannot be read: ${code}` };
  } finally {
    if (fd !== null) closeSync(fd);
  }
}

function readAtMost(fd: number, size: number, maxBytes: number): BoundedRead {
  const pieces: Buffer[] = [];
  let total = 0;
  for (;;) {
    // one byte more than is said to be there: the read that finds the end
    const piece = Buffer.allocUnsafe(Math.max(4096, size - total + 1));
    const read = readSync(fd, piece, 0, piece.length, null);
    if (read === 0) return { bytes: Buffer.concat(pieces, total) };
    total += read;
    if (total > maxBytes) return tooLarge(maxBytes);
    pieces.push(piece.subarray(0, read));
  }
}

function notAFile(path: string): BoundedRead {
  return statSync(path).isDirectory() ? { bytes: null, code: 'EISDIR', why: 'is a folder' } : { bytes: null, code: null, why: 'is not a regular file' };
}

function tooLarge(maxBytes: number): BoundedRead {
  return { bytes: null, code: null, why: `is larger than ${maxBytes} bytes` };
}
