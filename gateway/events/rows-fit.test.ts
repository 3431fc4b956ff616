import { test } from 'node:test';
import assert from 'node:assert/strict';
import { RowEncoder } from './encoder.js';
import { sampleFacts } from './event-samples.fixture.js';
import { rowsFit } from './rows-fit.js';

const STREAM = '00c0ffee0000002b';

test('rows are what their header says, or their frame is not taken', () => {
  const encoder = new RowEncoder(STREAM, 'node-a', 1);
  for (let i = 0; i < 31; i++) encoder.append(sampleFacts(i + 1, { recordedPath: i % 2 === 0 ? '' : `/${'long/'.repeat(40)}` }), i);
  const { rows, count } = encoder;
  const frame = { firstSeq: 0, count, rows };
  assert.equal(rowsFit(STREAM, frame), true);
  const not = {
    'a row more': { count: count + 1 }, 'a row fewer': { count: count - 1 }, 'another seq': { firstSeq: 1 },
    'cut short': { rows: rows.subarray(0, -1) }, 'longer': { rows: Buffer.concat([rows, Buffer.from([0])]) }, 'no rows': { rows: Buffer.from('x') },
  };
  for (const [what, change] of Object.entries(not)) assert.equal(rowsFit(STREAM, { ...frame, ...change }), false, what);
  assert.equal(rowsFit('00c0ffee0000002a', frame), false, 'another stream');
  for (const [what, changes] of Object.entries({
    'a time that the engine cannot add to': { timeMs: 2 ** 54 }, 'one before all times': { timeMs: -(2 ** 60) }, 'an outcome of a later version': { outcomeId: 100 },
    'a method without a name': { methodId: 100 }, 'a protocol without a name': { protocolId: 100 }, 'a kind without a name': { kindId: 100 },
  })) {
    const odd = new RowEncoder(STREAM, 'node-a', 1);
    odd.append(sampleFacts(1, changes), 0);
    assert.equal(rowsFit(STREAM, { firstSeq: 0, count: 1, rows: odd.rows }), false, what);
  }
  // the first path's length in eleven bytes: to the engine it ends after ten
  const path = rows.indexOf('203.0.113.0') + '203.0.113.0'.length;
  const long = Buffer.concat([rows.subarray(0, path), Buffer.alloc(10, 0x80), rows.subarray(path)]);
  assert.equal(rowsFit(STREAM, { ...frame, rows: long }), false, 'a length of eleven bytes');
});
