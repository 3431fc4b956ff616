/** Real input: an access log replayed by two apps at once; the reports equal a plain count of the file, for every line, and keep the apps apart. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { eventually } from '../harness/deadline.js';
import { LOGGED_ROUTES, plainCount, readLog, replay, reportedCount, startLoggedUpstream, type TrafficRow } from '../harness/logged-traffic.js';
import { requires } from '../harness/requires.js';
import { TestNode } from '../harness/tidegate.js';

test('5,000 real requests by two apps at once: the report by route, method and status equals a plain count of the log', { skip: requires('chdb'), timeout: 300_000 }, async () => {
  const lines = readLog();
  assert.equal(lines.length, 5000);
  assert.ok(lines.every((line) => line.method !== '' && line.status > 0));
  const upstream = await startLoggedUpstream(lines);
  const keys = { alpha: 'key-alpha-0123456789abcdef', beta: 'key-beta-0123456789abcdef' };
  await using node = await TestNode.start({
    workers: 2,
    services: [{
      name: 'site', upstream: { targets: [{ url: `http://127.0.0.1:${upstream.port}` }] },
      routes: LOGGED_ROUTES,
    }],
    apps: Object.entries(keys).map(([name, key]) => ({ name, services: ['site'], keys: [{ id: 'k', sha256: createHash('sha256').update(key).digest('hex') }] })),
  });
  const from = new Date(Date.now() - 60_000).toISOString();
  const connections = 4;
  const sums = await Promise.all(Object.values(keys).map(async (key) => {
    const parts = await Promise.all(Array.from({ length: connections }, (_, i) => replay(node.port, key, lines, i, connections)));
    return parts.reduce((sum, part) => sum + part, 0);
  }));
  const expected = plainCount(lines);
  const expectedBytes = lines.reduce((sum, line) => sum + (line.method === 'HEAD' ? 0 : line.bytes), 0);
  assert.deepEqual(sums, [expectedBytes, expectedBytes], 'what the clients received');
  const query = (to: string): string => `/v1/reports/traffic?from=${from}&to=${to}&interval=total&group_by=app,route,method,status`;
  const rows = await eventually('all 10,000 in the report', async () => {
    const report = await node.control<{ rows: readonly TrafficRow[] }>(query(new Date(Date.now() + 60_000).toISOString()));
    return report.rows.reduce((sum, row) => sum + row.requests, 0) === 2 * lines.length ? report.rows : null;
  }, 60_000, 200);
  for (const app of Object.keys(keys)) {
    assert.deepEqual(reportedCount(rows, app), expected, `${app}: every group`);
  }
  // What an app reads with its own key is its own.
  for (const [app, key] of Object.entries(keys)) {
    const answer = await fetch(`${node.controlUrl}${query(new Date(Date.now() + 60_000).toISOString())}`, { headers: { authorization: `Bearer ${key}` } });
    assert.equal(answer.status, 200);
    const own = (await answer.json() as { rows: readonly TrafficRow[] }).rows;
    assert.deepEqual([...new Set(own.map((row) => row.app))], [app]);
    assert.equal(own.reduce((sum, row) => sum + row.requests, 0), lines.length);
  }
  const metrics = await node.metrics();
  const total = [...metrics.matchAll(/^tidegate_requests_total\{[^}]*\} (\d+)$/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
  assert.equal(total, 2 * lines.length, '/metrics agrees');
  await upstream.stop();
});
