import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { test } from 'node:test';
import { TidegateError } from '../../../errors/tidegate-error.js';
import { Learning } from './learning.js';

test('a collector that is starting is waited for without a word, then with a line in ten seconds; what else fails is told with its cause', async () => {
  let nowMs = 0;
  let error: Error = new TidegateError('collector_unavailable', 'it does not listen');
  const told: [number, object][] = [];
  const log = { info() {}, error() {}, warn: (fields: object) => { told.push([nowMs, fields]); } };
  const learning = new Learning(() => Promise.reject(error), { monotonicMs: () => nowMs, wallMs: () => nowMs }, log, () => {});
  for (; nowMs <= 25_000; nowMs += 1000) {
    assert.ok(learning.idle);
    learning.ask([]);
    await nextTurn();
  }
  assert.deepEqual(told, [[10_000, { code: 'collector_unavailable' }], [20_000, { code: 'collector_unavailable' }]]);
  error = new Error('damaged');
  learning.ask([]);
  await nextTurn();
  assert.deepEqual(told.slice(2), [[nowMs, { err: error }]]);
});
