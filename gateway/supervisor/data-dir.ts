/** The data directory, made where it is missing, and held by one supervisor. */
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { TidegateError } from '../../errors/tidegate-error.js';
import { ProcessLock } from '../events/process-lock.js';
import { spoolDirOf } from './run-files.js';

/** @throws TidegateError data_dir_in_use, data_dir_unusable */
export function takeDataDir(dataDir: string): ProcessLock {
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o750 });
    makeFolder(spoolDirOf(dataDir));
  } catch (cause) {
    throw new TidegateError('data_dir_unusable', `${dataDir}: ${(cause as Error).message}`, { cause });
  }
  return ProcessLock.acquire(join(dataDir, 'supervisor.lock'));
}

/** Not `recursive`: that says ENOENT of a read-only file system. */
function makeFolder(path: string): void {
  try {
    mkdirSync(path, { mode: 0o750 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || !statSync(path).isDirectory()) throw error;
  }
}
