/**
 * A collector in a process of its own, that stores what there is and ends; or dies by SIGKILL at one place on the way, the first time it comes by.
 * A kill from outside cannot meet a place that lasts microseconds, so this program stands between the collector and node:fs, and its store.
 * Arguments: data directory, rows a range [, place, ms].
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { sep } from 'node:path';
import { Collector } from '../../collector.js';
import { ChdbStore } from '../../store/chdb-store.js';
import type { QueryParams } from '../../store/store.js';
import { silentLog } from '../random-events.fixture.js';

export type KillPlace =
  /** The manifest is written beside its place, and not in it. */
  | 'before-manifest'
  | 'after-manifest'
  /** While the engine inserts: so many ms after it was told to. */
  | 'mid-insert'
  /** Raw rows are in, no rollup is. */
  | 'between-raw-and-rollup'
  | 'after-insert'
  /** The staging file is gone, segments are not. */
  | 'before-delete';

const DAY_MS = 86_400_000;
const [dataDir, rows, place, afterMs] = process.argv.slice(2);

function passes(passed: KillPlace): void {
  if (passed === place) process.kill(process.pid, 'SIGKILL');
}

const { renameSync, unlinkSync } = fs;
fs.renameSync = (from, to) => {
  const manifest = String(to).endsWith('manifest.json');
  if (manifest) passes('before-manifest');
  renameSync(from, to);
  if (manifest) passes('after-manifest');
};
fs.unlinkSync = (path) => {
  const staged = String(path).includes(`${sep}staging${sep}`);
  if (staged) passes('after-insert');
  unlinkSync(path);
  if (staged) passes('before-delete');
};
// named imports of node:fs follow
syncBuiltinESMExports();

const command: ChdbStore['command'] = Reflect.get(ChdbStore.prototype, 'command');
ChdbStore.prototype.command = async function (this: ChdbStore, statement: string, params?: QueryParams): Promise<void> {
  const insert = statement.startsWith('INSERT INTO tidegate.events');
  if (insert && place === 'between-raw-and-rollup') await command.call(this, 'DETACH TABLE tidegate.traffic_minute_view SYNC');
  const run = command.call(this, statement, params);
  if (insert && place === 'mid-insert') setTimeout(passes, Number(afterMs), place);
  await run;
  if (insert) passes('between-raw-and-rollup');
};

const collector = await Collector.start({
  dataDir: dataDir as string,
  retention: { eventsMs: 30 * DAY_MS, minutesMs: 90 * DAY_MS, quarterHoursMs: 1100 * DAY_MS, maxBytes: 50 * 1024 ** 3 },
  limits: { rows: Number(rows), bytes: 64 * 1024 * 1024 },
  log: { ...silentLog, error: (fields, message) => { console.error(message, fields); } },
});
await collector.stop();
