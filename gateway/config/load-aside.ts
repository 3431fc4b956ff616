import { statSync } from 'node:fs';
import { extname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runAside } from './aside.js';
import { loadConfig, loadConfigText } from './load.js';
import type { LoadResult } from './load.js';

/**
 * Bytes. YAML is read at about 1.3 MB a second (10,000 apps: 1.5 s): a supervisor that did so itself would answer no lease meanwhile.
 * A file below this takes some 100 ms, no more than a process needs to begin.
 */
const ASIDE_BYTES = 96 * 1024;
/** The largest that is read at all takes about a minute. */
const TIME_LIMIT_MS = 300_000;

/** As loadConfig, but a large file is read in a process of its own. */
export async function loadConfigAside(file: string): Promise<LoadResult> {
  let size = 0;
  try {
    ({ size } = statSync(file));
  } catch {
    // loadConfig says what is wrong
  }
  return size < ASIDE_BYTES ? loadConfig(file) : await inProcess({ file });
}

/** As loadConfigText, for a text of the node's own: a large one is read in a process of its own. */
export async function loadTextAside(text: string, file: string): Promise<LoadResult> {
  return text.length < ASIDE_BYTES ? loadConfigText(text, file) : await inProcess({ file, text });
}

async function inProcess(what: { readonly file: string; readonly text?: string }): Promise<LoadResult> {
  const { file } = what;
  const here = fileURLToPath(import.meta.url);
  const end = await runAside<LoadResult>(resolve(here, `../load-process${extname(here)}`), what, { timeLimitMs: TIME_LIMIT_MS });
  if ('answer' in end) return end.answer;
  const problem = { file, line: 1, column: 1, path: '', message: `the file could not be read: ${end.why}`, code: 'config_unreadable' } as const;
  return { loaded: null, errors: [problem], warnings: [], files: [resolve(file)] };
}
