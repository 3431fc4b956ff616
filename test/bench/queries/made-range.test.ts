import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeRow, RowCursor, type EventRow } from '../../../gateway/events/read-rows.js';
import type { PickedRows } from '../../../collector/log/picked-rows.js';
import { RangeMaker } from './made-range.js';

const bytesOf = ({ pieces }: PickedRows): Buffer => Buffer.concat(pieces);

function rowsOf(picked: PickedRows): EventRow[] {
  const cursor = new RowCursor(bytesOf(picked));
  return Array.from({ length: picked.rows }, () => decodeRow(cursor));
}

test('a range that is made again is the same to the byte, whatever was made before it', () => {
  const one = new RangeMaker(50_000, 6000);
  const made = Array.from({ length: one.ranges }, (_, i) => bytesOf(one.make(i + 1)));
  const other = new RangeMaker(50_000, 6000);
  for (const range of [9, 3, 4, 1]) assert.ok(bytesOf(other.make(range)).equals(made[range - 1] as Buffer), `range ${range}`);
  assert.ok(!(made[0] as Buffer).equals(made[1] as Buffer));
});

test('its rows are those of its streams, in the order of ends, each event once', () => {
  const maker = new RangeMaker(50_000, 6000);
  const ordinals = new Map<string, Set<number>>();
  const nextSeq = new Map<string, number>();
  for (let range = 1; range <= maker.ranges; range++) {
    const picked = maker.make(range);
    const rows = rowsOf(picked);
    let before: EventRow | null = null;
    for (const row of rows) {
      assert.equal(row.seq, nextSeq.get(row.stream) ?? 0);
      nextSeq.set(row.stream, row.seq + 1);
      ordinals.set(row.stream, (ordinals.get(row.stream) ?? new Set()).add(row.ordinal));
      if (before?.stream === row.stream) assert.ok(before.timeMs + before.durationUs / 1000 <= row.timeMs + row.durationUs / 1000);
      assert.ok(row.upstreamUs <= row.durationUs && row.requests === 1);
      before = row;
    }
    assert.deepEqual(picked.runs.map(({ stream, last }) => [stream, last + 1]), picked.runs.map(({ stream }) => [stream, nextSeq.get(stream)]));
  }
  assert.equal([...nextSeq.values()].reduce((sum, next) => sum + next, 0), 50_000);
  for (const [stream, set] of ordinals) assert.equal(set.size, nextSeq.get(stream));
});

test('durations are lognormal, and the rows a second of a stream are known to the insert', () => {
  const rows = rowsOf(new RangeMaker(20_000, 20_000).make(1)).filter(({ upstreamUs }) => upstreamUs > 0);
  const logs = rows.map(({ durationUs, upstreamUs }) => Math.log(durationUs - upstreamUs));
  const mean = logs.reduce((sum, log) => sum + log, 0) / logs.length;
  const sigma = Math.sqrt(logs.reduce((sum, log) => sum + (log - mean) ** 2, 0) / logs.length);
  assert.equal(Math.round(Math.exp(mean) / 10), 25);
  assert.equal(sigma.toFixed(1), '0.5');
  const dense = new RangeMaker(100_000_000, 20_000).make(2000);
  for (const { rowsASecond } of dense.paces) assert.ok(rowsASecond >= 1 && rowsASecond <= 15, String(rowsASecond));
});
