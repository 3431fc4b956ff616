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
  const schedule = new Schedule(500, [{ rate: 3000, seconds: 2 }]);
  assert.equal(schedule.count, 6000);
  assert.equal(schedule.dueMs(0), 500);
  assert.equal(schedule.dueMs(3000), 1500);
  assert.equal(schedule.dueMs(6000), 2500);
});

test('a client that comes late finds all that fell due meanwhile, and no more than there is', () => {
  const schedule = new Schedule(100, [{ rate: 1000, seconds: 1 }]);
  assert.deepEqual([99.9, 100, 100.9, 101, 109.5, 5000].map((nowMs) => schedule.dueBy(nowMs)), [0, 1, 1, 2, 10, 1000]);
});

test('steps follow each other without a gap, and each request belongs to one', () => {
  const schedule = new Schedule(1000, [{ rate: 100, seconds: 1 }, { rate: 400, seconds: 0.5 }, { rate: 50, seconds: 2 }]);
  assert.equal(schedule.count, 100 + 200 + 100);
  assert.equal(schedule.endMs, 4500);
  assert.deepEqual([0, 99, 100, 101, 299, 300, 399].map((number) => [schedule.dueMs(number), schedule.stepOf(number)]), [
    [1000, 0], [1990, 0], [2000, 1], [2002.5, 1], [2497.5, 1], [2500, 2], [4480, 2],
  ]);
  assert.deepEqual([1999, 2000, 2005, 2499, 2500, 9000].map((nowMs) => [schedule.dueBy(nowMs), schedule.stepAt(nowMs)]), [[100, 0], [101, 1], [103, 1], [300, 1], [301, 2], [400, 2]]);
  assert.deepEqual([0, 1, 2].map((step) => schedule.requestsOf(step)), [[0, 100], [100, 300], [300, 400]]);
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
