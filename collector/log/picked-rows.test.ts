import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StreamPicker, together } from './picked-rows.js';
import { SeqSet } from './seq-set.js';

const STREAM = '00c0ffee0000002a';
/** Two rows with seqs `first` and `first + 1`; what they hold is not looked at here. */
const take = (picker: StreamPicker, first: number, count = 2): boolean => picker.take(first, count, Buffer.from(`${first}+${count} `));

test('rows lie in the order of seq however their frames came, and each frame once', () => {
  const picker = new StreamPicker(STREAM, new SeqSet());
  for (const first of [4, 0, 8, 2, 0, 4]) assert.equal(take(picker, first), true);
  assert.equal(picker.pieces().map(String).join(''), '0+2 2+2 4+2 8+2 ');
  assert.deepEqual(picker.runs, [{ stream: STREAM, first: 0, last: 5 }, { stream: STREAM, first: 8, last: 9 }]);
  assert.deepEqual(picker.repeats, [{ stream: STREAM, first: 0, last: 1 }, { stream: STREAM, first: 4, last: 5 }]);
  assert.equal(picker.rows, 8);
});

test('of a frame that is stored in part the known rows are left out, and one that is stored whole is a repeat', () => {
  const picker = new StreamPicker(STREAM, new SeqSet([{ first: 0, last: 4 }, { first: 7, last: 7 }]));
  take(picker, 0, 3);
  take(picker, 3, 6);
  assert.deepEqual(picker.repeats.map(({ first, last }) => [first, last]), [[0, 2]]);
  assert.deepEqual(picker.leaveOut.map(({ first, last }) => [first, last]), [[3, 4], [7, 7]]);
  assert.deepEqual(picker.runs.map(({ first, last }) => [first, last]), [[5, 6], [8, 8]]);
  assert.equal(take(picker, 3, 6), true, 'the same again is a repeat');
  assert.equal(picker.repeats.length, 2);
});

test('a frame that shares rows with another of the range, and is not it, is not taken', () => {
  const picker = new StreamPicker(STREAM, new SeqSet());
  take(picker, 0, 4);
  assert.equal(take(picker, 2, 4), false);
  assert.equal(picker.rows, 4);
});

test('streams stand one behind the other', () => {
  const [a, b] = [new StreamPicker('a'.repeat(16), new SeqSet()), new StreamPicker('b'.repeat(16), new SeqSet())];
  assert.deepEqual(together([a, b]), { pieces: [], rows: 0, runs: [], repeats: [], leaveOut: [], paces: [] });
});
