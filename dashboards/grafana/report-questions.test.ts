/** What the plugin makes of the report API's answers, where JSONata puts them together. That live ones have data is test/e2e/boards.long.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tableOf, type TargetJson } from '../preview/ask.js';
import { REPORT_API } from './report-questions.js';

/** In milliseconds, to four digits: where a bucket of the percentiles begins (docs/reports.md). */
const bound = (bucket: number): number => Number((2 ** (bucket / 8) / 1000).toPrecision(4));

test('each row of the heatmap has its requests, and each request is in one row', async () => {
  // one in each bucket, from 1 us to 6 minutes
  const durations = Array.from({ length: 228 }, (_, bucket) => [bound(bucket), bound(bucket + 1), 1]);
  const { columns, rows: [row = []] } = await tableOf(REPORT_API.heat.build() as unknown as TargetJson, { rows: [{ time: '2026-11-21T00:00:00Z', requests: 228, durations }] });
  assert.deepEqual([columns.slice(0, 4), columns.at(-1)], [['time', '0.512 ms', '1.02 ms', '2.05 ms'], '67.1 s']);
  // what is faster is in the first, what is slower in the last; the others are a factor of two wide, of 8 buckets
  assert.deepEqual(row.slice(1), [72, ...Array.from({ length: 16 }, () => 8), 28]);
});

test('what came without an app has a name in the table of apps, and so have all others together', async () => {
  const sums = { requests: 3, errors: 0, refused: 3, bytes_out: 0, duration_ms: { p99: 1.5 } };
  const { columns, rows } = await tableOf(REPORT_API.topApps.build() as unknown as TargetJson, { rows: [{ app: 'acme', ...sums }, { app: '', ...sums }, { app: null, others: true, ...sums }] });
  assert.deepEqual(columns, ['app', 'requests', 'errors', 'refused', 'bytes_out', 'p99_ms']);
  assert.deepEqual(rows, ['acme', '(no app)', '(all others)'].map((app) => [app, 3, 0, 3, 0, 1.5]));
});
