/**
 * Makes the events, in a process of its own: one chDB directory, one process. Arguments: folder, events, and rows of a range where it is
 * not to be the collector's own number. Progress goes to stderr, what it took to stdout as one line of JSON. SIGINT and SIGTERM end it after the insert under way (exit 130); started again it goes on.
 */
import { resolve } from 'node:path';
import { copyProgress } from '../../../cli/render/progress.js';
import { standardError } from '../../../cli/render/terminal.js';
import { DEFAULT_LIMITS } from '../../../collector/log/picked-rows.js';
import { makeStore } from './made-store.js';

const [folder, events, rowsARange] = [resolve(process.argv[2] as string), Number(process.argv[3]), Number(process.argv[4] ?? DEFAULT_LIMITS.rows)];
const stopped = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => { stopped.abort(); });
const progress = copyProgress(standardError(), process.stderr.isTTY, () => Date.now());
try {
  const times = await makeStore({ folder, events, rowsARange, signal: stopped.signal, progress: progress.show });
  progress.end();
  console.log(JSON.stringify(times));
} catch (error) {
  progress.end();
  console.error(stopped.signal.aborted ? 'Stopped. What is made stays; started again with the same folder, it goes on from there.' : (error as Error).message);
  process.exitCode = stopped.signal.aborted ? 130 : 1;
}
