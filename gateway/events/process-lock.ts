/**
 * A lock that says which process holds a data directory: a small file with its pid, start time and boot id. A dead holder's lock is taken over,
 * so nothing has to be cleaned up after a kill.
 */
import { linkSync, readFileSync, renameSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { TidegateError } from '../../errors/tidegate-error.js';
import { isAlive, ownIdentity, type ProcessIdentity } from './process-life.js';

export class ProcessLock {
  readonly #path: string;
  readonly #inode: number;

  private constructor(path: string, inode: number) {
    this.#path = path;
    this.#inode = inode;
  }

  /** @throws data_dir_in_use: another process lives and holds it; data_dir_unusable: the file cannot be made */
  static acquire(path: string): ProcessLock {
    const mine = `${path}.${process.pid}`;
    try {
      writeFileSync(mine, `${JSON.stringify(ownIdentity())}\n`, { mode: 0o640 });
    } catch (cause) {
      throw new TidegateError('data_dir_unusable', `${path}: ${(cause as Error).message}`, { cause });
    }
    try {
      while (!links(mine, path)) removeDead(path);
      return new ProcessLock(path, statSync(mine).ino);
    } finally {
      unlinkSync(mine);
    }
  }

  release(): void {
    if (statSync(this.#path, { throwIfNoEntry: false })?.ino === this.#inode) unlinkSync(this.#path);
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
  const holder = statSync(path, { throwIfNoEntry: false });
  if (holder === undefined) return;
  const identity = readIdentity(path);
  if (identity !== null && isAlive(identity.pid, identity.pidStart, identity.bootId)) {
    throw new TidegateError('data_dir_in_use', `${path} is held by process ${identity.pid}`);
  }
  // two may find it dead at once: it is moved first, and if what was moved is the other's new lock it is put back
  const moved = `${path}.${process.pid}.dead`;
  try {
    renameSync(path, moved);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  if (statSync(moved).ino !== holder.ino) links(moved, path);
  unlinkSync(moved);
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
