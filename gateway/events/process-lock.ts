/**
 * A lock that says which process holds a data directory: a small file with its pid, start time and boot id. A dead holder's lock is taken over,
 * so nothing has to be cleaned up after a kill.
 */
import { linkSync, readFileSync, renameSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { TidegateError } from '../../errors/tidegate-error.js';
import { isAlive, ownIdentity, type ProcessIdentity } from './process-life.js';

/** Always as long, so that one can be written over another. */
const LOCK_BYTES = 256;

export class ProcessLock {
  readonly #path: string;
  readonly #inode: number;

  private constructor(path: string, inode: number) {
    this.#path = path;
    this.#inode = inode;
  }

  /** @throws data_dir_in_use: another process lives and holds it; data_dir_unusable: the file cannot be made */
  static acquire(path: string): ProcessLock {
    // not by the pid: in another container it is another process's too
    const mine = `${path}.${randomUUID()}`;
    try {
      writeMine(mine, path);
      while (!links(mine, path)) removeDead(path);
      return new ProcessLock(path, statSync(mine).ino);
    } catch (cause) {
      throw cause instanceof TidegateError ? cause : new TidegateError('data_dir_unusable', `${path}: ${(cause as Error).message}`, { cause });
    } finally {
      rmSync(mine, { force: true });
    }
  }

  release(): void {
    if (statSync(this.#path, { throwIfNoEntry: false })?.ino === this.#inode) unlinkSync(this.#path);
  }
}

/** On a disk without room the dead holder's file is written over. Throws what the file system says. */
function writeMine(mine: string, path: string): void {
  const text = `${JSON.stringify(ownIdentity())}\n`.padEnd(LOCK_BYTES);
  try {
    writeFileSync(mine, text, { mode: 0o640 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOSPC' && code !== 'EDQUOT') throw error;
    const dead = moveDead(path);
    if (dead === null) throw error;
    renameSync(dead, mine);
    writeFileSync(mine, text, { flag: 'r+' });
  }
}

/** A link is made whole or not at all, so nobody reads half a lock. False: there is one. */
function links(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function removeDead(path: string): void {
  const dead = moveDead(path);
  if (dead !== null) unlinkSync(dead);
}

/**
 * Takes a dead holder's lock away from its path; answers where it is now, null if there was none.
 * @throws data_dir_in_use: its holder lives
 */
function moveDead(path: string): string | null {
  const holder = statSync(path, { throwIfNoEntry: false });
  if (holder === undefined) return null;
  const identity = readIdentity(path);
  if (identity !== null && isAlive(identity.pid, identity.pidStart, identity.bootId)) {
    throw new TidegateError('data_dir_in_use', `${path} is held by process ${identity.pid}`);
  }
  // two may find it dead at once: it is moved first, and if what was moved is the other's new lock it is put back
  const moved = `${path}.${randomUUID()}.dead`;
  try {
    renameSync(path, moved);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  if (statSync(moved).ino === holder.ino) return moved;
  links(moved, path);
  unlinkSync(moved);
  return null;
}

/** Null: not a lock of ours (a power cut can leave it empty): nobody holds it. */
function readIdentity(path: string): ProcessIdentity | null {
  try {
    const { pid, pidStart, bootId } = JSON.parse(readFileSync(path, 'utf8')) as Partial<ProcessIdentity>;
    return typeof pid === 'number' ? { pid, pidStart: pidStart ?? null, bootId: bootId ?? null } : null;
  } catch {
    return null;
  }
}
