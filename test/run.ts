/**
 * Runs the compiled tests with node's own runner: `node dist/test/run.js [house|unit|collector|conformance|e2e|faults]…`; none: all.
 * Every *.test.js belongs to exactly one group by its folder; one that belongs to none fails the run, so that no test is forgotten.
 */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

interface Group {
  readonly name: 'house' | 'unit' | 'collector' | 'conformance' | 'e2e' | 'faults';
  readonly folders: readonly string[];
  /** Test files at once: nodes that are measured under load want the machine for themselves. */
  readonly concurrency: number;
  /** Of one file. */
  readonly timeoutMs: number;
}

/** `npm run faults`, or a part of it. */
const LONG_FORM = process.env['TEST_FAULTS'] === 'full' || process.env['TEST_KILLS'] !== undefined;

/** Half of them wait for a Kafka, a store or a time-out most of the time. */
const UNIT_FILES_AT_ONCE = 4;

const GROUPS: readonly Group[] = [
  { name: 'house', folders: ['test/house', 'test/bench'], concurrency: 2, timeoutMs: 300_000 },
  { name: 'unit', folders: ['errors', 'gateway', 'alerts', 'dashboards', 'cli', 'test/harness'], concurrency: UNIT_FILES_AT_ONCE, timeoutMs: 300_000 },
  { name: 'collector', folders: ['collector'], concurrency: UNIT_FILES_AT_ONCE, timeoutMs: 300_000 },
  // half of their time is waiting for time-outs
  { name: 'conformance', folders: ['test/conformance'], concurrency: 2, timeoutMs: 900_000 },
  // nodes that wait for one another more than they work
  { name: 'e2e', folders: ['test/e2e'], concurrency: 2, timeoutMs: 900_000 },
  { name: 'faults', folders: ['test/faults'], concurrency: 1, timeoutMs: LONG_FORM ? 14_400_000 : 1_800_000 },
];
/** Lines of node's closing summary that are added up over the groups. */
const COUNTS = ['tests', 'pass', 'fail', 'cancelled', 'skipped', 'todo'] as const;
/** Heads the spec reporter's second telling of what failed. */
const FAILING_TESTS = '✖ failing tests:';
type Counts = Record<(typeof COUNTS)[number], number>;

const dist = dirname(dirname(fileURLToPath(import.meta.url)));

async function main(wanted: readonly string[]): Promise<number> {
  const unknown = wanted.find((name) => !GROUPS.some((group) => group.name === name));
  if (unknown !== undefined) {
    console.error(`unknown group '${unknown}': ${GROUPS.map(({ name }) => name).join(', ')}`);
    return 2;
  }
  const chosen = wanted.length === 0 ? GROUPS : GROUPS.filter(({ name }) => wanted.includes(name));
  const files = testFiles(dist);
  const strays = files.filter((file) => groupOf(file) === null);
  if (strays.length > 0) {
    console.error(`No group takes these test files; move them, or add their folder to test/run.ts:\n  ${strays.join('\n  ')}`);
    return 1;
  }
  const total: Counts = { tests: 0, pass: 0, fail: 0, cancelled: 0, skipped: 0, todo: 0 };
  const failures: string[] = [];
  let failed = false;
  for (const group of chosen) {
    const own = files.filter((file) => groupOf(file) === group);
    if (own.length === 0) continue;
    console.log(`\n== ${group.name}: ${own.length} files`);
    const { exitCode, counts, failing } = await runGroup(group, own);
    for (const name of COUNTS) total[name] += counts[name];
    if (failing !== '') failures.push(`\n== failed in ${group.name}\n${failing}`);
    failed ||= exitCode !== 0;
  }
  if (total.tests === 0) {
    console.error('no test ran');
    return 1;
  }
  // told last of all: an hour of output has passed since the first group failed
  for (const failure of failures) console.log(failure);
  console.log(`\n== ${chosen.map((group) => group.name).join(', ')}`);
  for (const name of COUNTS) console.log(`# ${name} ${total[name]}`);
  if (process.env['TEST_REQUIRE'] === 'all' && total.skipped > 0) {
    console.error(`TEST_REQUIRE=all, and ${total.skipped} tests were skipped`);
    failed = true;
  }
  return failed || total.fail > 0 || total.cancelled > 0 ? 1 : 0;
}

/** Paths below dist, with `/`. */
function testFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.test.js'))
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .sort();
}

function groupOf(file: string): Group | null {
  return GROUPS.find((group) => group.folders.some((folder) => file.startsWith(`${folder}/`))) ?? null;
}

async function runGroup(group: Group, files: readonly string[]): Promise<{ exitCode: number; counts: Counts; failing: string }> {
  const child = spawn(process.execPath, [
    '--enable-source-maps', '--test', '--test-reporter=spec', `--test-concurrency=${group.concurrency}`, `--test-timeout=${group.timeoutMs}`,
    ...files.map((file) => join(dist, file)),
  ], { stdio: ['ignore', 'pipe', 'inherit'], cwd: dirname(dist) });
  let tail = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    process.stdout.write(text);
    // failures are told again after the counts, with stacks; all of that fits
    tail = (tail + text).slice(-4_000_000);
  });
  const exitCode = await new Promise<number>((resolve) => {
    child.once('close', (code) => { resolve(code ?? 1); });
  });
  return { exitCode, counts: closingCounts(tail), failing: failingTests(tail) };
}

/** What node tells of the failed tests at its end: where, name, error; of a long telling the beginning. */
function failingTests(output: string): string {
  const start = output.lastIndexOf(FAILING_TESTS);
  return start === -1 ? '' : output.slice(start + FAILING_TESTS.length, start + FAILING_TESTS.length + 4_000).trim();
}

/** The last `ℹ name N` of each name. */
function closingCounts(output: string): Counts {
  const count = (name: string): number => Number([...output.matchAll(new RegExp(`^\\S* ?${name} (\\d+)$`, 'gm'))].at(-1)?.[1] ?? 0);
  return { tests: count('tests'), pass: count('pass'), fail: count('fail'), cancelled: count('cancelled'), skipped: count('skipped'), todo: count('todo') };
}

process.exitCode = await main(process.argv.slice(2));
