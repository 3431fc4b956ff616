/**
 * Takes back the tokens of inserts that the engine was killed in. A MergeTree notes the token of a block in its `deduplication_logs` before it moves the
 * block's part into place (MergeTreeSink::finishDelayedChunk): killed between the two it knows the token and has not the rows, and the same insert made
 * again would change nothing. Only for a store whose engine is not running.
 *
 * Such a part is the last that its table has noted, for both steps are taken under one lock, and no part there has its number or a later one. A part
 * that was merged is covered by another; in place of one that a rebuild has replaced stand newer ones; one that was dropped is noted as dropped.
 */
import { appendFileSync, closeSync, existsSync, fdatasyncSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { subfolders, tableDirectories } from './table-directories.js';

const LOGS = 'deduplication_logs';
/** Of a line of the log: `operation \t part \t token`. */
const [ADDED, DROPPED] = ['1', '2'];
/** `<partition>_<first block>_<last block>_<level>`, and the version of a mutation. */
const PART = /^(.+)_(\d+)_(\d+)_\d+(?:_\d+)?$/;

/** @param path the store's directory: an insert that is made again then stores what its first attempt had not */
export function takeBackUnfinished(path: string): void {
  for (const table of tableDirectories(path)) takeBack(join(path, table));
}

function takeBack(table: string): void {
  const last = lastLine(join(table, LOGS));
  if (last === null) return;
  const [operation, part = '', token = ''] = last.line.split('\t');
  const noted = PART.exec(part);
  if (operation !== ADDED || noted === null) return;
  const newest = Math.max(...subfolders(table).map((name) => Number(PART.exec(name)?.[3] ?? -1)));
  if (newest >= Number(noted[3])) return;
  const file = openSync(last.file, 'a');
  try {
    appendFileSync(file, `${DROPPED}\t${part}\t${token}\n`);
    fdatasyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Of the newest log that has one. */
function lastLine(folder: string): { readonly file: string; readonly line: string } | null {
  if (!existsSync(folder)) return null;
  const number = (name: string): number => Number(/(\d+)\.txt$/.exec(name)?.[1] ?? -1);
  for (const name of readdirSync(folder).sort((a, b) => number(b) - number(a))) {
    const file = join(folder, name);
    const line = readFileSync(file, 'utf8').trimEnd().split('\n').at(-1);
    if (line !== undefined && line !== '') return { file, line };
  }
  return null;
}
