/** Which files run, in which order, how many at once; and what is said of those that do not. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { portRange } from '../harness/ports.js';
import { findTestFiles, GROUPS, type TestFile } from './groups.js';
import { inOrder, seedFrom } from './order.js';
import { runQueue, type Job } from './queue.js';
import { closingLine, countsOf, failures, leftOut, skips, slowest, type Ran } from './summary.js';

const fileOf = (path: string): TestFile => {
  const group = GROUPS.find(({ folders }) => folders.some((folder) => path.startsWith(`${folder}/`)));
  assert.ok(group !== undefined, path);
  return { path, group, long: path.endsWith('.long.test.js') };
};

test('a test file has the group of its folder; one that no group takes is told, and one whose source is gone is not run', (t) => {
  const root = mkdtempSync(join(tmpdir(), 'tidegate-files-'));
  t.after(() => { rmSync(root, { recursive: true, force: true }); });
  const put = (path: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), '');
  };
  for (const path of ['gateway/a.test', 'test/faults/b.long.test', 'elsewhere/c.test']) {
    put(`dist/${path}.js`);
    put(`${path}.ts`);
  }
  put('dist/gateway/renamed.test.js');
  put('dist/gateway/code.js');
  const { files, strays, stale } = findTestFiles(join(root, 'dist'), root);
  assert.deepEqual(files.map(({ path, group, long }) => [path, group.name, long]), [['gateway/a.test.js', 'unit', false], ['test/faults/b.long.test.js', 'faults', true]]);
  assert.deepEqual([strays, stale], [['elsewhere/c.test.js'], ['gateway/renamed.test.js']]);
});

test('the order is that of its seed, whatever order files are found in, and those that run alone come last', () => {
  const files = Array.from({ length: 40 }, (_, i) => fileOf(i % 10 === 0 ? `test/faults/${i}.test.js` : `gateway/${i}.test.js`));
  const paths = (seed: number, found = files): string[] => inOrder(found, seed).map(({ path }) => path);
  assert.deepEqual(paths(7), paths(7, [...files].reverse()));
  assert.notDeepEqual(paths(7), paths(8));
  assert.deepEqual([...paths(7)].sort(), files.map(({ path }) => path).sort());
  assert.ok(paths(7).slice(-4).every((path) => path.startsWith('test/faults/')));
  assert.equal(seedFrom('17'), 17);
  assert.notEqual(seedFrom(undefined), seedFrom(undefined));
  assert.throws(() => seedFrom('x'), /TEST_SEED/);
});

test('jobs begin in their order, as many at once as there are places for; one that wants all runs alone', async () => {
  const begun: number[] = [];
  const ends = new Map<number, () => void>();
  const own = new Set<number>();
  const job = (id: number, places: number): Job => ({
    places,
    run: async (place) => {
      begun.push(id);
      assert.ok(!own.has(place), 'a place of its own');
      own.add(place);
      await new Promise<void>((resolve) => { ends.set(id, resolve); });
      own.delete(place);
    },
  });
  const end = async (id: number): Promise<void> => {
    ends.get(id)?.();
    await turn();
  };
  const ended = runQueue([job(0, 1), job(1, 2), job(2, 2), job(3, 1), job(4, 4), job(5, 1)], 4, () => false);
  await turn();
  assert.deepEqual(begun, [0, 1], 'the third wants two places, and none goes past it');
  await end(0);
  assert.deepEqual(begun, [0, 1, 2]);
  await end(1);
  assert.deepEqual(begun, [0, 1, 2, 3]);
  await end(3);
  assert.deepEqual(begun, [0, 1, 2, 3]);
  await end(2);
  assert.deepEqual(begun, [0, 1, 2, 3, 4]);
  await end(4);
  await end(5);
  await ended;
  assert.deepEqual(begun, [0, 1, 2, 3, 4, 5]);
});

test('when it is stopped nothing more begins', async () => {
  let stopped = false;
  const begun: number[] = [];
  await runQueue([0, 1, 2].map((id) => ({ places: 4, run: async () => { begun.push(id); stopped = id === 1; } })), 4, () => stopped);
  assert.deepEqual(begun, [0, 1]);
});

test('what runs at the same time has ports of its own', () => {
  const ranges = Array.from({ length: 8 }, (_, place) => Object.values(portRange(place, 8))[0]?.split('-').map(Number) ?? []);
  for (const [i, [from = 0, to = 0]] of ranges.entries()) {
    assert.ok(from >= 10_000 && to <= 32_768 && to - from > 2000);
    assert.ok(i === 0 || from >= (ranges[i - 1]?.[1] ?? 0));
  }
});

const RAN: readonly Ran[] = [
  { file: fileOf('gateway/a.test.js'), run: { faults: [], output: '', durationMs: 1234, cpuMs: 500, results: [
    { verdict: 'passed', name: 'good', why: '' }, { verdict: 'skipped', name: 'loaded', why: 'wrk is missing: apt-get install wrk' }, { verdict: 'failed', name: 'bad', why: 'Error: no\n    at here' },
  ] } },
  { file: fileOf('cli/b.test.js'), run: { faults: ['it did not end within 300 s'], output: '', durationMs: 300_000, cpuMs: null, results: [{ verdict: 'skipped', name: 'loads', why: 'wrk is missing: apt-get install wrk' }] } },
];

test('at the end each skipped test is named, under what gets it what it lacks', () => {
  assert.deepEqual(skips(RAN), ['skipped, wrk is missing: apt-get install wrk\n  gateway/a.test.ts: loaded\n  cli/b.test.ts: loads']);
});

test('what failed is told again, files at fault too, and a plain line counts', () => {
  assert.deepEqual(failures(RAN), [
    '\n== failed in gateway/a.test.ts\n  ✖ bad\n    Error: no\n        at here', '\n== failed in cli/b.test.ts\n  ✖ it did not end within 300 s',
  ]);
  assert.equal(closingLine(countsOf(RAN)), '1 passed, 2 failed, 2 skipped');
  assert.equal(closingLine(countsOf([])), '0 passed, 0 failed');
  assert.match(slowest(RAN), /300\.0 \(-\) cli\/b\.test\.ts\n +1\.2 \(0\.5\) gateway\/a\.test\.ts$/);
});

test('long files that were left out are named, with the command that runs them', () => {
  const [told = ''] = leftOut([fileOf('test/faults/b.long.test.js')]);
  assert.match(told, /left out, 1 long file.*npm run test:all\n {2}test\/faults\/b\.long\.test\.ts$/);
  assert.deepEqual(leftOut([]), []);
});
