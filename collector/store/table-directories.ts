/** chDB's own folders below the store's directory. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** `store/<first three digits>/<uuid>`: a table's parts, or a database's definitions. By their path below the store's directory. */
export function tableDirectories(storeDir: string): string[] {
  return subfolders(join(storeDir, 'store')).flatMap((group) => subfolders(join(storeDir, 'store', group)).map((uuid) => join('store', group, uuid)));
}

/** Their names; none where the folder is not there. */
export const subfolders = (folder: string): string[] =>
  (existsSync(folder) ? readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => name) : []);
