/** The control token: as configured, or made at the first start and kept in data_dir/control.token, readable by its owner only. */
import { join } from 'node:path';
import { keptSecret } from '../config/kept-secret.js';

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
  const { secret, made } = keptSecret(path, 'token');
  return { token: secret, path, made };
}
