import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RowEncoder } from '../../gateway/events/encoder.js';
import { IMPORT_WORKER } from '../../gateway/events/event.js';
import { sampleFacts } from '../../gateway/events/event-samples.fixture.js';
import { decodeRow, RowCursor } from '../../gateway/events/read-rows.js';
import { StreamPicker, together } from './picked-rows.js';
import { metAgain } from './range-insert.js';
import { SeqSet } from './seq-set.js';

const STREAM = '00c0ffee0000002a';
/** The first of a frame's rows; what the others hold is not looked at here. */
function rowsOf(first: number, worker = 1, timeMs = 0): Buffer {
  const encoder = new RowEncoder(STREAM, 'n', worker);
  encoder.append(sampleFacts(first + 1, { timeMs }), first);
  return Buffer.from(encoder.rows);
}
const take = (picker: StreamPicker, first: number, count = 2): boolean => picker.take(first, count, rowsOf(first));
const firstSeqs = (picker: StreamPicker): number[] => picker.pieces().map((rows) => decodeRow(new RowCursor(rows)).seq);

test('rows lie in the order of seq however their frames came, and each frame once', () => {
  const picker = new StreamPicker(STREAM, new SeqSet());
  for (const first of [4, 0, 8, 2, 0, 4]) assert.equal(take(picker, first), true);
  assert.deepEqual(firstSeqs(picker), [0, 2, 4, 8]);
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
  assert.deepEqual(together([a, b]), { pieces: [], version: 2, rows: 0, runs: [], repeats: [], leaveOut: [], imports: [], paces: [] });
});

test('of an imported log the days of its rows are told, of rows that are stored already none, and its repeats alarm nobody', () => {
  const picker = new StreamPicker(STREAM, new SeqSet([{ first: 0, last: 1 }]));
  const days = [0, 2, 4, 6].map((first) => [first, 16_000 + (first === 6 ? 4 : first)] as const);
  for (const [first, day] of days) picker.take(first, 2, rowsOf(first, IMPORT_WORKER, day * 86_400_000 + 86_399_999));
  const picked = together([picker]);
  assert.deepEqual(picked.imports, [{ stream: STREAM, days: [16_002, 16_004] }]);
  assert.deepEqual(metAgain(picked), []);
  const recorded = new StreamPicker(STREAM, new SeqSet([{ first: 0, last: 1 }]));
  for (const [first] of days) take(recorded, first);
  assert.deepEqual(together([recorded]).imports, []);
  assert.deepEqual(metAgain(together([recorded])), [{ stream: STREAM, first: 0, last: 1 }]);
});
