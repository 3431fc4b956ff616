import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pauseMs } from './spool-event-log.js';

test('a look at the spool each 250 ms; less often the longer it takes, so that a quarter of the time goes into it; every 600 ms at least', () => {
  assert.deepEqual([0, 10, 62.5, 100, 150, 200, 600, 5000].map(pauseMs), [250, 240, 187.5, 300, 450, 400, 1, 1]);
});
