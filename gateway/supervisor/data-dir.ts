/** The data directory, made where it is missing, and held by one supervisor of one run. */
import { join } from 'node:path';
import { TidegateError } from '../../errors/tidegate-error.js';
import { makeFolder } from '../events/make-folder.js';
import { NodeLock } from '../events/node-lock.js';
import { ProcessLock } from '../events/process-lock.js';
import { spoolDirOf } from './run-files.js';

export interface HeldDataDir {
  /** null: the kernel holds no lock. */
  readonly run: string | null;
  release(): void;
}

/**
 * Two locks: by name against another supervisor that this one sees, so that it is told by its pid; by the kernel against those of other containers, who share
 * nothing with this one but the directory. The launcher holds that one for the whole run, and this process by itself too: it may outlive its launcher by a moment.
 * @throws TidegateError data_dir_in_use, data_dir_copied, data_dir_unlockable, data_dir_unusable
 */
export async function takeDataDir(dataDir: string, takeRun: (dataDir: string) => Promise<string | null>): Promise<HeldDataDir> {
  try {
    makeFolder(dataDir);
    makeFolder(spoolDirOf(dataDir));
  } catch (cause) {
    throw new TidegateError('data_dir_unusable', `${dataDir}: ${(cause as Error).message}`, { cause });
  }
  const named = ProcessLock.acquire(join(dataDir, 'supervisor.lock'));
  try {
    const run = await takeRun(dataDir);
    const share = run === null ? null : NodeLock.join(dataDir, run);
    return { run, release: () => { share?.release(); named.release(); } };
  } catch (error) {
    named.release();
    throw error;
  }
}
