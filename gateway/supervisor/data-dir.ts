/** The data directory, made where it is missing, and held by one supervisor. */
import { join } from 'node:path';
import { TidegateError } from '../../errors/tidegate-error.js';
import { makeFolder } from '../events/make-folder.js';
import { ProcessLock } from '../events/process-lock.js';
import { spoolDirOf } from './run-files.js';

/** @throws TidegateError data_dir_in_use, data_dir_unusable */
export function takeDataDir(dataDir: string): ProcessLock {
  try {
    makeFolder(dataDir);
    makeFolder(spoolDirOf(dataDir));
  } catch (cause) {
    throw new TidegateError('data_dir_unusable', `${dataDir}: ${(cause as Error).message}`, { cause });
  }
  return ProcessLock.acquire(join(dataDir, 'supervisor.lock'));
}
