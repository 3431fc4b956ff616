/** The key that clients' addresses are hashed with. */
import { join } from 'node:path';
import { keptSecret } from './kept-secret.js';
import type { LoadedConfig } from './load.js';
import { secretOf } from './secrets.js';

/**
 * `privacy.key`, or the data directory's own, which is made where there is none.
 * @returns null: nothing is hashed. @throws TidegateError data_dir_unusable
 */
export function clientKey({ config: { privacy: { client, key } }, secrets, dataDir }: Pick<LoadedConfig, 'config' | 'secrets' | 'dataDir'>): string | null {
  if (client !== 'hash') return null;
  if (key !== undefined && key !== '') return secretOf(key, secrets);
  return keptSecret(join(dataDir, 'client.key'), 'key').secret;
}
