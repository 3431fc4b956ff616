/**
 * Runs the compiled tests: `node dist/test/run.js [--long | --all] [--lint] [house|unit|collector|conformance|e2e|faults]…`; no group: all of them.
 *
 * Without --long and --all the short files: those that are not named *.long.test.ts. Every test file belongs to exactly one group by its folder; one that belongs to
 * none fails the run, so that no test is forgotten. Files run in an order that TEST_SEED gives, several at once, each in a process of its own.
 */
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { portRange } from './harness/ports.js';
import { runFile, type FileRun } from './runner/file-run.js';
import { findTestFiles, GROUP_NAMES, sourceOf, type TestFile } from './runner/groups.js';
import { inOrder, seedFrom } from './runner/order.js';
import { runQueue, type Job } from './runner/queue.js';
import { closingLine, countsOf, failures, leftOut, seconds, skips, slowest, type Ran } from './runner/summary.js';

const dist = dirname(dirname(fileURLToPath(import.meta.url)));
const root = dirname(dist);

/** Half of the files wait for a store, a process or a time-out most of the time. */
const PLACES = Math.min(8, Math.max(4, 2 * availableParallelism()));

async function main(): Promise<number> {
  const { values: wanted, positionals: groups } = parseArgs({
    allowPositionals: true, options: { long: { type: 'boolean', default: false }, all: { type: 'boolean', default: false }, lint: { type: 'boolean', default: false } },
  });
  const unknown = groups.find((name) => !GROUP_NAMES.some((known) => known === name));
  if (unknown !== undefined) throw new Error(`unknown group '${unknown}': ${GROUP_NAMES.join(', ')}`);
  const seed = seedFrom(process.env['TEST_SEED']);
  const { files, strays, stale } = findTestFiles(dist, root);
  if (strays.length > 0) {
    console.error(`No group takes these test files; move them, or add their folder to test/runner/groups.ts:\n  ${strays.map(sourceOf).join('\n  ')}`);
    return 1;
  }
  if (stale.length > 0) console.log(`not run, because their sources are gone: ${stale.length} compiled test files, as ${join('dist', stale[0] ?? '')}`);
  const ofGroups = files.filter(({ group }) => groups.length === 0 || groups.includes(group.name));
  const chosen = inOrder(ofGroups.filter(({ long }) => wanted.all || long === wanted.long), seed);
  console.log(`${chosen.length} test files, ${PLACES} places, seed ${seed} (this order again: TEST_SEED=${seed})`);

  const interrupted = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => { interrupted.abort(); });
  const ran: Ran[] = [];
  let lintFailed = false;
  const jobs: Job[] = [
    ...(wanted.lint ? [{ places: 1, run: async () => { lintFailed = !await lint(interrupted.signal); } }] : []),
    ...chosen.map((file): Job => ({
      places: file.group.places === 'all' ? PLACES : file.group.places,
      run: async (place) => { ran.push({ file, run: await runAndTell(file, place, interrupted.signal) }); },
    })),
  ];
  const begunMs = performance.now();
  await runQueue(jobs, PLACES, () => interrupted.signal.aborted);

  const counts = countsOf(ran);
  const notAsked = wanted.all || wanted.long ? [] : ofGroups.filter(({ long }) => long);
  for (const told of [slowest(ran), ...leftOut(notAsked), ...skips(ran), ...failures(ran)]) console.log(`\n${told}`);
  const faults = [
    ...(interrupted.signal.aborted ? ['interrupted'] : []),
    ...(lintFailed ? ['the linter found faults: npm run lint'] : []),
    ...(chosen.length === 0 ? ['no test ran'] : []),
    ...(process.env['TEST_REQUIRE'] === 'all' && counts.skipped > 0 ? [`TEST_REQUIRE=all, and ${counts.skipped} tests were skipped`] : []),
  ];
  for (const fault of faults) console.error(`\n${fault}`);
  console.log(`\n${ran.length} of ${chosen.length} files in ${seconds(performance.now() - begunMs)} s, seed ${seed}`);
  console.log(closingLine(counts));
  return faults.length > 0 || counts.failed > 0 ? 1 : 0;
}

async function runAndTell(file: TestFile, place: number, signal: AbortSignal): Promise<FileRun> {
  const title = `\n▶ ${sourceOf(file.path)}`;
  // one that runs alone, and for long, is heard as it goes
  const live = file.group.places === 'all';
  if (live) console.log(title);
  const run = await runFile({
    path: join(dist, file.path), cwd: root, timeoutMs: file.group.timeoutMs, env: portRange(place, PLACES),
    ...(live ? { live: (text) => { process.stdout.write(text); } } : {}),
  }, signal);
  if (!live) process.stdout.write(`${title} (${seconds(run.durationMs)} s${run.cpuMs === null ? '' : `, CPU ${seconds(run.cpuMs)} s`})\n${run.output}`);
  for (const fault of run.faults) console.log(`✖ ${fault}`);
  return run;
}

/** Beside the tests: it takes one processor for a while, and they wait for much. */
async function lint(signal: AbortSignal): Promise<boolean> {
  const child = spawn(process.execPath, [join(root, 'node_modules', 'eslint', 'bin', 'eslint.js'), '--max-warnings', '0', '.'], { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
  const stop = (): void => { child.kill('SIGKILL'); };
  signal.addEventListener('abort', stop, { once: true });
  const begunMs = performance.now();
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => { output += text; });
  const code = await new Promise<number>((resolve) => { child.once('close', (status) => { resolve(status ?? 1); }); });
  signal.removeEventListener('abort', stop);
  process.stdout.write(`\n▶ lint (${seconds(performance.now() - begunMs)} s)\n${output}`);
  return code === 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
}
