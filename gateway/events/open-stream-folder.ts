/** A stream's folder has its name when everything in it is whole: until then it is called `opening-…`, and whoever scans the spool passes over it. */
import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { OPENING_PREFIX } from './spool.js';
import { flushDirectory } from './stream-state.js';

/**
 * Makes a stream's folder, has it filled, and gives it its name. Throws what the file system says, and leaves nothing behind: half a stream takes room that nobody has.
 * @param fill what is in it @param as its name at the end @param opening its name until then, after the prefix: one of its own where two may make the same stream at once
 */
export function openStreamFolder<T>(spoolDir: string, stream: string, fill: (dir: string) => T, { as = stream, opening = stream }: { readonly as?: string; readonly opening?: string } = {}): T {
  const dir = join(spoolDir, OPENING_PREFIX + opening);
  mkdirSync(dir, { mode: 0o750 });
  try {
    const filled = fill(dir);
    flushDirectory(dir);
    renameSync(dir, join(spoolDir, as));
    return filled;
  } catch (error) {
    rmSync(dir, { recursive: true, force: true });
    throw error;
  }
}
