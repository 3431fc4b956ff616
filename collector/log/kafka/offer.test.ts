/**
 * Who may still commit. kafkajs sends a commit with the generation that it is in when it is sent: with several brokers it can have joined a new one while a batch
 * is worked on, and the commit of an old owner would then be taken, over the intent of the new one. A real group cannot be made to do that at a set moment.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EachBatchPayload } from 'kafkajs';
import { Offer, PartitionLost } from './offer.js';

interface Commit { readonly topics: readonly { readonly topic: string; readonly partitions: readonly object[] }[] }

function offered(refusal: Error | null = null): { offer: Offer; commits: Commit[]; failed: Error[]; sought: number[]; join: () => void } {
  const commits: Commit[] = [];
  const failed: Error[] = [];
  const sought: number[] = [];
  let generation = 3;
  const payload = {
    batch: { topic: 'events', partition: 2, messages: [{ offset: '7', key: null, value: null, headers: {} }], highWatermark: '8' },
    resolveOffset: () => undefined,
    pause: () => () => undefined,
    commitOffsetsIfNecessary: (offsets: Commit) => {
      if (refusal !== null) return Promise.reject(refusal);
      commits.push(offsets);
      return Promise.resolve();
    },
  } as unknown as EachBatchPayload;
  const offer = new Offer(payload, generation, { generation: () => generation, failed: (error) => { failed.push(error); }, seek: (_, offset) => { sought.push(offset); } });
  offer.released.catch(() => undefined);
  return { offer, commits, failed, sought, join: () => { generation++; } };
}

test('an offset is committed with its metadata', async () => {
  const { offer, commits } = offered();
  await offer.commit(8, '{"v":1}');
  assert.deepEqual(commits, [{ topics: [{ topic: 'events', partitions: [{ partition: 2, offset: '8', metadata: '{"v":1}' }] }] }]);
});

test('nothing is committed once the partitions have been dealt out anew', async () => {
  const { offer, commits, join, failed } = offered();
  const committing = offer.commit(8, '');
  // in the very turn in which it was asked
  join();
  await assert.rejects(committing, PartitionLost);
  assert.deepEqual([commits, failed], [[], []]);
});

test('a refusal because of the group is no failure; anything else is unknown, and ends the session', async () => {
  const refused = offered(Object.assign(new Error('x'), { type: 'ILLEGAL_GENERATION' }));
  await assert.rejects(refused.offer.commit(8, ''), PartitionLost);
  assert.deepEqual([refused.offer.isLost, refused.failed], [true, []]);
  const unknown = offered(Object.assign(new Error('timed out'), { name: 'KafkaJSRequestTimeoutError' }));
  await assert.rejects(unknown.offer.commit(8, ''), /timed out/);
  assert.equal(unknown.failed.length, 1);
});

test('an offer that is lost while it is worked on is let go of when the work rests', async () => {
  const { offer } = offered();
  offer.hold();
  offer.lose(new Error('rebalancing'));
  assert.equal(await Promise.race([offer.released, Promise.resolve('held')]), 'held');
  offer.rest();
  await assert.rejects(offer.released, /rebalancing/);
});

test('what is offered again is sought, and no more once the partition may be another\'s', async () => {
  const { offer, sought } = offered();
  offer.again(5);
  await offer.released;
  const lost = offered();
  lost.offer.lose(new Error('rebalancing'));
  lost.offer.again(5);
  await assert.rejects(lost.offer.released, /rebalancing/);
  assert.deepEqual([sought, lost.sought], [[5], []]);
});
