/**
 * `npm run bench [-- --quick] [-- --only PART]`: Tidegate beside its peers, in one run, on one machine. Progress goes to stderr, the report
 * to stdout; a full run of the compiled program also writes it into docs/benchmarks.md. Ctrl-C ends all that it has started.
 * `npm run bench -- --against REVISION`: only this tree beside another revision of it.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os, { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { programPath } from '../harness/requires.js';
import { benchAgainst } from './against.js';
import { describeMachine, describeVersions, loadAverage } from './machine.js';
import { packageRoot } from './package-root.js';
import type { Part, PartContext } from './part.js';
import { PARTS } from './parts.js';
import { Processes } from './processes.js';
import { isQuiet } from './quiet-machine.js';
import { writeReport } from './report-file.js';
import { PROXY_CORE, REQUEST_PATH_PROGRAMS } from './request-path.js';

/** Nobody waits longer than this for a machine that cannot keep up. A full run takes under 45 minutes where nothing else runs. */
const LONGEST_MS = 70 * 60_000;

const say = (line: string): void => { console.error(`[${(performance.now() / 1000).toFixed(0).padStart(4)} s] ${line}`); };

function heading(): string {
  return `${new Date().toISOString().slice(0, 10)}, ${describeMachine()}. ${describeVersions()}. Load average when it began: ${loadAverage().toFixed(1)}.`;
}

async function bench(parts: readonly Part[], { folder, ...shared }: PartContext): Promise<string[]> {
  const sections: string[] = [];
  for (const part of parts) {
    const missing = part.missing();
    if (missing !== null) {
      sections.push(`Left out: ${part.name} (${missing} is not installed).`);
      continue;
    }
    const own = join(folder, part.name);
    mkdirSync(own);
    sections.push(...await part.run({ ...shared, folder: own }));
    // what one part has started would disturb the next
    await shared.tools.processes.stopAll();
  }
  return sections;
}

/** What the bench itself cannot do without. */
function missingTools(programs: readonly string[]): string[] {
  return [
    ...[...new Set([...programs, 'taskset'])].filter((name) => programPath(name) === null),
    ...(process.platform === 'linux' ? [] : ['Linux (it reads /proc)']),
    ...(os.cpus().length > PROXY_CORE ? [] : ['two cores']),
  ];
}

async function main(): Promise<number> {
  const { values: { quick, only, against } } = parseArgs({ options: { quick: { type: 'boolean', default: false }, only: { type: 'string', multiple: true }, against: { type: 'string' } } });
  const parts = PARTS.filter(({ name }) => only?.includes(name) ?? true);
  const unknown = only?.filter((name) => !PARTS.some((part) => part.name === name)) ?? [];
  if (unknown.length > 0) {
    console.error(`--only takes ${PARTS.map(({ name }) => name).join(', ')}, not ${unknown.join(', ')}`);
    return 2;
  }
  if (against !== undefined && only !== undefined) {
    console.error('--against measures the request path alone: leave --only away');
    return 2;
  }
  const missing = missingTools(against === undefined ? parts.flatMap(({ programs }) => programs) : REQUEST_PATH_PROGRAMS);
  if (missing.length > 0) {
    console.error(`the bench needs ${missing.join(', ')}`);
    return 2;
  }
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-bench-'));
  const processes = new Processes();
  const end = async (): Promise<void> => {
    await processes[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  };
  let interrupted = false;
  const interrupt = (why: string, exitCode: number): void => {
    if (interrupted) return;
    interrupted = true;
    say(`${why}: ending all that was started`);
    void end().finally(() => { process.exit(exitCode); });
  };
  process.on('SIGINT', () => { interrupt('SIGINT', 130); });
  process.on('SIGTERM', () => { interrupt('SIGTERM', 143); });
  setTimeout(() => { interrupt(`not done within ${LONGEST_MS / 60_000} minutes`, 1); }, LONGEST_MS).unref();
  const kept = new Map<string, string>();
  const context: PartContext = {
    size: quick ? 'quick' : 'full', folder, tools: { processes, wrk: programPath('wrk') ?? 'wrk', say }, keep: (name, content) => { kept.set(name, content); },
  };
  try {
    const quiet = await isQuiet(say);
    if (!quiet) say(`others use this machine (load average ${loadAverage().toFixed(1)}): ratios hold better than figures`);
    const began = heading();
    const sections = against === undefined ? await bench(parts, context) : await benchAgainst(against, context);
    if (!interrupted) {
      const report = `${[began, ...sections.filter((section) => section !== '')].join('\n\n')}\n`;
      console.log(report);
      const ofRecord = quiet && !quick && only === undefined && against === undefined && fileURLToPath(import.meta.url).endsWith('.js');
      if (ofRecord) {
        const docs = join(packageRoot(), 'docs');
        writeReport(join(docs, 'benchmarks.md'), report);
        for (const [name, content] of kept) writeFileSync(join(docs, name), content);
      } else {
        say('docs/benchmarks.md is left as it is: that takes a full run of the compiled program on a quiet machine');
      }
    }
  } catch (error) {
    // what an interrupted run still stumbles over is not worth a word
    if (!interrupted) throw error;
  } finally {
    if (!interrupted) await end();
  }
  // interrupted: the process exits once everything has ended
  return interrupted ? new Promise<number>(() => {}) : 0;
}

process.exitCode = await main();
