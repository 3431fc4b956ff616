import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lagsToReport } from './report-lags.js';

test('a request is shown by the first report that says as many as had ended with it', () => {
  const ends = [{ end_ms: 1000, ended: 98 }, { end_ms: 1500, ended: 1 }, { end_ms: 2000, ended: 1 }];
  const shown = [{ atMs: 1100, requests: 0 }, { atMs: 1300, requests: 98 }, { atMs: 1900, requests: 99 }, { atMs: 2100, requests: 99 }, { atMs: 2900, requests: 100 }];
  assert.deepEqual(lagsToReport(ends, shown), { p50: 300, p99: 400, worst: 900 });
});

test('one that a report shows before its millisecond is over has waited for nothing', () => {
  assert.deepEqual(lagsToReport([{ end_ms: 1000, ended: 1 }], [{ atMs: 999, requests: 1 }]), { p50: 0, p99: 0, worst: 0 });
});
