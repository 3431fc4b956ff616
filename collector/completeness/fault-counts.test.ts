import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FaultCounts } from './fault-counts.js';

const of = (stream: string, missing: number, twice = 0): { stream: string; missing: number; twice: number } => ({ stream, missing, twice });

test('the counters of gaps and of events stored twice never go down, and miss no new one behind one that goes out of sight', () => {
  const counts = new FaultCounts();
  assert.equal(counts.take([of('a', 5), of('b', 0, 2)]), true, 'what was there before this process counts');
  assert.equal(counts.take([of('a', 5), of('b', 0, 2)]), false);
  assert.deepEqual([counts.missingTotal, counts.twiceTotal], [5, 2]);
  // a's day ends, and c begins with as many
  assert.equal(counts.take([of('c', 5)]), true);
  assert.deepEqual([counts.missing, counts.missingTotal, counts.twice, counts.twiceTotal], [5, 10, 0, 2]);
  counts.take([of('c', 1)]);
  counts.take([of('c', 3)]);
  counts.take([]);
  assert.deepEqual([counts.missing, counts.missingTotal], [0, 12]);
});
