/**
 * The definitions of chDB's tables, one `.sql` a table in its directory. Where the disk has no room, chDB 3.4 answers a CREATE or an ALTER with success, and the file holds nothing, or its beginning:
 * the engine that is running goes on, and the next one cannot open the store (`Empty query: Cannot parse definition from metadata file`). So each is copied before a statement changes any, looked
 * at behind it, and put back before an engine opens the directory.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { writeWhole } from '../../gateway/events/write-whole.js';
import { tableDirectories } from './table-directories.js';

/** Below the store's directory; the engine does not look there. */
const KEPT = 'definitions';

/** Before a statement that creates or alters a table. @throws what the file system throws: then nothing has changed yet */
export function keepDefinitions(storeDir: string): void {
  mkdirSync(join(storeDir, KEPT), { recursive: true, mode: 0o750 });
  for (const file of definitions(storeDir)) {
    const text = readFileSync(join(storeDir, file));
    if (!isWhole(text)) continue;
    const kept = join(storeDir, KEPT, file);
    if (existsSync(kept) && readFileSync(kept).equals(text)) continue;
    // what a power cut takes of it, the engine's own file still has
    putInPlace(kept, text, false);
  }
}

/** Those that the engine has not written whole, by their path below the store's directory. */
export function cutDefinitions(storeDir: string): readonly string[] {
  return definitions(storeDir).filter((file) => !isWhole(readFileSync(join(storeDir, file))));
}

/**
 * While no engine runs: a definition that is cut becomes what it was before, and one of which there was none goes, for its table was never in use: the statement is then made again. In a store
 * whose definitions were never kept nothing is touched.
 */
export function restoreDefinitions(storeDir: string): void {
  if (!existsSync(join(storeDir, KEPT))) return;
  for (const file of cutDefinitions(storeDir)) {
    const kept = join(storeDir, KEPT, file);
    if (existsSync(kept)) putInPlace(join(storeDir, file), readFileSync(kept), true);
    else rmSync(join(storeDir, file));
  }
}

/** The engine ends each with a line break. */
const isWhole = (text: Buffer): boolean => text.at(-1) === 0x0a;

const definitions = (storeDir: string): string[] => ['metadata', ...tableDirectories(storeDir)].flatMap((folder) => sqlFiles(storeDir, folder));

function sqlFiles(storeDir: string, folder: string): string[] {
  const path = join(storeDir, folder);
  return existsSync(path) ? readdirSync(path).filter((name) => name.endsWith('.sql')).map((name) => join(folder, name)) : [];
}

function putInPlace(path: string, bytes: Buffer, durable: boolean): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o750 });
  writeWhole(`${path}.tmp`, 'w', bytes, durable);
  renameSync(`${path}.tmp`, path);
}
