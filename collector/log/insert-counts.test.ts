import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TidegateError } from '../../errors/tidegate-error.js';
import { InsertCounts } from './insert-counts.js';

test('an insert counts as what it came to, and its rows only where they are stored', async () => {
  const counts = new InsertCounts();
  await counts.count(100, () => Promise.resolve());
  const unknown = new TidegateError('store_unknown', 'no answer');
  await assert.rejects(counts.count(7, () => Promise.reject(unknown)), unknown);
  await assert.rejects(counts.count(7, () => Promise.reject(new TidegateError('store_unavailable', 'away'))), /away/);
  assert.deepEqual([counts.stored, counts.unknown, counts.failed, counts.rows], [1, 1, 1, 100]);
  assert.equal(counts.buckets.reduce((sum, count) => sum + count, 0), 3);
  assert.ok(counts.seconds > 0);
});
