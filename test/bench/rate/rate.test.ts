import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AnswerReader } from './answer-reader.js';
import { percentilesOf } from './percentiles.js';
import { Schedule } from './schedule.js';

test('percentiles are values that were measured, in any order', () => {
  assert.deepEqual(percentilesOf(Float64Array.from({ length: 1000 }, (_, i) => 1000 - i)), { p50: 500, p99: 990, p999: 999, worst: 1000 });
  assert.deepEqual(percentilesOf(Float64Array.of(7)), { p50: 7, p99: 7, p999: 7, worst: 7 });
  assert.deepEqual(percentilesOf(Float64Array.of(100, 9)), { p50: 9, p99: 100, p999: 100, worst: 100 });
  assert.throws(() => percentilesOf(new Float64Array()), RangeError);
});

test('requests are due evenly, and the moments do not drift', () => {
  const schedule = new Schedule(500, 3000, 2);
  assert.equal(schedule.count, 6000);
  assert.equal(schedule.dueMs(0), 500);
  assert.equal(schedule.dueMs(3000), 1500);
  assert.equal(schedule.dueMs(6000), 2500);
});

test('a client that comes late finds all that fell due meanwhile, and no more than there is', () => {
  const schedule = new Schedule(100, 1000, 1);
  assert.deepEqual([99.9, 100, 100.9, 101, 109.5, 5000].map((nowMs) => schedule.dueBy(nowMs)), [0, 1, 1, 2, 10, 1000]);
});

test('an answer is whole at the last byte of its body, wherever it is cut', () => {
  const answer = Buffer.from('HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 5\r\n\r\ntides');
  for (let cut = 1; cut < answer.length; cut++) {
    const reader = new AnswerReader();
    assert.equal(reader.read(answer.subarray(0, cut)), null, String(cut));
    assert.equal(reader.read(answer.subarray(cut)), 200, String(cut));
    assert.equal(reader.read(Buffer.from('HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n')), 503, 'the next one on the connection');
  }
});

test('what the reader does not understand is refused', () => {
  assert.throws(() => new AnswerReader().read(Buffer.from('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')), /Content-Length/);
  assert.throws(() => new AnswerReader().read(Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1')), /more than one/);
});
