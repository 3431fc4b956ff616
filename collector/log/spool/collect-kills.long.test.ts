/**
 * The collector killed by SIGKILL at every placed point, and in the midst of inserts, over and over on the same data: at the end raw events, every
 * rollup and the coverage hold each event once. Without the deduplication window on the rollups, `after-insert` alone doubles them.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { requires } from '../../../test/harness/requires.js';
import { ChdbStore } from '../../store/chdb-store.js';
import type { KillPlace } from './collector-to-kill.fixture.js';
import { addSums, noSums, RandomStream } from '../random-events.fixture.js';
import { disagreements, storedSums } from '../stored-sums.fixture.js';

const CHILD = fileURLToPath(new URL(`./collector-to-kill.fixture${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url));

/** @returns the signal it died by, or its exit code */
async function collect(dataDir: string, place?: KillPlace, afterMs = 0): Promise<NodeJS.Signals | number | null> {
  const child = spawn(process.execPath, [...process.execArgv.filter((option) => !option.startsWith('--test')), CHILD, dataDir, '3000', ...(place === undefined ? [] : [place, String(afterMs)])], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), 60_000);
  const [code, signal] = await once(child, 'exit') as [number | null, NodeJS.Signals | null];
  clearTimeout(timer);
  return signal ?? code;
}

test('killed at any point, the collector loses nothing and stores nothing twice', { timeout: 300_000, skip: requires('chdb') }, async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'tidegate-kills-'));
  t.after(() => { rmSync(dataDir, { recursive: true, force: true }); });
  const streams = [1, 2].map((worker) => new RandomStream(join(dataDir, 'spool'), worker, Date.now() - 2_500_000, 200_000));
  const more = (): void => { for (const stream of streams) stream.write(2500).mark(); };
  const places: readonly (readonly [KillPlace, number])[] = [
    ['before-manifest', 0], ['after-manifest', 0], ['between-raw-and-rollup', 0], ['after-insert', 0], ['before-delete', 0],
    ...[1, 3, 6, 10, 20].map((ms) => ['mid-insert', ms] as const),
  ];
  let half = 0;
  for (const [place, afterMs] of places) {
    more();
    assert.equal(await collect(dataDir, place, afterMs), 'SIGKILL', `${place} was passed`);
    if (place !== 'between-raw-and-rollup') continue;
    const store = await ChdbStore.open(join(dataDir, 'store'));
    const { raw, minutes } = await storedSums(store);
    half = raw.requests - minutes.requests;
    await store.close();
  }
  assert.ok(half > 0, 'one kill left raw events without their rollup');
  more();
  for (const stream of streams) stream.seal();
  assert.equal(await collect(dataDir), 0);
  // a clean end, made again, changes nothing either
  assert.equal(await collect(dataDir), 0);

  const { rows, ...rolled } = streams.map(({ sums }) => sums).reduce(addSums, noSums());
  const store = await ChdbStore.open(join(dataDir, 'store'));
  assert.deepEqual(await storedSums(store), { raw: { ...rolled, rows }, minutes: rolled, quarterHours: rolled });
  assert.deepEqual(await disagreements(store), []);
  const edges = await store.query<{ edge: number; delta: number }>('SELECT stream, edge, sum(delta) AS delta FROM tidegate.coverage GROUP BY stream, edge HAVING delta != 0 ORDER BY edge');
  assert.deepEqual(edges.map(({ edge, delta }) => [edge, delta]), [[0, 1], [0, 1], [rows / 2, -1], [rows / 2, -1]]);
  await store.close();
  for (const { recorder } of streams) await recorder.close();
});
