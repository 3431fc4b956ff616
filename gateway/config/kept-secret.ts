/** A secret that the configuration does not give: made at the first start, kept in the data directory, readable by its owner only. */
import { randomBytes } from 'node:crypto';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { TidegateError } from '../../errors/tidegate-error.js';

export interface KeptSecret {
  readonly secret: string;
  /** It was made now. */
  readonly made: boolean;
}

/** @param what it is, for the error @throws TidegateError data_dir_unusable */
export function keptSecret(path: string, what: string): KeptSecret {
  try {
    const made = writeNew(path);
    // also where a copy or a restore has widened it
    chmodSync(path, 0o600);
    const secret = readFileSync(path, 'utf8').trim();
    if (!/^[\x21-\x7e]{16,}$/.test(secret)) throw new TidegateError('data_dir_unusable', `${path} holds no ${what} of 16 or more visible characters: delete it, and one is made`);
    return { secret, made };
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
