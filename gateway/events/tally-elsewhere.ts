/**
 * Where a worker keeps the tally of its dropped events while the stream's own page cannot be written: a file system that has gone read-only refuses every
 * write, and what was tallied in memory alone would be gone with the worker, and with it the word that anything is missing. It is kept below the system's
 * folder for temporary files ($TMPDIR, else /tmp), on another disk as a rule, and brought back before the stream is sealed.
 *
 *   $TMPDIR/tidegate-tally-<uid>/<stream>    the page (drop-page.ts) as far as it is filled
 */
import { existsSync, lstatSync, mkdirSync, readFileSync, renameSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeDrops, DROPS_FILE, readDrops, type StreamDrops } from './drop-page.js';
import type { SpoolLog } from './spool-log.js';
import { writeWhole } from './write-whole.js';

const tallyDir = (): string => join(tmpdir(), `tidegate-tally-${String(process.getuid?.() ?? 'user')}`);

/** Keeps the page's bytes, whole or not at all, where they outlive the kill of any process; returns the file. Throws what the file system says. */
export function keepElsewhere(stream: string, page: Buffer): string {
  const dir = tallyDir();
  mustBeOurs(dir, true);
  const path = join(dir, stream);
  writeWhole(`${path}.new`, 'w', page, false);
  renameSync(`${path}.new`, path);
  return path;
}

/** The tally is in the stream's own page, on disk. */
export function removeElsewhere(stream: string): void {
  const dir = tallyDir();
  try {
    mustBeOurs(dir, false);
    // half a copy, too, of a worker that was killed as it wrote it
    for (const name of [stream, `${stream}.new`]) rmSync(join(dir, name), { force: true });
    rmdirSync(dir);
  } catch {
    // there is none, or others' tallies are in it
  }
}

/** Puts what was kept elsewhere of a dead worker's tally into the stream's page, on disk. Throws what the file system says: call again later. */
export function bringBack(streamDir: string, stream: string, log: SpoolLog): void {
  const page = readKept(stream, log);
  if (page === null) return;
  const kept = decodeDrops(page);
  const path = join(streamDir, DROPS_FILE);
  if (kept?.stream !== stream) {
    log.error({ code: 'spool_corrupt', stream, dir: tallyDir() }, 'the tally of dropped events that was kept elsewhere cannot be read: what was dropped is not told');
  } else if (isNewer(kept, readDrops(streamDir))) {
    writeWhole(path, existsSync(path) ? 'r+' : 'w', page, true);
    log.warn({ stream, dropped: kept.rows, last_seq: kept.reachedSeq }, 'the tally of dropped events was kept elsewhere while the spool could not be written; it is brought back');
  } else {
    // it may be in memory only: what could not be flushed once another flush alone does not bring to the disk
    writeWhole(path, 'r+', readFileSync(path), true);
  }
  removeElsewhere(stream);
}

function isNewer(kept: StreamDrops, page: StreamDrops | null): boolean {
  return page === null || (kept.rows >= page.rows && (kept.rows > page.rows || kept.reachedSeq > page.reachedSeq || kept.toldSeq > page.toldSeq));
}

/** Null: there is none. In a folder that is another's nothing was kept, and nothing of it is believed. */
function readKept(stream: string, log: SpoolLog): Buffer | null {
  const dir = tallyDir();
  try {
    mustBeOurs(dir, false);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') log.warn({ err: error, stream }, 'no tally is looked for there');
    return null;
  }
  try {
    return readFileSync(join(dir, stream));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** The folder lies where everybody may write: another user's would be believed, or filled, by us. */
function mustBeOurs(dir: string, make: boolean): void {
  if (make) mkdirSync(dir, { recursive: true, mode: 0o700 });
  const stat = lstatSync(dir);
  const { uid = process.getuid?.() } = stat;
  if (!stat.isDirectory() || uid !== process.getuid?.() || (stat.mode & 0o022) !== 0) throw new Error(`${dir} is another user's`);
}
