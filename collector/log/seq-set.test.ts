import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeqSet } from './seq-set.js';

test('runs join where they touch or overlap, wherever they are added', () => {
  const set = new SeqSet([{ first: 0, last: 4 }, { first: 5, last: 9 }, { first: 20, last: 29 }]);
  assert.deepEqual(set.runs, [{ first: 0, last: 9 }, { first: 20, last: 29 }]);
  set.add(12, 15);
  assert.deepEqual(set.runs, [{ first: 0, last: 9 }, { first: 12, last: 15 }, { first: 20, last: 29 }]);
  set.add(10, 19);
  assert.deepEqual([set.runs, set.end], [[{ first: 0, last: 29 }], 30]);
});

test('it holds what a plain set of numbers holds', () => {
  const set = new SeqSet();
  const plain = new Set<number>();
  for (let i = 0; i < 400; i++) {
    const first = (i * 7919) % 500;
    const last = first + (i % 6);
    set.add(first, last);
    for (let seq = first; seq <= last; seq++) plain.add(seq);
    const from = (i * 131) % 500;
    const held = set.within(from, from + 20).flatMap((run) => Array.from({ length: run.last - run.first + 1 }, (_, n) => run.first + n));
    assert.deepEqual(held, Array.from({ length: 21 }, (_, n) => from + n).filter((seq) => plain.has(seq)));
  }
});
