import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseWrk } from './wrk.js';

const report = (more = ''): string => `Running 3s test @ http://127.0.0.1:18080/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.50ms  250.00us  12.00ms   90.10%
    Req/Sec    42.50k     1.20k   44.00k    80.00%
  Latency Distribution
     50%  850.00us
     75%    1.60ms
     90%    1.90ms
     99%    1.02s 
  126953 requests in 3.10s, 25.10MB read
${more}Requests/sec:  40952.58
Transfer/sec:      8.10MB
`;

test('requests, time and percentiles are read, whatever their units', () => {
  assert.deepEqual(parseWrk(report()), { requests: 126953, seconds: 3.1, p50Ms: 0.85, p99Ms: 1020, refused: 0, broken: 0 });
});

test('refused answers and broken connections are told apart', () => {
  const more = '  Socket errors: connect 1, read 20, write 300, timeout 4000\n  Non-2xx or 3xx responses: 50000\n';
  const { refused, broken } = parseWrk(report(more));
  assert.deepEqual({ refused, broken }, { refused: 50000, broken: 4321 });
});

test('anything else is refused', () => {
  assert.throws(() => parseWrk('unable to connect to 127.0.0.1:1 Connection refused\n'), /not a report/);
});
