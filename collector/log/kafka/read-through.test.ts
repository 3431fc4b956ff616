import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ReadThrough } from './read-through.js';

/** Asked and answered at once. */
class Asked extends ReadThrough {
  says(partition: number, end: number, atMs: number): void {
    this.ends(partition, end, { atMs, askedMs: atMs, answeredMs: atMs });
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
  read.ends(1, 10, { atMs: 2250, askedMs: 2250, answeredMs: 30_000 });
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

test('a clock that is set back takes as-of back with it: it stays at no time that is yet to come', () => {
  const read = new ReadThrough();
  read.begin(new Map([[1, 10]]));
  const says = (end: number, atMs: number, steadyMs: number): void => { read.ends(1, end, { atMs, askedMs: steadyMs, answeredMs: steadyMs }); };
  const HOUR_MS = 3_600_000;
  for (let ms = 0; ms <= 2000; ms += 250) says(10, HOUR_MS + ms, ms);
  assert.equal(read.asOfMs([1], HOUR_MS + 2000, 2000), HOUR_MS + 1000);
  assert.equal(read.asOfMs([1], 2 * HOUR_MS, 2000), HOUR_MS + 1000, 'nor forth, if it is set forward, or the machine sleeps');
  says(25, 2250, 2250);
  assert.equal(read.asOfMs([1], 60_000, 60_000), 1000, 'also while more is waited for');
  read.stored(1, 25);
  for (let ms = 2500; ms <= 4000; ms += 250) says(25, ms, ms);
  assert.equal(read.asOfMs([1], 4000, 4000), 3000);
});

test('an answer with less than was there at an asking does not speak for it', () => {
  const read = new Asked();
  read.begin(new Map([[1, 10]]));
  read.says(1, 10, 0);
  read.says(1, 20, 1000);
  // not to be waited for yet, and 30 by then
  read.says(1, 30, 2000);
  read.stored(1, 20);
  assert.equal(read.asOfMs([1]), 0);
  // as of the leader that was
  read.says(1, 25, 3000);
  read.stored(1, 25);
  assert.equal(read.asOfMs([1]), 0);
  read.says(1, 30, 3250);
  read.stored(1, 30);
  assert.equal(read.asOfMs([1]), 2000);
});

test('a lower end counts from when it was said, not from when a broker was asked that stood still', () => {
  const read = new Asked();
  read.begin(new Map([[1, 10]]));
  read.says(1, 20, 0);
  read.says(1, 20, 1000);
  read.ends(1, 15, { atMs: 2000, askedMs: 2000, answeredMs: 13_900 });
  read.says(1, 15, 14_150);
  read.stored(1, 15);
  assert.equal(read.asOfMs([1]), null);
  for (let atMs = 14_400; atMs <= 24_000; atMs += 250) read.says(1, 15, atMs);
  assert.equal(read.asOfMs([1]), 22_900, 'a second before the answer that is believed');
});
