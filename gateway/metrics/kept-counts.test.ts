/** Counts that a worker keeps for a supervisor that is not there; test/e2e/metrics-kills.long.test.ts has the processes. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { CountsKeeper, progressOf } from './kept-counts.js';
import { foldSnapshots, type MetricsSnapshot } from './metrics-snapshot.js';
import { NodeMetrics } from './node-metrics.js';

const STREAM = '00000000000000ab';
let dir = '';
beforeEach(() => { dir = mkdtempSync(join(tmpdir(), 'tidegate-counts-')); });
afterEach(() => { rmSync(dir, { recursive: true, force: true }); });

const counts = (recorded: number, dropped = 0): MetricsSnapshot => ({ ...foldSnapshots([]), recorded, dropped: [['spool_full', dropped]] });
const keep = (snapshot: MetricsSnapshot, stream = STREAM): void => { new CountsKeeper(dir, stream, () => snapshot, () => progressOf(snapshot)).keep(); };
const files = (): string[] => readdirSync(dir).filter((name) => name.startsWith('counts-'));

function supervisor(): NodeMetrics {
  const metrics = new NodeMetrics({ baseFile: join(dir, 'base.json'), countsDir: dir });
  metrics.close();
  return metrics;
}

test('a worker that no supervisor has heard of is counted, and once it has gone, its file goes and its counts stay, through further supervisors', () => {
  keep(counts(40, 2));
  const first = supervisor();
  assert.deepEqual([first.sum.recorded, first.sum.dropped], [40, [['spool_full', 2]]]);
  first.retire(STREAM);
  assert.deepEqual([first.sum.recorded, files()], [40, []]);
  const second = supervisor();
  assert.equal(second.sum.recorded, 40);
  // killed before it had removed the file
  keep(counts(40, 2));
  assert.deepEqual([supervisor().sum.recorded, files()], [40, []]);
});

test('of what a worker has told and what it has kept, the newer counts', () => {
  for (const [told, kept] of [[10, 40], [40, 10]] as const) {
    const metrics = supervisor();
    const before = metrics.sum.recorded;
    const stream = `00000000000000${told}`;
    metrics.update(stream, 1, counts(told));
    keep(counts(kept), stream);
    metrics.retire(stream);
    assert.equal(metrics.sum.recorded - before, 40);
  }
});

test('counts of a worker stay in its own file while the supervisor cannot keep them', () => {
  const metrics = supervisor();
  // its place is taken: as on a full disk
  mkdirSync(join(dir, 'base.json.new'));
  keep(counts(40));
  metrics.retire(STREAM);
  assert.deepEqual([metrics.sum.recorded, files()], [40, [`counts-${STREAM}.json`]]);
});

test('what cannot be read counts nothing, and ends nobody', () => {
  writeFileSync(join(dir, `counts-${STREAM}.json`), '{"routes":[');
  const metrics = supervisor();
  metrics.retire(STREAM);
  assert.equal(metrics.sum.recorded, 0);
});

test('a worker without requests writes nothing', () => {
  let reads = 0;
  let recorded = 0;
  const keeper = new CountsKeeper(dir, STREAM, () => { reads++; return counts(recorded); }, () => recorded);
  keeper.keep();
  recorded = 3;
  keeper.keep();
  keeper.keep();
  assert.deepEqual([reads, files()], [1, [`counts-${STREAM}.json`]]);
});
