import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pauseMs } from './spool-event-log.js';

test('a look at the spool each 250 ms; less often the longer it takes, so that a quarter of the time goes into it; each second at least', () => {
  assert.deepEqual([0, 10, 62.5, 100, 200, 250, 600, 5000].map(pauseMs), [250, 240, 187.5, 300, 600, 750, 400, 1]);
});
