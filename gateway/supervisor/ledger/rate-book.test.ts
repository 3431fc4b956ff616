/** The failure these hold off: units that a node made itself, and that the store through which nodes share a rate never hears of. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RateBook } from './rate-book.js';
import type { SharedLimits } from './shared-limits.js';

const KEY = 'qps:app:a';

function bookOf(standing: { up: boolean }): RateBook {
  const shared: SharedLimits = {
    aheadMs: 0,
    get up() { return standing.up; }, allowsLoss: false, alone: () => 0.5, share: () => standing.up ? 0 : 0.5,
    ceiling: (_dated, committed) => committed, left: () => 0, waitMs: () => 1, unknown: () => false, ask: () => false, recall: () => false, lent: () => {}, changed: () => {},
  };
  const book = new RateBook({ wallMs: () => 0, monotonicMs: () => 1000 }, null, shared);
  book.configure(new Map([[KEY, { qps: 100, burst: 100 }]]));
  return book;
}

test('units made during a stall are taken off what the node has of the store, and the store is told of the others, once', () => {
  const book = bookOf({ up: true });
  book.credit(KEY, 10);
  book.made(KEY, 's1', 25);
  assert.deepEqual([book.node(KEY)?.made, book.node(KEY)?.held, book.available(KEY)], [15, 25, 0]);
  book.made(KEY, 's2', 5);
  book.told(KEY, 15);
  assert.equal(book.node(KEY)?.made, 5, 'made while the store was being told');
  book.told(KEY, 5);
  assert.equal(book.node(KEY)?.made, 0);
});

test('made before the node had any of the rate: taken off all the same', () => {
  const book = bookOf({ up: true });
  book.made(KEY, 's1', 7);
  assert.deepEqual([book.node(KEY)?.made, book.node(KEY)?.idleMs], [7, 0]);
});

test('made while the store was away too: how many it must take off is not known', () => {
  const standing = { up: false };
  const book = bookOf(standing);
  book.made(KEY, 's1', 7);
  standing.up = true;
  assert.equal(book.node(KEY)?.made, Number.POSITIVE_INFINITY);
  book.told(KEY, Number.POSITIVE_INFINITY);
  assert.equal(book.node(KEY)?.made, 0);
});

test('workers are told which part of a rate the node may make by itself', () => {
  const book = bookOf({ up: true });
  book.credit(KEY, 10);
  assert.equal(book.tryGrant(KEY, 's1', 1, 1)?.share, 0.5);
  assert.equal(book.denied(KEY).share, 0.5);
});
