import { fork } from 'node:child_process';
import { statSync } from 'node:fs';
import { extname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadConfig, loadConfigText } from './load.js';
import type { LoadResult } from './load.js';

/**
 * Bytes. YAML is read at about 1.3 MB a second (10,000 apps: 1.5 s): a supervisor that did so itself would answer no lease meanwhile.
 * A file below this takes some 100 ms, no more than a process needs to begin.
 */
const ASIDE_BYTES = 96 * 1024;

/** As loadConfig, but a large file is read in a process of its own: the event loop goes on, and memory that runs out is not the supervisor's. */
export async function loadConfigAside(file: string): Promise<LoadResult> {
  let size = 0;
  try {
    ({ size } = statSync(file));
  } catch {
    // loadConfig says what is wrong
  }
  return size < ASIDE_BYTES ? loadConfig(file) : await inProcess({ file });
}

/** As loadConfigText; a text of any size, as whoever asks is not trusted to send a short or a simple one. */
export async function loadTextAside(text: string, file: string): Promise<LoadResult> {
  return text.length < 4096 ? loadConfigText(text, file) : await inProcess({ file, text });
}

async function inProcess(what: { readonly file: string; readonly text?: string }): Promise<LoadResult> {
  const { file } = what;
  const here = fileURLToPath(import.meta.url);
  const child = fork(resolve(here, `../load-process${extname(here)}`), { serialization: 'advanced' });
  return new Promise<LoadResult>((settle) => {
    const failed = (why: string): void => {
      const problem = { file, line: 1, column: 1, path: '', message: `the file could not be read: ${why}`, code: 'config_unreadable' } as const;
      settle({ loaded: null, errors: [problem], warnings: [], files: [resolve(file)] });
    };
    child.once('message', (result) => { settle(result as LoadResult); });
    child.once('error', (error) => { failed(String(error)); });
    child.once('exit', (code, signal) => { failed(`its process ended with ${String(signal ?? code)}`); });
    // told by the callback alone: a child that is gone already shows as its exit
    child.send(what, () => undefined);
  });
}
