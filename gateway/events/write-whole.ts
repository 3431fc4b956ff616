import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';

/**
 * Writes a file's bytes from its beginning, over what is there: `w` makes the file or empties it, `r+` takes one that is there and needs no room for as much as it
 * has. @param durable true: on disk when it returns. Throws what the file system says.
 */
export function writeWhole(path: string, flags: 'w' | 'r+', bytes: Buffer, durable: boolean): void {
  const fd = openSync(path, flags, 0o640);
  try {
    writeFromStart(fd, bytes);
    if (durable) fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** All of them, from the file's beginning, over what is there: a write may take less than it was given. Throws what the file system says. */
export function writeFromStart(fd: number, bytes: Buffer): void {
  for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done, bytes.length - done, done);
}
