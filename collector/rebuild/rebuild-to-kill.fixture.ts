/**
 * A collector in a process of its own, that stores what there is, swaps damaged rollups and ends; or dies by SIGKILL at one place on the way, the first time it comes by.
 * Arguments: data directory [, place].
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { eventually } from '../../test/harness/deadline.js';
import { Collector } from '../collector.js';
import { silentLog } from '../log/random-events.fixture.js';
import { ChdbStore } from '../store/chdb-store.js';
import type { QueryParams } from '../store/store.js';

export type SwapKillPlace =
  /** What is to be swapped is written beside its place, and not in it. */
  | 'before-note'
  | 'after-note'
  /** The new parts are there, and the old ones too: what a kill within the engine's own steps could leave. */
  | 'half-replaced'
  /** While the engine replaces: as soon as it was told to. */
  | 'mid-replace'
  | 'after-replace'
  /** The note is gone: nothing tells of the swap any more. */
  | 'after-swap';

const DAY_MS = 86_400_000;
const [dataDir, place] = process.argv.slice(2);

function passes(passed: SwapKillPlace): void {
  if (passed === place) process.kill(process.pid, 'SIGKILL');
}

const { renameSync, rmSync } = fs;
fs.renameSync = (from, to) => {
  const note = String(to).endsWith('swap.json');
  if (note) passes('before-note');
  renameSync(from, to);
  if (note) passes('after-note');
};
fs.rmSync = (path, options) => {
  const note = String(path).endsWith('swap.json');
  if (note) passes('after-replace');
  rmSync(path, options);
  if (note) passes('after-swap');
};
// named imports of node:fs follow
syncBuiltinESMExports();

const command: ChdbStore['command'] = Reflect.get(ChdbStore.prototype, 'command');
ChdbStore.prototype.command = async function (this: ChdbStore, statement: string, params?: QueryParams): Promise<void> {
  const replaces = statement.includes(' REPLACE PARTITION ');
  const run = command.call(this, replaces && place === 'half-replaced' ? statement.replace('REPLACE', 'ATTACH') : statement, params);
  if (replaces) setImmediate(passes, 'mid-replace');
  await run;
  if (replaces) passes('half-replaced');
};

const startedMs = Date.now();
const collector = await Collector.start({
  dataDir: dataDir as string, retention: { eventsMs: 30 * DAY_MS, minutesMs: 90 * DAY_MS, quarterHoursMs: 1100 * DAY_MS, maxBytes: 50 * 1024 ** 3 },
  limits: { rows: 3000, bytes: 64 * 1024 * 1024 }, log: { ...silentLog, error: (fields, message) => { console.error(message, fields); } },
});
await eventually('all is stored', () => collector.asOfMs() > startedMs || null);
await collector.rebuild({ swap: true, signal: new AbortController().signal, tell: () => undefined });
await collector.stop();
