/**
 * Killed by SIGKILL at every placed point of a swap, and started again: each partition is the old one or the new one, and in the end all are exact. Without the note of
 * what is being swapped, `half-replaced` doubles a day; without the manifest's note that its insert was made, `after-swap` does so on an engine that forgets the tokens of a partition that is replaced.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { requires } from '../../test/harness/requires.js';
import { Collector } from '../collector.js';
import { RandomStream, silentLog } from '../log/random-events.fixture.js';
import { assertExact } from '../log/stored-sums.fixture.js';
import { ChdbStore } from '../store/chdb-store.js';
import type { Store } from '../store/store.js';
import type { SwapKillPlace } from './rebuild-to-kill.fixture.js';

const CHILD = fileURLToPath(new URL(`./rebuild-to-kill.fixture${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url));
const DAY_MS = 86_400_000;
const RETENTION = { eventsMs: 30 * DAY_MS, minutesMs: 90 * DAY_MS, quarterHoursMs: 1100 * DAY_MS, maxBytes: 50 * 1024 ** 3 };

/** @returns the signal it died by, or its exit code */
async function run(dataDir: string, place?: SwapKillPlace): Promise<NodeJS.Signals | number | null> {
  const child = spawn(process.execPath, [...process.execArgv.filter((option) => !option.startsWith('--test')), CHILD, dataDir, ...(place === undefined ? [] : [place])], { stdio: ['ignore', 'inherit', 'inherit'] });
  const timer = setTimeout(() => child.kill('SIGKILL'), 60_000);
  const [code, signal] = await once(child, 'exit') as [number | null, NodeJS.Signals | null];
  clearTimeout(timer);
  return signal ?? code;
}

async function withStore(dataDir: string, use: (store: Store) => Promise<void>): Promise<void> {
  const store = await ChdbStore.open(join(dataDir, 'store'));
  await use(store);
  await store.close();
}

/** As a collector finds it that starts: how many (day, rollup) differ from raw. */
async function differing(dataDir: string): Promise<number> {
  const collector = await Collector.start({ dataDir, retention: RETENTION, log: silentLog, limits: { rows: 3000, bytes: 64 * 1024 * 1024 } });
  let found = 0;
  await collector.rebuild({ swap: false, signal: new AbortController().signal, tell: (line) => { if (line.type === 'compared' && line.differing > 0) found++; } });
  await collector.stop();
  return found;
}

test('killed at any point of a swap, a partition is the old one or the new one, and never half of each', { timeout: 300_000, skip: requires('chdb') }, async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'tidegate-rebuild-kills-'));
  t.after(() => { rmSync(dataDir, { recursive: true, force: true }); });
  // two hours of one day, so that one partition of each rollup is damaged
  const stream = new RandomStream(join(dataDir, 'spool'), 1, Math.floor(Date.now() / DAY_MS) * DAY_MS - DAY_MS + 3_600_000);
  t.after(() => stream.recorder.close());
  stream.write(2500).mark();
  assert.equal(await run(dataDir), 0);
  const kills: readonly (readonly [SwapKillPlace, left: number])[] = [['before-note', 2], ['after-note', 1], ['half-replaced', 1], ['mid-replace', 1], ['after-replace', 1], ['after-swap', 1]];
  for (const [place, left] of kills) {
    await withStore(dataDir, async (store) => {
      for (const rollup of ['traffic_minute', 'traffic_quarter_hour']) await store.command(`ALTER TABLE tidegate.${rollup} DELETE WHERE app = 'app-1' SETTINGS mutations_sync = 1`);
    });
    stream.write(500).mark();
    assert.equal(await run(dataDir, place), 'SIGKILL', `${place} was passed`);
    if (place === 'after-swap') await forgetTokens(dataDir);
    assert.equal(await differing(dataDir), left, `after ${place}`);
  }
  assert.equal(await run(dataDir), 0);
  await withStore(dataDir, (store) => assertExact(store, [stream]));
});

/** As an engine would that forgets them with the partition that was replaced. */
async function forgetTokens(dataDir: string): Promise<void> {
  let paths: readonly string[] = [];
  await withStore(dataDir, async (store) => {
    paths = (await store.query<{ path: string }>("SELECT arrayJoin(data_paths) AS path FROM system.tables WHERE database = 'tidegate' AND name IN ('traffic_minute', 'traffic_quarter_hour')")).map(({ path }) => path);
  });
  assert.equal(paths.length, 2);
  for (const path of paths) rmSync(join(path, 'deduplication_logs'), { recursive: true });
}
