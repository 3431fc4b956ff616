/**
 * The collector over HTTP while the server refuses, stalls, dies and denies in the midst of inserts: it says why storing fails, goes on by itself, and at
 * the end raw events, every rollup and the coverage hold each event once. Without the token in the statement `cut after` alone doubles a range.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
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
const FAULTS: readonly Fault[] = [
  { kind: 'exception', code: 252 }, { kind: 'exception', code: 242 }, { kind: 'status', status: 500 }, { kind: 'cut', at: 'after' }, { kind: 'stall', ms: 2500, at: 'after' },
  { kind: 'kill', at: 'before' }, { kind: 'kill', at: 'after' }, { kind: 'kill', at: 'during', ms: 3 }, { kind: 'kill', at: 'during', ms: 12 }, { kind: 'kill', at: 'during', ms: 30 },
];

test('whatever the server does, each event is stored once', { timeout: 300_000, skip: requires('chdb') }, async (t) => {
  await using server = await TestClickHouse.start();
  const dataDir = mkdtempSync(join(tmpdir(), 'tidegate-outages-'));
  t.after(() => { rmSync(dataDir, { recursive: true, force: true }); });
  const clickhouse = { urls: [server.url], user: 'default', password: '', ca: null, cluster: null, insertQuorum: 0, timeoutMs: 1000, compression: true };
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
  for (const fault of FAULTS) {
    await server.faults({ ...fault, statement: '^INSERT INTO tidegate\\.events', times: 1 });
    more();
    const failing = await eventually(JSON.stringify(fault), () => collector.status().failing);
    assert.match(failing.code, /^store_(?:failed|unknown|unavailable)$/);
    if (fault.kind === 'kill') {
      await server.exited;
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
  for (const stream of streams) stream.seal();
  await collector.stop();

  const again = await Collector.start({ dataDir, clickhouse, retention: RETENTION, log: silentLog });
  const { rows, ...rolled } = streams.map(({ sums }) => sums).reduce(addSums, noSums());
  assert.equal(rows, written);
  assert.deepEqual(await storedSums(again.store), { raw: { ...rolled, rows }, minutes: rolled, quarterHours: rolled });
  assert.deepEqual(await disagreements(again.store), []);
  const edges = await again.store.query<{ edge: number; delta: number }>('SELECT stream, edge, sum(delta) AS delta FROM tidegate.coverage GROUP BY stream, edge HAVING delta != 0 ORDER BY edge');
  assert.deepEqual(edges.map(({ edge, delta }) => [edge, delta]), [[0, 1], [0, 1], [rows / 2, -1], [rows / 2, -1]]);
  await again.stop();
  for (const { recorder } of streams) await recorder.close();
});
