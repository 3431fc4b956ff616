/** The rules say of a request what the table of outcomes says. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OWN_FAILURES } from '../../alerts/service-rules.js';
import { OUTCOMES } from '../../gateway/events/outcomes.js';

test('of refused requests the rules judge those that the table of outcomes calls errors, and no other', () => {
  const failures = Object.entries(OUTCOMES).filter(([, { error, letThrough }]) => error && !letThrough).map(([name]) => name);
  assert.deepEqual([...OWN_FAILURES].sort(), failures.sort());
});
