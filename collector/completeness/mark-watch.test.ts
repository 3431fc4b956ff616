import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DUE_AFTER_MS, MarkWatch } from './mark-watch.js';

test('a stream is behind from the first mark that is not stored, and a mark is due some time after it was seen', () => {
  const watch = new MarkWatch();
  const at = (nowMs: number, markSeq: number, pendingSeq: number | null): readonly [number | null, number] => {
    watch.marked('s', markSeq, nowMs);
    return [watch.reached('s', pendingSeq, nowMs), watch.dueSeq('s')];
  };
  assert.deepEqual(at(0, 9, null), [null, -1]);
  assert.deepEqual(at(1000, 19, 10), [1000, -1]);
  assert.deepEqual(at(2000, 29, 15), [1000, -1], 'the mark that was waited for is not reached');
  assert.deepEqual(at(3000, 29, 20), [3000, -1], 'it is, and the next is not');
  assert.deepEqual(at(4000, 29, null), [null, -1]);
  assert.deepEqual(at(DUE_AFTER_MS, 39, 30), [DUE_AFTER_MS, 9]);
  assert.deepEqual(at(DUE_AFTER_MS + 2500, 39, 30), [DUE_AFTER_MS, 29]);
  watch.keep(new Set());
  assert.deepEqual([watch.reached('s', null, 0), watch.dueSeq('s')], [null, -1]);
});
