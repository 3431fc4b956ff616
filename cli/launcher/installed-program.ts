/** The program as it is installed: the entry files of the node's processes, and whether what is installed can run this configuration. */
import { execFile } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TidegateError } from '../../errors/tidegate-error.js';

export type ProcessRole = 'supervisor' | 'worker' | 'collector';

export interface InstalledProgram {
  /** Path of the file that this process begins with. */
  entry(role: ProcessRole): string;
  /** @throws TidegateError restart_failed: it does not start, or does not take the configuration */
  check(configPath: string): Promise<void>;
}

const CHECK_WITHIN_MS = 60_000;
/** Of what `check` has printed. */
const MAX_DETAIL_LENGTH = 2000;

/**
 * Read anew at each restart: a link such as /opt/tidegate/current, by which the launcher was started, may lead to another version now.
 * @param started path by which this process was started
 */
export function installedProgram(started: string = process.argv[1] ?? ''): InstalledProgram {
  const here = fileURLToPath(import.meta.url);
  const extension = extname(here);
  const linked = linkedFolder(started, extension);
  const folder = linked ?? dirname(dirname(here));
  return {
    entry: (role) => join(folder, 'launcher', `${role}-process${extension}`),
    check: (configPath) => check(join(folder, `main${extension}`), configPath),
  };
}

/** The folder of the command line that `started` leads to; null: the process was started by something else, such as the demo. */
function linkedFolder(started: string, extension: string): string | null {
  try {
    const main = realpathSync(started);
    return existsSync(join(dirname(main), 'launcher', `worker-process${extension}`)) ? dirname(main) : null;
  } catch {
    return null;
  }
}

async function check(main: string, configPath: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    execFile(process.execPath, [...process.execArgv, main, 'check', configPath], { timeout: CHECK_WITHIN_MS, maxBuffer: 16 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (error === null) resolve();
      else reject(new TidegateError('restart_failed', `tidegate check of the installed program fails: ${`${stdout}${stderr}`.trim().slice(0, MAX_DETAIL_LENGTH) || error.message}`));
    });
  });
}
