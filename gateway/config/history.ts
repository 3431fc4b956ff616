/** Every change of the configuration in force: data_dir/config/history.jsonl, one JSON object a line, only ever appended to. */
import { closeSync, fstatSync, fsyncSync, mkdirSync, openSync, readSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { Change } from './diff.js';
import { isMap } from './variables.js';

export interface HistoryEntry {
  readonly version: string;
  /** RFC 3339. */
  readonly time: string;
  /** What brought it: `start`, `file`, `api`. */
  readonly source: string;
  /** Who, as far as is known: of `api` who asked, else the owner of the configuration file; '' if not known. */
  readonly author: string;
  /** At most MAX_CHANGES, values cut to what a reader can take in; `more` counts the rest. */
  readonly diff: readonly Change[];
  readonly more: number;
}

const MAX_CHANGES = 500;
/** Characters of one value's JSON. */
const MAX_VALUE = 2000;
const BLOCK = 64 * 1024;

function historyFile(dataDir: string): string {
  return join(dataDir, 'config', 'history.jsonl');
}

/** On disk when it returns. @throws TidegateError data_dir_unusable */
export function appendHistory(dataDir: string, entry: Omit<HistoryEntry, 'more'>): void {
  const path = historyFile(dataDir);
  const line: HistoryEntry = { ...entry, diff: entry.diff.slice(0, MAX_CHANGES).map(cut), more: Math.max(0, entry.diff.length - MAX_CHANGES) };
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o750 });
    const fd = openSync(path, 'a+', 0o600);
    try {
      const { size } = fstatSync(fd);
      // a line torn by a crash must not swallow this one
      const torn = size > 0 && readAt(fd, size - 1, 1)[0] !== 0x0a;
      writeSync(fd, `${torn ? '\n' : ''}${JSON.stringify(line)}\n`);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw new TidegateError('data_dir_unusable', `config/history.jsonl cannot be written: ${(error as NodeJS.ErrnoException).code ?? String(error)}`, { cause: error });
  }
}

/** Newest first, `limit` at most. Lines that are torn are passed over. Read from the end: the cost is that of what is asked for. */
export function readHistory(dataDir: string, limit = 100): HistoryEntry[] {
  let fd: number;
  try {
    fd = openSync(historyFile(dataDir), 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new TidegateError('data_dir_unusable', `config/history.jsonl cannot be read: ${(error as NodeJS.ErrnoException).code ?? String(error)}`, { cause: error });
  }
  try {
    const entries: HistoryEntry[] = [];
    let end = fstatSync(fd).size;
    /** Blocks of the line that is not whole yet, in the file's order. */
    let tail: Buffer[] = [];
    while (end > 0 && entries.length < limit) {
      const start = Math.max(0, end - BLOCK);
      let block = readAt(fd, start, end - start);
      end = start;
      for (let newline = block.lastIndexOf(0x0a); newline !== -1 && entries.length < limit; newline = block.lastIndexOf(0x0a)) {
        keep(Buffer.concat([block.subarray(newline + 1), ...tail]), entries);
        tail = [];
        block = block.subarray(0, newline);
      }
      tail.unshift(block);
    }
    if (entries.length < limit) keep(Buffer.concat(tail), entries);
    return entries;
  } finally {
    closeSync(fd);
  }
}

function keep(line: Buffer, entries: HistoryEntry[]): void {
  if (line.length === 0) return;
  try {
    const entry = JSON.parse(line.toString('utf8')) as unknown;
    if (isMap(entry) && typeof entry['version'] === 'string' && Array.isArray(entry['diff'])) entries.push(entry as unknown as HistoryEntry);
  } catch {
    // torn
  }
}

function readAt(fd: number, position: number, length: number): Buffer {
  const buffer = Buffer.alloc(length);
  return buffer.subarray(0, readSync(fd, buffer, 0, length, position));
}

function cut(change: Change): Change {
  const short = (value: unknown): unknown => {
    const json = JSON.stringify(value) ?? '';
    return json.length > MAX_VALUE ? `${json.slice(0, MAX_VALUE)}...` : value;
  };
  return {
    path: change.path,
    kind: change.kind,
    ...('before' in change ? { before: short(change.before) } : {}),
    ...('after' in change ? { after: short(change.after) } : {}),
  };
}
