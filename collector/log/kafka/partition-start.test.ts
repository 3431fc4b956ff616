import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TidegateError } from '../../../errors/tidegate-error.js';
import type { Store } from '../../store/store.js';
import { encodePlace, type Intent, type LastStored } from './intent.js';
import { PartitionStart } from './partition-start.js';

const INTENT: Intent = { version: 2, from: 7, to: 21, out: [], rows: 3, bytes: 9, crc: 1, at: '2026-11-21T10:00:00.000Z', block: 4 };
const LAST: LastStored = { stream: '00c0ffee0000002a', seq: 9, atMs: Date.now() - 1000 };
const DAY_MS = 86_400_000;

/** @param held coverage of streams of the partition */
const starting = (held: number): PartitionStart => new PartitionStart({ query: () => Promise.resolve([{ n: held, open: held }]) } as unknown as Store, 'events', DAY_MS, 1);
const refused = (code: string) => (error: TidegateError): boolean => error.code === code;

test('a partition is taken up at its committed offset, with what was begun there', async () => {
  assert.deepEqual(await starting(5).of(1, { offset: 7, metadata: '', begins: 0 }), { next: 7, intent: null, lastStored: null });
  for (const place of [{ intent: INTENT, lastStored: null }, { intent: INTENT, lastStored: LAST }, { intent: null, lastStored: LAST }]) {
    assert.deepEqual(await starting(5).of(1, { offset: 7, metadata: encodePlace(place), begins: 7 }), { next: 7, ...place });
  }
});

test('a store that lacks the row that was stored last is not read into, whether a range is begun or not', async () => {
  for (const intent of [INTENT, null]) {
    await assert.rejects(starting(0).of(1, { offset: 7, metadata: encodePlace({ intent, lastStored: LAST }), begins: 0 }), refused('log_store_behind'));
  }
  const old = { ...LAST, atMs: Date.now() - 2 * DAY_MS };
  assert.deepEqual(await starting(0).of(1, { offset: 7, metadata: encodePlace({ intent: null, lastStored: old }), begins: 0 }), { next: 7, intent: null, lastStored: old }, 'the log would not bring it again');
});

test('without one it begins at the first message, if nothing of it was ever stored', async () => {
  assert.deepEqual(await starting(0).of(1, { offset: -1, metadata: '', begins: 0 }), { next: null, intent: null, lastStored: null });
  await assert.rejects(starting(1).of(1, { offset: -1, metadata: '', begins: 0 }), refused('log_place_lost'));
});

test('what a later version has begun is not carried out by guess', async () => {
  await assert.rejects(starting(5).of(1, { offset: 7, metadata: '{"v":2,"to":9}', begins: 0 }), refused('log_intent_unreadable'));
});

test('a range that was begun and is gone from the log is not taken for stored, also where nothing comes after it', async () => {
  const metadata = encodePlace({ intent: INTENT, lastStored: LAST });
  await assert.rejects(starting(5).of(1, { offset: 7, metadata, begins: 8 }), refused('log_range_gone'));
  assert.equal((await starting(5).of(1, { offset: 7, metadata: encodePlace({ intent: null, lastStored: LAST }), begins: 8 })).next, 7, 'what is to come and gone is a gap, which is told where it is met');
});
