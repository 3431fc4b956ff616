/** A generator that doubles what it was killed in, or leaves it out, would make every figure that is measured on it wrong: the store is compared with what was to be made. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readManifest } from '../../../collector/log/spool/manifest.js';
import { StoredSeqs } from '../../../collector/log/stored-seqs.js';
import { disagreements, storedSums } from '../../../collector/log/stored-sums.fixture.js';
import { openStore } from '../../../collector/store/open-store.js';
import { eventually } from '../../harness/deadline.js';
import { requires } from '../../harness/requires.js';
import { nodeProgram } from '../peers/node-proxies.js';
import { QUIET } from '../quiet-log.js';
import { makeStore, type MakeOptions } from './made-store.js';
import { MadeTime, streamName } from './made-time.js';

/** So many that the ranges which are made lie within few days: each day is a partition of its own, and costs as much as thousands of rows. */
const EVENTS = 8_000_000;
const ROWS_A_RANGE = 20_000;
const RANGES = 5;

test('killed in the midst of it, started again and stopped, it holds each event once', { skip: requires('chdb') }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-made-'));
  const stop = new AbortController();
  const options: MakeOptions = {
    folder, events: EVENTS, rowsARange: ROWS_A_RANGE, signal: stop.signal,
    progress: (done) => { if (done >= RANGES * ROWS_A_RANGE) stop.abort(); },
  };
  try {
    const child = spawn(process.execPath, [...nodeProgram(import.meta.url, 'make-run'), folder, String(EVENTS), String(ROWS_A_RANGE)], { stdio: 'ignore' });
    const ended = once(child, 'exit');
    const inSecond = (): true | null => ((readManifest(join(folder, 'collector', 'manifest.json'))?.range ?? 0) >= 2 ? true : null);
    await eventually('the second insert has begun', inSecond, 120_000, 5);
    child.kill('SIGKILL');
    assert.deepEqual(await ended, [null, 'SIGKILL']);
    await assert.rejects(makeStore(options), { name: 'AbortError' });
    await assertHolds(folder, (readManifest(join(folder, 'collector', 'manifest.json'))?.range ?? 0) * ROWS_A_RANGE);
    await assert.rejects(makeStore({ ...options, events: EVENTS + 1 }), /holds 8,000,000 made events/);
  } finally {
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  }
});

async function assertHolds(folder: string, events: number): Promise<void> {
  const store = await openStore({ dataDir: folder, clickhouse: null, log: QUIET });
  try {
    const { raw: { rows, ...raw }, minutes, quarterHours } = await storedSums(store);
    assert.ok(events >= RANGES * ROWS_A_RANGE);
    assert.equal(rows, events);
    assert.deepEqual([minutes, quarterHours], [raw, raw]);
    assert.deepEqual(await disagreements(store), []);
    const stored = new StoredSeqs();
    await stored.loadAll(store);
    const parts = new MadeTime(EVENTS).parts(0, events);
    assert.equal(stored.streams, parts.length);
    for (const { day, worker, to } of parts) assert.deepEqual(stored.of(streamName(day, worker)).runs, [{ first: 0, last: to - 1 }]);
  } finally {
    await store.close();
  }
}
