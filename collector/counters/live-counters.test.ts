/** Live counters are of what came through the gateway; the rest of them is tested with the API (collector/api/server.test.ts). */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { requires } from '../../test/harness/requires.js';
import { ReportStore } from '../reports/report-store.js';
import { ChdbStore } from '../store/chdb-store.js';
import { insertEvents, type MadeEvent } from '../store/insert-events.fixture.js';
import { migrate } from '../store/migrate.js';
import { LiveCounters } from './live-counters.js';

test('a log of today that is imported changes no live number: neither today\'s counts nor the rate', { skip: requires('chdb') }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-live-'));
  const store = await ChdbStore.open(join(folder, 'store'));
  t.after(async () => {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });
  await migrate(store);
  const nowMs = Date.parse('2026-11-21T18:40:00Z');
  let seq = 0;
  const insert = (count: number, more: MadeEvent): Promise<void> => insertEvents(store, Array.from({ length: count }, () => ({ app: 'acme', service: 'site', timeMs: nowMs - 2000, seq: seq++, ordinal: seq, ...more })));
  /** Of Kathmandu's day, which began at 18:15 UTC. */
  const read = async (): Promise<unknown> => {
    const counters = new LiveCounters({ store: new ReportStore(store), asOfMs: () => nowMs, nowMs: () => nowMs });
    const { counts } = await counters.read('Asia/Kathmandu');
    return counts.get('acme')?.get('site');
  };
  await insert(20, {});
  await insert(3, { status: 503, timeMs: nowMs - 1_200_000 });
  await insert(2, { outcome: 'rate_limited', status: 429 });
  // of the day before
  await insert(7, { timeMs: nowMs - 1_800_000 });
  const expected = { qps: 2.2, requests: 25, errors: 3, refused: 2 };
  assert.deepEqual(await read(), expected);
  await store.command("INSERT INTO tidegate.imports (stream, day) SELECT 7, toDate('2026-11-20')");
  assert.deepEqual(await read(), expected, 'of another day nothing is imported');
  await store.command("INSERT INTO tidegate.imports (stream, day) SELECT 7, toDate('2026-11-21')");
  assert.deepEqual(await read(), expected, 'noted, and not there yet');
  await insert(500, { stream: '7', kind: 'import', counted: 0, billable: 0 });
  await insert(40, { stream: '7', kind: 'import', counted: 0, billable: 0, status: 500, timeMs: nowMs - 1_200_000 });
  assert.deepEqual(await read(), expected);
  const [rolled] = await store.query('SELECT sum(t.requests) AS n FROM tidegate.traffic_quarter_hour AS t');
  assert.deepEqual(rolled, { n: 32 + 540 }, 'which reports have');
});
