/**
 * `node dist/test/bench/queries/main.js [--events N] [--folder DIR] [--keep]`: queries at size by themselves. Progress goes to stderr, the report to stdout. Started again with
 * the same --folder after Ctrl-C, or a kill, it goes on where it was. Without --keep what it has made goes at the end.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { collectorMissing } from '../collector-bench.js';
import { describeMachine, loadAverage } from '../machine.js';
import { nodeProgram } from '../peers/node-proxies.js';
import { queriesSections, type QueriesProgram } from './queries-bench.js';

const DEFAULT_EVENTS = 100_000_000;
const SAMPLES = 40;
const INTERRUPTED = 130;
const MADE = ['store', 'collector', 'spool', 'collector.lock', 'made-events.json'];

/** How a program of ours ended that was to print something. */
class ProgramEnded extends Error {
  readonly exitCode: number;

  constructor(program: string, exitCode: number) {
    super(`${program} ended with exit code ${exitCode}`);
    this.exitCode = exitCode;
  }
}

const say = (line: string): void => { console.error(`[${(performance.now() / 1000).toFixed(0).padStart(4)} s] ${line}`); };

/** Its progress is drawn on our terminal, and Ctrl-C reaches both: it ends when its insert has, and is waited for. */
function run(program: QueriesProgram, args: readonly string[]): Promise<string> {
  return new Promise((done, failed) => {
    const child = spawn(process.execPath, [...nodeProgram(import.meta.url, program), ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    const pass = (signal: NodeJS.Signals): void => { child.kill(signal); };
    process.on('SIGTERM', pass);
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => { output += text; });
    child.once('error', failed).once('close', (code, signal) => {
      process.removeListener('SIGTERM', pass);
      if (code === 0) done(output);
      else failed(new ProgramEnded(program, code ?? (signal === 'SIGINT' || signal === 'SIGTERM' ? INTERRUPTED : 1)));
    });
  });
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { events: { type: 'string', default: String(DEFAULT_EVENTS) }, folder: { type: 'string' }, keep: { type: 'boolean', default: false } } });
  const events = Number(values.events);
  if (!Number.isSafeInteger(events) || events < 1) {
    console.error(`--events takes a whole number, 1 or more, not ${values.events}`);
    return 2;
  }
  const missing = collectorMissing();
  if (missing !== null) {
    console.error(`it needs ${missing}, which is not installed`);
    return 2;
  }
  const ours = values.folder === undefined;
  const folder = values.folder === undefined ? mkdtempSync(join(tmpdir(), 'tidegate-queries-')) : resolve(values.folder);
  const remove = (): void => {
    // of a folder that was given, only what is made in it
    for (const made of ours ? [folder] : MADE.map((name) => join(folder, name))) rmSync(made, { recursive: true, force: true });
  };
  // Ctrl-C goes to the child as well, which says when it is done
  process.on('SIGINT', () => {});
  say(`load average ${loadAverage().toFixed(1)}; the store is below ${folder}`);
  try {
    const sections = await queriesSections({ events, samples: SAMPLES, cold: true }, { folder, run, say });
    console.log(`${[`${new Date().toISOString().slice(0, 10)}, ${describeMachine()}. Load average when it began: ${loadAverage().toFixed(1)}.`, ...sections].join('\n\n')}\n`);
    if (!values.keep) remove();
    return 0;
  } catch (error) {
    if (!(error instanceof ProgramEnded)) throw error;
    // one that nobody knows the name of can not be gone on with
    if (ours) remove();
    if (error.exitCode !== INTERRUPTED) say(error.message);
    return error.exitCode;
  }
}

process.exitCode = await main();
