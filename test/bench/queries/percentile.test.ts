import assert from 'node:assert/strict';
import { test } from 'node:test';
import { percentile } from './percentile.js';

test('percentiles are by nearest rank, of values in any order', () => {
  const values = Array.from({ length: 20 }, (_, i) => 20 - i);
  assert.deepEqual([1, 50, 95, 100].map((percent) => percentile(values, percent)), [1, 10, 19, 20]);
  assert.equal(percentile([3], 95), 3);
  assert.throws(() => percentile([], 50), RangeError);
});
