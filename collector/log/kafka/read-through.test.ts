import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ReadThrough } from './read-through.js';

test('a partition is stored as of the last time that its end was asked for and all before it is stored; several, as the one that lags most', () => {
  const read = new ReadThrough();
  assert.equal(read.asOfMs([1]), null, 'not its own');
  read.begin(new Map([[1, 10], [2, 0]]));
  assert.equal(read.asOfMs([1, 2]), null);
  read.ends(1, 10, 1000);
  assert.equal(read.asOfMs([1]), 1000, 'nothing is there to be read');
  assert.equal(read.asOfMs([1, 2]), null, 'of the other nothing is known');
  read.ends(2, 5, 1005);
  read.stored(2, 4);
  assert.equal(read.asOfMs([2]), null);
  read.ends(2, 8, 1010);
  read.stored(2, 5);
  assert.deepEqual([read.asOfMs([2]), read.asOfMs([1, 2]), read.asOfMs([])], [1005, 1000, null]);
  read.ends(2, 9, 1020);
  read.stored(2, 9);
  read.ends(1, 11, 1020);
  assert.deepEqual([read.asOfMs([2]), read.asOfMs([1])], [1020, 1000]);
  assert.deepEqual([...read.nexts], [[1, 10], [2, 9]]);
  read.begin(new Map([[2, 9]]));
  assert.deepEqual([read.asOfMs([1]), read.asOfMs([2])], [null, null], 'dealt out anew');
});

test('an end that is lower than it was is believed once it has been said for a while: a broker that stood still answers as the leader it was', () => {
  const read = new ReadThrough();
  read.begin(new Map([[1, 10]]));
  read.ends(1, 20, 1000);
  read.ends(1, 10, 2000);
  assert.equal(read.asOfMs([1]), null, 'what came before the first asking is not stored');
  read.ends(1, 20, 2250);
  read.ends(1, 10, 12_500);
  read.ends(1, 10, 22_250);
  assert.equal(read.asOfMs([1]), null);
  read.ends(1, 10, 22_500);
  assert.equal(read.asOfMs([1]), 22_500, 'the log went back: what was waited for never comes');
  read.ends(1, 12, 23_000);
  read.stored(1, 12);
  assert.equal(read.asOfMs([1]), 23_000);
});
