/** A worker's spans wait for the supervisor within bounds, and are told of once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SpanOutbox, type SpansMessage } from './span-outbox.js';
import { tracedRequest } from './traced-request.fixture.js';

test('a supervisor that is away, or reads nothing, costs spans beyond a bound, and they are counted', () => {
  const sent: SpansMessage[] = [];
  const link = { unsentBytes: 0, up: false, send(message: SpansMessage): boolean { return this.up && sent.push(message) > 0; } };
  const outbox = new SpanOutbox(link);
  for (let i = 0; i < 1500; i++) outbox.push(tracedRequest());
  assert.equal(sent.length, 0);
  link.up = true;
  link.unsentBytes = 2_000_000;
  outbox.flush();
  assert.equal(sent.length, 0, 'leases do not wait behind spans');
  link.unsentBytes = 0;
  outbox.flush();
  outbox.flush();
  assert.deepEqual(sent.map(({ requests, dropped }) => [requests.length, dropped]), [[1024, 2 * (1500 - 1024)]]);
  for (let i = 0; i < 64; i++) outbox.push(tracedRequest());
  assert.deepEqual([sent[1]?.requests.length, sent[1]?.dropped], [64, 0], 'many at once do not wait');
});
