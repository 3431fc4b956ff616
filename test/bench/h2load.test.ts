import { test } from 'node:test';
import assert from 'node:assert/strict';
import { parseH2Load } from './h2load.js';

test('what h2load prints is read; what it does not print is refused', () => {
  const output = 'finished in 1.00s, 4990.00 req/s, 1.1MB/s\nrequests: 5000 total, 5000 started, 5000 done, 4990 succeeded, 10 failed, 10 errored, 0 timeout\nstatus codes: 4990 2xx, 0 3xx, 0 4xx, 0 5xx\n';
  assert.deepEqual(parseH2Load(output), { calls: 5000, failed: 10 });
  assert.throws(() => parseH2Load('usage: h2load'), /not a report/);
});
