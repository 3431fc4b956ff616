/**
 * Exact under load: `hey -n` (a count, not a duration) over 4 apps and 2 workers; the report, raw rows, every rollup, /metrics and the
 * upstream's own count agree to the request. Printed, not asserted: how long after its end a request stands in the report, with its mark
 * (PASS or FAIL), and how many waited for the ledger.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ChdbStore } from '../../collector/store/chdb-store.js';
import { eventually } from '../harness/deadline.js';
import { ENDS_SQL, lagsToReport, REPORT_EVERY_MS, type Ended, type Shown } from '../harness/report-lags.js';
import { programPath } from '../harness/requires.js';
import { TestNode } from '../harness/tidegate.js';
import { TestUpstream } from '../harness/upstream.js';

const APPS = ['north', 'east', 'south', 'west'];
/** From a request's end to the report that shows it. */
const MARK_P99_MS = 2000;
const keyOf = (app: string): string => `key-${app}-0123456789abcdef`;

/** @param requests divisible by 4, for as many apps */
export async function loadIsExact(requests: number): Promise<void> {
  const upstream = await TestUpstream.start();
  await using node = await TestNode.start({
    workers: 2,
    services: [{ name: 'bytes', upstream: { targets: [{ url: upstream.url }] }, routes: [{ name: 'all', match: { path: '/bytes/*' }, authentication: ['api_key'] }] }],
    apps: APPS.map((name) => ({ name, services: ['bytes'], keys: [{ id: 'k', sha256: createHash('sha256').update(keyOf(name)).digest('hex') }], limits: { qps: 100_000, qpd: 10_000_000 } })),
  });
  const from = new Date(Date.now() - 60_000).toISOString();
  const report = `/v1/reports/traffic?from=${from}&to=${new Date(Date.now() + 3_600_000).toISOString()}&interval=total&group_by=app`;
  const shown: Shown[] = [];
  const whole = eventually('the whole count in the report', async () => {
    const { rows } = await node.control<{ rows: readonly AppRow[] }>(report);
    const counted = rows.reduce((sum, row) => sum + row.requests, 0);
    shown.push({ atMs: Date.now(), requests: counted });
    return counted >= requests ? rows : null;
  }, 600_000, REPORT_EVERY_MS);
  const startedMs = performance.now();
  await Promise.all(APPS.map(async (app) => {
    const { stdout } = await promisify(execFile)(programPath('hey') ?? 'hey', [
      '-n', String(requests / 4), '-c', '10', '-t', '60', '-H', `X-Api-Key: ${keyOf(app)}`, `${node.url}/bytes/64`,
    ], { maxBuffer: 16 * 1024 * 1024 });
    assert.match(stdout, new RegExp(`\\[200\\]\\s+${requests / 4} responses`), stdout);
  }));
  const seconds = (performance.now() - startedMs) / 1000;
  assert.equal(upstream.requests, requests);
  const rows = await whole;
  assert.deepEqual(rows.map((row) => [row.app, row.requests, row.bytes_out]).sort(), APPS.map((app) => [app, requests / 4, requests / 4 * 64]).sort());
  const metrics = await node.metrics();
  const counted = (name: string): number => [...metrics.matchAll(new RegExp(`^${name}\\{[^}]*\\} (\\d+)$`, 'gm'))].reduce((sum, [, count]) => sum + Number(count), 0);
  assert.equal(counted('tidegate_requests_total'), requests);
  assert.equal(Number(/^tidegate_events_total\{stage="recorded"\} (\d+)$/m.exec(metrics)?.[1]), requests);
  const waited = Number(/^tidegate_quota_leases_total\{result="asked"\} (\d+)$/m.exec(metrics)?.[1]);
  const leases = [...metrics.matchAll(/^tidegate_quota_leases_total\{result="(\w+)"\} (\d+)$/gm)].map(([, result, count]) => `${result ?? ''} ${count ?? ''}`);
  const day = new Date().toISOString().slice(0, 10);
  const { streams } = await eventually('the day to be complete', async () => {
    const known = await node.control<Day>(`/v1/completeness?day=${day}`);
    assert.ok(known.complete, known.reasons.join('; '));
    return known;
  }, 60_000, 200);
  assert.ok(streams.length >= 2);
  assert.ok(streams.every((stream) => stream.missing === 0 && stream.twice === 0 && stream.dropped === 0), JSON.stringify(streams));
  assert.equal(await node.stop(), 0);
  const store = await ChdbStore.open(join(node.dataDir, 'store'));
  try {
    const [sums] = await store.query<Record<string, number>>(`SELECT
      (SELECT toFloat64(count()) FROM tidegate.events) AS raw, (SELECT toFloat64(sum(requests)) FROM tidegate.traffic_minute) AS minute,
      (SELECT toFloat64(sum(requests)) FROM tidegate.traffic_quarter_hour) AS quarter_hour, (SELECT -toFloat64(sum(toInt64(edge) * delta)) FROM tidegate.coverage) AS coverage`);
    assert.deepEqual(sums, { raw: requests, minute: requests, quarter_hour: requests, coverage: requests });
    const [lag] = await store.query<{ p50: number; p99: number; worst: number }>(`SELECT quantile(0.5)(lag) AS p50, quantile(0.99)(lag) AS p99, max(lag) AS worst FROM
      (SELECT toUnixTimestamp64Milli(stored_at) - toUnixTimestamp64Milli(time) - duration_us / 1000 AS lag FROM tidegate.events)`);
    console.log(`${requests} requests at ${Math.round(requests / seconds)}/s: all counts agree; request end to insert: p50 ${lag?.p50.toFixed(0)} ms, p99 ${lag?.p99.toFixed(0)} ms, worst ${lag?.worst.toFixed(0)} ms`);
    const ends = await store.query<Ended>(ENDS_SQL);
    const { p50, p99, worst } = lagsToReport(ends, shown);
    console.log(`request end to the report that shows it, asked every ${REPORT_EVERY_MS} ms: p50 ${p50} ms, p99 ${p99} ms (mark: ${MARK_P99_MS} ms, ${p99 <= MARK_P99_MS ? 'PASS' : 'FAIL'}), worst ${worst} ms`);
    console.log(`admitted from units in hand: ${((1 - waited / requests) * 100).toFixed(2)} % (${waited} waits for the ledger; leases: ${leases.join(', ')})`);
  } finally {
    await store.close();
  }
  await upstream.stop();
}

interface AppRow { readonly app: string; readonly requests: number; readonly bytes_out: number }
interface Day { readonly complete: boolean; readonly reasons: readonly string[]; readonly streams: readonly { readonly missing: number; readonly twice: number; readonly dropped: number }[] }
