import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Reason } from './events/refusals.js';
import { KeptLog } from './events/event-samples.fixture.js';
import type { CompiledRoute } from './config/snapshot.js';
import { WrongCredentials } from './wrong-credentials.js';

test('each reason has a line in ten seconds, however many requests there are, and says how many were left out', () => {
  const log = new KeptLog();
  let nowMs = 1000;
  const wrong = new WrongCredentials(log, () => nowMs);
  const route = { name: 'all', service: { name: 'shop' } } as unknown as CompiledRoute;
  const note = (reason: Reason, times: number): void => {
    for (let i = 0; i < times; i++) wrong.note({ client: '203.0.113.0', logNames: { request_id: `${reason}-${nowMs}-${i}` }, route }, { refusedBy: 'jwt', reason });
  };
  note('expired', 1000);
  note('bad_signature', 3);
  nowMs += 9999;
  note('expired', 5);
  nowMs += 1;
  note('expired', 2);
  note('unknown_kid', 1);
  assert.deepEqual(log.lines.map(({ level, fields }) => [level, fields]), [
    ['expired', 0, 1000], ['bad_signature', 0, 1000], ['expired', 1004, 11_000], ['unknown_kid', 0, 11_000],
  ].map(([reason, suppressed, at]) => ['info', { refused_by: 'jwt', reason, service: 'shop', route: 'all', client: '203.0.113.0', suppressed, request_id: `${reason}-${at}-0` }]));
});
