/**
 * Who has a data directory: `data_dir/node.lock`, locked by the kernel. A start takes it alone, writes its run id into it, and shares it with the processes of its
 * own run; it is free when the last of them has ended. Who holds it knows: streams of other run ids have no writer any more.
 *
 * The text is padded to LOCK_BYTES and written in place: a disk without room can be started on, and the file that is locked stays the one of that name.
 */
import { closeSync, fsyncSync, readFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { TidegateError } from '../../errors/tidegate-error.js';
import { isOf, readIdentity } from './dir-identity.js';
import { isLocked, lockDescriptor, openLocked, type LockAttempt } from './kernel-lock.js';
import { isAlive, ownIdentity, pidNamespace, type ProcessIdentity } from './process-life.js';
import { writeFromStart } from './write-whole.js';

export const NODE_LOCK = 'node.lock';
const LOCK_BYTES = 4096;
/** A holder that was killed leaves the lock when its children have ended, too; whether one elsewhere was, cannot be seen. */
const WAIT_MS = 10_000;
const WAIT_ELSEWHERE_MS = 3000;
const LOOK_EVERY_MS = 50;

interface LockText extends ProcessIdentity {
  readonly run: string;
  readonly pidNamespace: string | null;
  readonly host: string;
  /** Absolute, as the holder sees it. */
  readonly dataDir: string;
}

export interface NodeLockOptions {
  /** Of the locking program; for tests. */
  readonly program?: string;
  readonly waitMs?: number;
}

export class NodeLock {
  /** 16 hexadecimal digits; null: nothing is locked, because the program `flock` is missing. */
  readonly run: string | null;
  /** Children inherit it; -1: there is none. */
  readonly fd: number;

  private constructor(run: string | null, fd: number) {
    this.run = run;
    this.fd = fd;
  }

  /**
   * Takes it for a new run. A holder that is not seen to live (its launcher was killed, or is in another PID namespace) is waited for.
   * @throws data_dir_in_use; data_dir_copied: the directory is a copy of one whose node runs; data_dir_unlockable; data_dir_unusable
   */
  static async take(dataDir: string, { program, waitMs }: NodeLockOptions = {}): Promise<NodeLock> {
    const path = join(dataDir, NODE_LOCK);
    const began = performance.now();
    for (;;) {
      const { fd, attempt } = failing(path, () => openLocked(path, 'exclusive', program));
      if (attempt.kind === 'locked') return NodeLock.#begin(path, dataDir, fd, program);
      if (attempt.kind === 'no_program') return new NodeLock(null, -1);
      mustNotBeRefused(path, attempt);
      const holder = readText(path);
      const mostMs = waitMs ?? (holder === null || holder.pidNamespace === pidNamespace() ? WAIT_MS : WAIT_ELSEWHERE_MS);
      if (performance.now() - began >= mostMs || (holder !== null && isAlive(holder.pid, holder.pidStart, holder.bootId))) throw inUse(path, holder);
      await pause(LOOK_EVERY_MS);
    }
  }

  /**
   * Takes a share of the lock of this run, for this process alone: its launcher may die first.
   * @throws data_dir_in_use: another run has it; data_dir_unlockable; data_dir_unusable
   */
  static join(dataDir: string, run: string): NodeLock {
    const path = join(dataDir, NODE_LOCK);
    const { fd, attempt } = failing(path, () => openLocked(path, 'shared'));
    mustBeLocked(path, attempt);
    const text = readText(path);
    if (text?.run === run) return new NodeLock(run, fd);
    closeSync(fd);
    throw inUse(path, text);
  }

  /** Gives up this process's share; heirs of the descriptor keep theirs. */
  release(): void {
    if (this.fd !== -1) closeSync(this.fd);
  }

  /** Of a lock that is held alone: checks whose directory it is, and writes this run's name. Closes the descriptor where it throws. */
  static #begin(path: string, dataDir: string, fd: number, program: string | undefined): NodeLock {
    try {
      mustBeTheOriginal(path, dataDir);
      const run = randomBytes(8).toString('hex');
      failing(path, () => { writeText(fd, run, dataDir); });
      // who takes it between the two has it, and writes a name of its own
      mustBeLocked(path, lockDescriptor(fd, 'shared', program));
      if (readText(path)?.run !== run) throw inUse(path, readText(path));
      return new NodeLock(run, fd);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }
}

/**
 * Two nodes of one spool would ship the same streams to different ends.
 * @throws data_dir_copied
 */
function mustBeTheOriginal(path: string, dataDir: string): void {
  const text = readText(path);
  const identity = readIdentity(dataDir);
  if (text === null || identity === null || isOf(dataDir, identity)) return;
  const there = join(text.dataDir, NODE_LOCK);
  const runs = isAlive(text.pid, text.pidStart, text.bootId) || (isOf(text.dataDir, identity) && isLocked(there));
  if (runs) throw new TidegateError('data_dir_copied', `${path} is a copy of ${there}, and a node runs on that`);
}

function writeText(fd: number, run: string, dataDir: string): void {
  const text: LockText = { run, ...ownIdentity(), pidNamespace: pidNamespace(), host: hostname(), dataDir };
  const bytes = Buffer.from(`${JSON.stringify(text)}\n`.padEnd(LOCK_BYTES));
  writeFromStart(fd, bytes);
  fsyncSync(fd);
}

/** Null: nobody has written one, or not whole. */
function readText(path: string): LockText | null {
  try {
    const text = JSON.parse(readFileSync(path, 'utf8')) as Partial<LockText> | null;
    return typeof text?.run === 'string' && typeof text.pid === 'number' && typeof text.dataDir === 'string' ? text as LockText : null;
  } catch {
    return null;
  }
}

function mustBeLocked(path: string, attempt: LockAttempt): void {
  mustNotBeRefused(path, attempt);
  if (attempt.kind === 'busy') throw inUse(path, readText(path));
  // it was there a moment ago
  if (attempt.kind === 'no_program') throw new TidegateError('data_dir_unlockable', `${path}: the program flock cannot be run any more`);
}

function mustNotBeRefused(path: string, attempt: LockAttempt): void {
  if (attempt.kind === 'refused') throw new TidegateError('data_dir_unlockable', `${path}: ${attempt.reason}`);
}

function inUse(path: string, holder: LockText | null): TidegateError {
  if (holder === null) return new TidegateError('data_dir_in_use', `${path} is held by another process`);
  const elsewhere = holder.pidNamespace === pidNamespace() ? '' : ', in another container or PID namespace';
  return new TidegateError('data_dir_in_use', `${path} is held by the node whose launcher is process ${holder.pid} of ${holder.host}${elsewhere}`);
}

function failing<T>(path: string, job: () => T): T {
  try {
    return job();
  } catch (cause) {
    throw cause instanceof TidegateError ? cause : new TidegateError('data_dir_unusable', `${path}: ${(cause as Error).message}`, { cause });
  }
}
