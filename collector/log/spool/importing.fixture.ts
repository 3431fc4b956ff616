/** A collector, and imports of made logs into its spool, in a folder of its own for each test. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, beforeEach } from 'node:test';
import { importLog, type ImportOptions, type ImportOutcome } from '../../../gateway/events/import/import-log.js';
import { eventually } from '../../../test/harness/deadline.js';
import { Collector } from '../../collector.js';
import { silentLog } from '../random-events.fixture.js';
import { importOptions } from './imported-log.fixture.js';

const DAY_MS = 86_400_000;
export const RETENTION = { eventsMs: 30 * DAY_MS, minutesMs: 60 * DAY_MS, quarterHoursMs: 90 * DAY_MS, maxBytes: 1e12 };

export let dataDir = '';
let collector: Collector | null = null;
const folders: string[] = [];
beforeEach(() => { folders.push(dataDir = mkdtempSync(join(tmpdir(), 'tidegate-import-'))); });
afterEach(async () => {
  await collector?.stop();
  collector = null;
});
after(() => { for (const folder of folders) rmSync(folder, { recursive: true, force: true }); });

export const start = async (): Promise<Collector> => collector = await Collector.start({ dataDir, retention: RETENTION, log: silentLog });
export const file = (name: string, text: string | Buffer): string => {
  writeFileSync(join(dataDir, name), text);
  return join(dataDir, name);
};
export const run = (path: string, more: Partial<ImportOptions> = {}): Promise<ImportOutcome> => importLog({ ...importOptions(dataDir, path), ...more });
export const spooled = (): readonly string[] => readdirSync(join(dataDir, 'spool')).filter((name) => /^[0-9a-f]{16}$/.test(name));
export const allTaken = (): Promise<true> => eventually('the spool is empty', async () => spooled().length === 0 || null, 90_000);

/** The lines 0 to `lines` are stored once each, in raw events and in the rollups. */
export async function storedOnce({ store }: Collector, lines: number): Promise<void> {
  const [row] = await store.query(`SELECT count() AS rows, uniqExact(bytes_out) AS lines, max(bytes_out) AS last, sum(requests) AS requests, sum(counted) + sum(billable) AS charged,
    (SELECT sum(t.requests) FROM tidegate.traffic_minute AS t) AS minutes, (SELECT sum(t.requests) FROM tidegate.traffic_quarter_hour AS t) AS quarters,
    (SELECT sum(t.errors) FROM tidegate.traffic_quarter_hour AS t) AS errors, (SELECT count() FROM tidegate.repeats) AS repeats FROM tidegate.events WHERE kind = 'import'`);
  assert.deepEqual(row, { rows: lines, lines, last: lines - 1, requests: lines, charged: 0, minutes: lines, quarters: lines, errors: Math.ceil(lines / 7), repeats: 0 });
  const durations = await store.query('SELECT DISTINCT arrayJoin(mapKeys(t.latency)) AS bucket FROM tidegate.traffic_minute AS t');
  assert.deepEqual(durations, [{ bucket: 0 }], 'where those without a duration are');
  const edges = await store.query('SELECT edge, sum(delta) AS d FROM tidegate.coverage GROUP BY stream, edge HAVING d != 0 ORDER BY edge');
  assert.deepEqual(edges, [{ edge: 0, d: 1 }, { edge: lines, d: -1 }]);
}
