/**
 * The collector over HTTP while the server refuses, stalls, dies and denies in the midst of inserts: it says why storing fails, goes on by itself, and at
 * the end raw events, every rollup and the coverage hold each event once. Without the token in the statement `cut after` alone doubles a range.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { TestClickHouse, type Fault } from '../test/harness/clickhouse-server.js';
import { eventually } from '../test/harness/deadline.js';
import { requires } from '../test/harness/requires.js';
import { Collector } from './collector.js';
import { addSums, noSums, RandomStream, silentLog } from './log/random-events.fixture.js';
import { disagreements, storedSums } from './log/stored-sums.fixture.js';

const DAY_MS = 86_400_000;
const RETENTION = { eventsMs: 30 * DAY_MS, minutesMs: 90 * DAY_MS, quarterHoursMs: 1100 * DAY_MS, maxBytes: 50 * 1024 ** 3 };
const CHAINED = ['events', 'coverage', 'traffic_minute', 'traffic_quarter_hour'];
/** `loses`: the table of which the killed server had noted a token, and put no part in place. */
const FAULTS: readonly (Fault & { readonly loses?: string })[] = [
  { kind: 'exception', code: 252 }, { kind: 'exception', code: 242 }, { kind: 'status', status: 500 }, { kind: 'cut', at: 'after' }, { kind: 'stall', ms: 2500, at: 'after' },
  { kind: 'kill', at: 'before' }, { kind: 'kill', at: 'after' }, { kind: 'kill', at: 'during', ms: 3 }, { kind: 'kill', at: 'during', ms: 12 }, { kind: 'kill', at: 'during', ms: 30 },
  { kind: 'kill', at: 'after', loses: 'events' }, { kind: 'kill', at: 'after', loses: 'traffic_minute' },
];

test('whatever the server does, each event is stored once', { timeout: 300_000, skip: requires('chdb') }, async (t) => {
  await using server = await TestClickHouse.start();
  const dataDir = mkdtempSync(join(tmpdir(), 'tidegate-outages-'));
  t.after(() => { rmSync(dataDir, { recursive: true, force: true }); });
  const clickhouse = { urls: [server.url], user: 'default', password: '', ca: null, cluster: null, insertQuorum: 0, timeoutMs: 2000, compression: true };
  const collector = await Collector.start({ dataDir, clickhouse, retention: RETENTION, log: silentLog, limits: { rows: 3000, bytes: 64 * 1024 * 1024 } });
  const streams = [1, 2].map((worker) => new RandomStream(join(dataDir, 'spool'), worker, Date.now() - 2_500_000, 200_000));
  let written = 0;
  const stored = async (): Promise<void> => {
    await eventually(`${written} events stored`, () => (collector.status().stored >= written && collector.status().failing === null ? true : null), 60_000);
  };
  const more = (): void => {
    for (const stream of streams) stream.write(2500).mark();
    written += 5000;
  };
  /** What its newest insert brought to one partition of it, once the server is dead. */
  const lose = (table: string): void => {
    const [newest = ''] = readdirSync(folders.get(table) as string).filter((name) => /^[a-z0-9]+_(\d+)_\1_\d+$/.test(name)).sort((a, b) => Number(b.split('_')[1]) - Number(a.split('_')[1]));
    assert.notEqual(newest, '', table);
    rmSync(join(folders.get(table) as string, newest), { recursive: true });
  };
  const folders = new Map((await collector.store.query<{ name: string; path: string }>("SELECT name, data_paths[1] AS path FROM system.tables WHERE database = 'tidegate'")).map(({ name, path }) => [name, path]));
  const stopMerges = async (): Promise<void> => { for (const table of CHAINED) await collector.store.command(`SYSTEM STOP MERGES tidegate.${table}`); };
  for (const { loses, ...fault } of FAULTS) {
    if (loses !== undefined) await stopMerges();
    await server.faults({ ...fault, statement: '^INSERT INTO tidegate\\.events', times: 1 });
    more();
    const failing = await eventually(JSON.stringify(fault), () => collector.status().failing);
    assert.match(failing.code, /^store_(?:failed|unknown|unavailable)$/);
    if (fault.kind === 'kill') {
      await server.exited;
      if (loses !== undefined) lose(loses);
      await server.restart();
    }
    await stored();
  }
  await server.refuse();
  more();
  assert.equal((await eventually('an outage', () => collector.status().failing)).code, 'store_unavailable');
  await server.accept();
  await stored();
  server.pause();
  more();
  await eventually('a stall', () => (collector.status().failing?.code === 'store_unknown' ? true : null));
  server.resume();
  await stored();
  // the same where the collector goes down, too, before it has made the insert again
  await stopMerges();
  await server.faults({ kind: 'kill', at: 'after', statement: '^INSERT INTO tidegate\\.events', times: 1 });
  more();
  await server.exited;
  for (const stream of streams) stream.seal();
  await collector.stop();
  for (const table of CHAINED) lose(table);
  await server.restart();

  const again = await Collector.start({ dataDir, clickhouse: { ...clickhouse, timeoutMs: 30_000 }, retention: RETENTION, log: silentLog });
  // behind the range that was made again comes another
  await eventually('the rest is stored', () => (again.status().stored > 0 && again.status().failing === null ? true : null), 60_000);
  const { rows, ...rolled } = streams.map(({ sums }) => sums).reduce(addSums, noSums());
  assert.equal(rows, written);
  assert.deepEqual(await storedSums(again.store), { raw: { ...rolled, rows }, minutes: rolled, quarterHours: rolled });
  assert.deepEqual(await disagreements(again.store), []);
  const edges = await again.store.query<{ edge: number; delta: number }>('SELECT stream, edge, sum(delta) AS delta FROM tidegate.coverage GROUP BY stream, edge HAVING delta != 0 ORDER BY edge');
  assert.deepEqual(edges.map(({ edge, delta }) => [edge, delta]), [[0, 1], [0, 1], [rows / 2, -1], [rows / 2, -1]]);
  await again.stop();
  for (const { recorder } of streams) await recorder.close();
});
