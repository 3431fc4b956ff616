/** The control token: as configured, or made at the first start and kept in data_dir/control.token, readable by its owner only. */
import { randomBytes } from 'node:crypto';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TidegateError } from '../../errors/tidegate-error.js';

export interface ControlToken {
  readonly token: string;
  /** Where it is kept; null: it is the configuration's. */
  readonly path: string | null;
  /** It was made now: its place is to be said. */
  readonly made: boolean;
}

export function tokenPath(dataDir: string): string {
  return join(dataDir, 'control.token');
}

/**
 * @param configured `control.token`, variables and `file:` resolved
 * @throws TidegateError data_dir_unusable
 */
export function controlToken(configured: string | undefined, dataDir: string): ControlToken {
  if (configured !== undefined && configured !== '') return { token: configured, path: null, made: false };
  const path = tokenPath(dataDir);
  try {
    const made = writeNew(path);
    // also where a copy or a restore has widened it
    chmodSync(path, 0o600);
    const token = readFileSync(path, 'utf8').trim();
    if (!/^[\x21-\x7e]{16,}$/.test(token)) throw new TidegateError('data_dir_unusable', `${path} holds no token of 16 or more visible characters: delete it, and one is made`);
    return { token, path, made };
  } catch (error) {
    if (error instanceof TidegateError) throw error;
    throw new TidegateError('data_dir_unusable', `${path}: ${(error as NodeJS.ErrnoException).code ?? String(error)}`, { cause: error });
  }
}

/** False: there is one. 256 random bits. */
function writeNew(path: string): boolean {
  try {
    writeFileSync(path, `${randomBytes(32).toString('base64url')}\n`, { flag: 'wx', mode: 0o600 });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}
