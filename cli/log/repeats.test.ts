import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Repeats } from './repeats.js';

test('of each kind the first lines of a minute pass; when it is over it is told how many did not, and lines pass again', () => {
  let nowMs = 0;
  const repeats = new Repeats(2, () => nowMs);
  const taken = (level: string, code: string | null, message: string): string => [1, 2, 3, 4].map(() => Number(repeats.take(level, code, message))).join('');
  assert.deepEqual([taken('error', 'a', 'x'), taken('error', 'b', 'x'), taken('error', 'a', 'y'), taken('warn', 'a', 'x')], ['1100', '1100', '1100', '1100']);
  nowMs = 59_999;
  assert.deepEqual([taken('error', 'a', 'x'), repeats.over()], ['0000', []]);
  nowMs = 60_000;
  assert.deepEqual(repeats.over().map(({ level, code, message, count }) => [level, code, message, count]), [['error', 'a', 'x', 6], ['error', 'b', 'x', 2], ['error', 'a', 'y', 2], ['warn', 'a', 'x', 2]]);
  assert.deepEqual([repeats.over(), taken('error', 'a', 'x'), repeats.total], [[], '1100', 14]);
  assert.deepEqual(repeats.over(true).map(({ count }) => count), [2]);
});

test('lines that are all different are held back too, and take no memory without end', () => {
  const repeats = new Repeats(5, () => 0);
  const passed = Array.from({ length: 100_000 }, (_, i) => repeats.take('error', null, `line ${i}`)).filter(Boolean).length;
  assert.equal(passed, 1000 + 5);
  assert.deepEqual(repeats.over(true).map(({ message, count }) => [message, count]), [['many different lines', 100_000 - 1005]]);
});

test('a limit of 0 holds nothing back', () => {
  const repeats = new Repeats(0);
  assert.ok(Array.from({ length: 1000 }, () => repeats.take('error', 'a', 'x')).every(Boolean));
});
