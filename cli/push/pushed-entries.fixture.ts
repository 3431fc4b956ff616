/** Entries to push, a billing node that has them, and a receiver that counts. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { recentEntries, TestBilling, TestReceiver } from './push.fixture.js';
import type { ReceiverName } from './receivers.js';

export const KINDS: readonly ReceiverName[] = ['cloudevents', 'lago', 'stripe'];
export const ENTRIES = recentEntries();
export const SUM = ENTRIES.reduce((sum, { billable }) => sum + billable, 0);

export async function started(t: TestContext, kind: ReceiverName): Promise<readonly [TestBilling, TestReceiver]> {
  const billing = await TestBilling.start(ENTRIES);
  t.after(() => billing[Symbol.asyncDispose]());
  const receiver = await TestReceiver.start(kind, billing.nowMs);
  t.after(() => receiver[Symbol.asyncDispose]());
  return [billing, receiver];
}

export async function countedOnce(receiver: TestReceiver): Promise<void> {
  const { counted, sum } = await receiver.order({});
  assert.deepEqual([counted.length, counted.filter(([, taken]) => taken !== 1), sum], [ENTRIES.length, [], SUM]);
}
