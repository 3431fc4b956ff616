import assert from 'node:assert/strict';
import { test } from 'node:test';
import { percentileOf, ratios, spreadOf } from './statistics.js';

test('the median of an odd and of an even number of rounds, in any order', () => {
  assert.deepEqual(spreadOf([30, 2, 10]), { median: 10, least: 2, most: 30 });
  assert.deepEqual(spreadOf([4, 100, 1, 2]), { median: 3, least: 1, most: 100 });
  assert.deepEqual(spreadOf([7]), { median: 7, least: 7, most: 7 });
  assert.throws(() => spreadOf([]), RangeError);
});

test('numbers are sorted as numbers, and the rounds are left as they were', () => {
  const rounds = [9, 100, 20];
  assert.equal(spreadOf(rounds).median, 20);
  assert.deepEqual(rounds, [9, 100, 20]);
});

test('ratios are taken within each round', () => {
  assert.deepEqual(ratios([30, 60, 10], [10, 30, 10]), [3, 2, 1]);
  assert.throws(() => ratios([1], [1, 2]), RangeError);
});

test('percentiles are by nearest rank', () => {
  const values = Array.from({ length: 20 }, (_, i) => i + 1);
  assert.deepEqual([1, 50, 95, 100].map((percent) => percentileOf(values, percent)), [1, 10, 19, 20]);
  assert.equal(percentileOf([3], 95), 3);
  assert.throws(() => percentileOf([], 50), RangeError);
});
