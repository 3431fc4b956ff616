import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ReadThrough } from './read-through.js';

/** Asked and answered at once. */
class Asked extends ReadThrough {
  says(partition: number, end: number, atMs: number): void {
    this.ends(partition, end, { atMs, answeredMs: atMs });
  }
}

/** An answer speaks for this long before it. */
const BEFORE_MS = 1000;

test('a partition is stored as of the last asking that an answer speaks for and before which all is stored; several, as the one that lags most', () => {
  const read = new Asked();
  assert.equal(read.asOfMs([1]), null, 'not its own');
  read.begin(new Map([[1, 10], [2, 0]]));
  assert.equal(read.asOfMs([1, 2]), null);
  read.says(1, 10, 1000);
  read.says(2, 0, 1005);
  assert.equal(read.asOfMs([1]), null, 'an answer alone says nothing');
  read.says(1, 10, 1999);
  assert.equal(read.asOfMs([1]), null, 'nor two shortly one after the other');
  read.says(1, 10, 2000);
  assert.equal(read.asOfMs([1]), 1000, 'nothing is there to be read');
  assert.equal(read.asOfMs([1, 2]), null, 'of the other nothing is known');
  read.says(2, 5, 2005);
  read.stored(2, 4);
  assert.equal(read.asOfMs([2]), null);
  read.says(2, 8, 2010);
  read.stored(2, 5);
  assert.deepEqual([read.asOfMs([2]), read.asOfMs([1, 2]), read.asOfMs([])], [1005, 1000, null]);
  read.says(2, 9, 3020);
  read.stored(2, 9);
  read.says(1, 11, 3020);
  assert.deepEqual([read.asOfMs([2]), read.asOfMs([1])], [2010, 1000]);
  assert.deepEqual([...read.nexts], [[1, 10], [2, 9]]);
  read.begin(new Map([[2, 9]]));
  assert.deepEqual([read.asOfMs([1]), read.asOfMs([2])], [null, null], 'dealt out anew');
});

test('what a broker says that stood still, when it goes on, speaks for nothing that it did not answer while it stood', () => {
  const read = new Asked();
  read.begin(new Map([[1, 10]]));
  for (let atMs = 0; atMs <= 2000; atMs += 250) read.says(1, 10, atMs);
  assert.equal(read.asOfMs([1]), 1000);
  // asked while it stood, answered when it goes on; another leads meanwhile, and has more
  read.ends(1, 10, { atMs: 2250, answeredMs: 30_000 });
  read.says(1, 10, 30_100);
  read.says(1, 10, 30_250);
  assert.equal(read.asOfMs([1]), 2000);
  read.says(1, 25, 30_500);
  read.says(1, 25, 31_250);
  assert.equal(read.asOfMs([1]), 2000);
  read.stored(1, 25);
  assert.equal(read.asOfMs([1]), 2000, 'what was asked before the right answers');
  read.says(1, 25, 31_500);
  assert.equal(read.asOfMs([1]), 30_500);
});

test('an end that is lower than it was is believed once it has been said for a while', () => {
  const read = new Asked();
  read.begin(new Map([[1, 10]]));
  read.says(1, 20, 1000 - BEFORE_MS);
  read.says(1, 20, 1000);
  read.says(1, 10, 2000);
  assert.equal(read.asOfMs([1]), null, 'what came before the first asking is not stored');
  read.says(1, 20, 2250);
  for (let atMs = 12_500; atMs < 22_500; atMs += 250) read.says(1, 10, atMs);
  assert.equal(read.asOfMs([1]), null);
  read.says(1, 10, 22_500);
  assert.equal(read.asOfMs([1]), 22_500 - BEFORE_MS, 'the log went back: what was waited for never comes');
  read.says(1, 12, 23_000);
  read.stored(1, 12);
  assert.equal(read.asOfMs([1]), 23_000 - BEFORE_MS);
});
