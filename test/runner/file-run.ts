/** One test file in a process and a process group of its own. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { endProcesses, FILE_VARIABLE, leftOver } from './processes.js';
import { RESULTS_VARIABLE, type FileEnd, type TestResult } from './reporter.js';

/** Of processes whose end was ordered. */
const END_WITHIN_MS = 5_000;

export interface FileOrder {
  /** The compiled file. */
  readonly path: string;
  /** Where the tests run: the repository. */
  readonly cwd: string;
  readonly timeoutMs: number;
  /** For the tests, beside the runner's own. */
  readonly env: Readonly<Record<string, string>>;
  /** Gets what the file prints as it comes; absent: it is kept for `output`. */
  readonly live?: (text: string) => void;
}

export interface FileRun {
  readonly results: readonly TestResult[];
  /** What is wrong with the file as a whole: it did not end, ended early, left processes behind. Empty: nothing. */
  readonly faults: readonly string[];
  readonly output: string;
  readonly durationMs: number;
  readonly cpuMs: number | null;
}

/** @param signal aborted: its processes are ended, and what it has done by then is answered */
export async function runFile({ path, cwd, timeoutMs, env, live }: FileOrder, signal: AbortSignal): Promise<FileRun> {
  const begunMs = performance.now();
  const mark = randomBytes(8).toString('hex');
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-results-'));
  const results = join(folder, 'results.jsonl');
  const reporter = new URL('reporter.js', import.meta.url).href;
  const child = spawn(process.execPath, ['--enable-source-maps', `--test-reporter=${reporter}`, '--test-reporter-destination=stdout', path], {
    cwd, detached: true, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env, [RESULTS_VARIABLE]: results, [FILE_VARIABLE]: mark },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      if (live === undefined) output += text;
      else live(text);
    });
  }
  const closed = new Promise<void>((resolve) => { child.once('close', () => { resolve(); }); });
  const exit = new Promise<{ code: number | null; by: NodeJS.Signals | null }>((resolve, reject) => {
    child.once('exit', (code, by) => { resolve({ code, by }); });
    child.once('error', reject);
  });
  const group = child.pid ?? 0;
  const faults: string[] = [];
  const end = (fault: string): void => {
    faults.push(fault);
    void endProcesses(group, mark, END_WITHIN_MS);
  };
  const timer = setTimeout(() => { end(`it did not end within ${timeoutMs / 1000} s`); }, timeoutMs);
  const abort = (): void => { end('it was interrupted'); };
  signal.addEventListener('abort', abort, { once: true });
  try {
    const { code, by } = await exit;
    const left = await leftOver(group, mark, END_WITHIN_MS);
    if (left.length > 0) {
      if (faults.length === 0) faults.push(`it left processes behind:\n${left.map(({ pid, command }) => `  ${pid} ${command}`).join('\n')}`);
      await endProcesses(group, mark, END_WITHIN_MS);
    }
    await closed;
    const { tests, ended } = readResults(results);
    const failed = tests.some(({ verdict }) => verdict === 'failed');
    if (faults.length === 0) {
      if (by !== null) faults.push(`it was ended by ${by} (${constants.signals[by]})`);
      else if (code !== 0 && !failed) faults.push(`it ended with exit code ${code} though no test failed`);
      else if (tests.length === 0) faults.push('no test ran in it');
      else if (ended === null) faults.push('it ended before its tests had');
    }
    return { results: tests, faults, output, durationMs: performance.now() - begunMs, cpuMs: ended?.cpuMs ?? null };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
    rmSync(folder, { recursive: true, force: true });
  }
}

function readResults(file: string): { readonly tests: readonly TestResult[]; readonly ended: FileEnd | null } {
  let text = '';
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    // it died before its first test
  }
  const lines = text.split('\n').slice(0, -1).map((line) => JSON.parse(line) as TestResult | FileEnd);
  return { tests: lines.filter((line): line is TestResult => 'verdict' in line), ended: lines.find((line): line is FileEnd => 'end' in line) ?? null };
}
