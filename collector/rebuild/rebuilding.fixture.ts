/** A collector with streams in a folder of its own for each test, and its rollups damaged and rebuilt. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'node:test';
import { Collector, type CollectorOptions } from '../collector.js';
import { RandomStream, silentLog } from '../log/random-events.fixture.js';
import type { Store } from '../store/store.js';
import type { RebuildLine } from './rebuild.js';

export const DAY_MS = 86_400_000;
export const RETENTION = { eventsMs: 30 * DAY_MS, minutesMs: 90 * DAY_MS, quarterHoursMs: 1100 * DAY_MS, maxBytes: 50 * 1024 ** 3 };

export let dataDir: string;
let collector: Collector | null = null;
export const streams: RandomStream[] = [];

beforeEach(() => { dataDir = mkdtempSync(join(tmpdir(), 'tidegate-rebuild-')); });
afterEach(async () => {
  await collector?.stop();
  collector = null;
  for (const { recorder } of streams.splice(0)) await recorder.close();
  rmSync(dataDir, { recursive: true, force: true });
});

export async function collecting(options: Partial<CollectorOptions> = {}): Promise<Collector> {
  collector = await Collector.start({ dataDir, retention: RETENTION, log: silentLog, limits: { rows: 3000, bytes: 64 * 1024 * 1024 }, ...options });
  return collector;
}

/** Stopped by the test itself: no hook does it again. */
export function forget(): void {
  collector = null;
}

export function stream(worker: number, startMs: number): RandomStream {
  const made = new RandomStream(join(dataDir, 'spool'), worker, startMs);
  streams.push(made);
  return made;
}

export async function rebuilt(running: Collector, swap: boolean): Promise<RebuildLine[]> {
  const lines: RebuildLine[] = [];
  await running.rebuild({ swap, signal: new AbortController().signal, tell: (line) => { lines.push(line); } });
  assert.deepEqual(await running.store.query("SELECT name FROM system.parts WHERE database = 'tidegate' AND table LIKE '%_rebuilt' AND active AND rows > 0"), [], 'nothing is left beside the rollups');
  return lines;
}
export const ended = (lines: readonly RebuildLine[]): RebuildLine | undefined => lines.at(-1);
export const off = (lines: readonly RebuildLine[]): string[] => lines.flatMap((line) => (line.type === 'compared' && line.differing > 0 ? [`${line.rollup} ${line.day}`] : []));
export const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

/** Rows go, rows come twice, and there is an app that never was. */
export async function damage(store: Store, day: string): Promise<void> {
  await store.command(`ALTER TABLE tidegate.traffic_minute DELETE WHERE app = 'app-1' AND toDate(time) = '${day}' SETTINGS mutations_sync = 1`);
  await store.command(`INSERT INTO tidegate.traffic_quarter_hour SELECT * FROM tidegate.traffic_quarter_hour WHERE app = 'app-2' AND toDate(time) = '${day}' SETTINGS insert_deduplicate = 0`);
  await store.command(`INSERT INTO tidegate.traffic_quarter_hour (time, app, service, route, status_class, requests) SELECT toDateTime('${day} 23:45:00', 'UTC'), 'ghost', 's', 'r', 2, 1`);
}

/** The streams' events lie on both sides of this midnight (UTC). */
export const beforeMidnight = (): number => Math.floor(Date.now() / DAY_MS) * DAY_MS - 2 * DAY_MS - 1_200_000;
