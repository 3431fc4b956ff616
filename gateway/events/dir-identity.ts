/**
 * `data_dir/identity.json`: the inode and the birth time of that very file, and when a node last had the directory. A copy of the directory, a backup that was put back
 * among them, has another file: what it says of itself is then of the original, and what was answered after its `seen_at` is not in the copy. A directory that is renamed
 * or mounted elsewhere keeps its file; so does a disk's snapshot, which nobody can tell from a crash.
 *
 * The text is padded to IDENTITY_BYTES and written in place: the file stays the one that it says it is, and a full disk has room for it.
 */
import { closeSync, constants, fstatSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { flushDirectory } from './stream-state.js';
import { writeFromStart } from './write-whole.js';

export const IDENTITY_FILE = 'identity.json';
const IDENTITY_BYTES = 256;

/** Of a file. */
export interface FileIdentity {
  /** Decimal. */
  readonly inode: string;
  /** Decimal, ns; '0': the file system has none. */
  readonly birthNs: string;
}

/** Of the directory whose file it is, or, in a copy, was. */
export interface DirIdentity extends FileIdentity {
  /** ms since the epoch. */
  readonly seenMs: number;
}

/** What the file says, of whichever directory; null: there is none, or it says nothing that can be read. Throws what else the file system says. */
export function readIdentity(dataDir: string): DirIdentity | null {
  try {
    const { inode, birth_ns: birthNs, seen_at: seenAt } = JSON.parse(readFileSync(join(dataDir, IDENTITY_FILE), 'utf8')) as Record<string, unknown>;
    const seenMs = typeof seenAt === 'string' ? Date.parse(seenAt) : Number.NaN;
    return isDecimal(inode) && isDecimal(birthNs) && !Number.isNaN(seenMs) ? { inode, birthNs, seenMs } : null;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError || (error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** The file that is there, whatever it says; null: there is none. */
export function identityFile(dataDir: string): FileIdentity | null {
  const file = statSync(join(dataDir, IDENTITY_FILE), { throwIfNoEntry: false, bigint: true });
  return file === undefined ? null : { inode: String(file.ino), birthNs: String(file.birthtimeNs) };
}

/** The directory is the one that `identity` speaks of. */
export function isOf(dataDir: string, { inode, birthNs }: DirIdentity): boolean {
  const file = identityFile(dataDir);
  return file !== null && inode === file.inode && (birthNs === '0' || file.birthNs === '0' || birthNs === file.birthNs);
}

/**
 * Notes that a node has the directory now, and makes the directory its own: whose copy it was is forgotten. Throws what the file system says.
 * @param durable true: on disk when it returns; else it outlives processes, not the machine
 */
export function noteSeen(dataDir: string, seenMs: number, durable: boolean): void {
  const path = join(dataDir, IDENTITY_FILE);
  try {
    write(path, constants.O_WRONLY, seenMs, durable);
    return;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const making = `${path}.${randomBytes(4).toString('hex')}`;
  try {
    write(making, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, seenMs, true);
    renameSync(making, path);
  } catch (error) {
    rmSync(making, { force: true });
    throw error;
  }
  flushDirectory(dataDir);
}

function write(path: string, flags: number, seenMs: number, durable: boolean): void {
  const fd = openSync(path, flags, 0o640);
  try {
    const { ino, birthtimeNs } = fstatSync(fd, { bigint: true });
    const text = { inode: String(ino), birth_ns: String(birthtimeNs), seen_at: new Date(seenMs).toISOString() };
    const bytes = Buffer.from(`${JSON.stringify(text)}\n`.padEnd(IDENTITY_BYTES));
    writeFromStart(fd, bytes);
    if (durable) fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

const isDecimal = (value: unknown): value is string => typeof value === 'string' && /^\d+$/.test(value);
