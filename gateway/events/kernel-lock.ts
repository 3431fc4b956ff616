/**
 * Locks that the kernel holds (flock(2)): they hold across containers and PID namespaces, and end with the last process that has the descriptor, however it
 * ends. Node has no call for it: the program `flock` (util-linux, busybox) locks a descriptor that it is handed, and the lock stays with ours. Tried: 2 to 6 ms.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs';

/** `busy`: another open file holds it; `no_program`: nothing here can lock. */
export type LockAttempt = { readonly kind: 'locked' | 'busy' | 'no_program' } | { readonly kind: 'refused'; readonly reason: string };

/** A file system that does not answer is not waited for. */
const WITHIN_MS = 5000;
/** EX_USAGE of sysexits.h: another program of that name, which takes no descriptor. */
const OTHER_PROGRAM = 64;

/** Locks an open file, or changes the lock that it holds; waits for nobody. */
export function lockDescriptor(fd: number, mode: 'shared' | 'exclusive', program = 'flock'): LockAttempt {
  const { error, status, signal, stderr } = spawnSync(program, ['-n', mode === 'shared' ? '-s' : '-x', '3'], {
    stdio: ['ignore', 'ignore', 'pipe', fd], encoding: 'utf8', timeout: WITHIN_MS, killSignal: 'SIGKILL',
  });
  const code = (error as NodeJS.ErrnoException | undefined)?.code;
  if (code === 'ENOENT' || code === 'EACCES' || status === OTHER_PROGRAM) return { kind: 'no_program' };
  if (status === 0) return { kind: 'locked' };
  const said = stderr?.trim() ?? '';
  // busybox ends with 1 for a failure too, and says which
  if (status === 1 && said === '') return { kind: 'busy' };
  return { kind: 'refused', reason: said || (error?.message ?? `flock ended with ${signal ?? `exit code ${String(status)}`}`) };
}

/** The descriptor is open where it is locked; else it is closed, and -1. */
export interface OpenedLock {
  readonly fd: number;
  readonly attempt: LockAttempt;
}

/**
 * Opens the file, made where it is missing, and locks it: what has that name then is what is locked. Throws what the file system says.
 */
export function openLocked(path: string, mode: 'shared' | 'exclusive', program = 'flock'): OpenedLock {
  for (;;) {
    const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o640);
    const attempt = lockDescriptor(fd, mode, program);
    // removed, or replaced, between the two
    if (attempt.kind === 'locked' && statSync(path, { throwIfNoEntry: false })?.ino !== fstatSync(fd).ino) {
      closeSync(fd);
      continue;
    }
    if (attempt.kind === 'locked') return { fd, attempt };
    closeSync(fd);
    return { fd: -1, attempt };
  }
}

/**
 * Whether somebody holds a lock of the file; false also where it is not there, or cannot be told.
 * @param against `shared` where holders hold it exclusively: who looks is then in nobody's way
 */
export function isLocked(path: string, against: 'shared' | 'exclusive' = 'exclusive'): boolean {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDWR);
  } catch {
    return false;
  }
  try {
    return lockDescriptor(fd, against).kind === 'busy';
  } finally {
    closeSync(fd);
  }
}
