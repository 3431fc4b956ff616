import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodePlace, intentFits, isBegun, parsePlace, rangeToken, type Intent, type LastStored } from './intent.js';

const STREAM = '00c0ffee0000002a';
const INTENT: Intent = { version: 2, from: 7, to: 21, out: [{ stream: STREAM, first: 3, last: 90 }], rows: 200_000, bytes: 16_000_000, crc: 0xdeadbeef, at: '2026-11-21T10:00:00.000Z', block: 41 };
const STORED: LastStored = { stream: STREAM, seq: 2, atMs: 1_795_255_200_000 };

test('an intent, and the row that was stored last, come back from the metadata of their offset', () => {
  for (const place of [{ intent: INTENT, lastStored: STORED }, { intent: INTENT, lastStored: null }, { intent: null, lastStored: STORED }, { intent: null, lastStored: null }]) {
    assert.deepEqual(parsePlace(encodePlace(place), 7), place);
    assert.equal(isBegun(encodePlace(place)), place.intent !== null);
  }
});

test('what is no intent of this version is none, and may be a range that is begun', () => {
  const good = JSON.parse(encodePlace({ intent: INTENT, lastStored: null })) as Record<string, unknown>;
  const changes = [{ v: 3 }, { to: 7 }, { to: '21' }, { out: [[STREAM, 3]] }, { out: [['no stream', 3, 4]] }, { rows: -1 }, { at: 1 }];
  for (const bad of ['x', 'null', '[]', '{"v":1}', '{"v":1,"stored":["no stream",1,2]}', '{"v":3,"stored":["00c0ffee0000002a",1,2]}', ...changes.map((change) => JSON.stringify({ ...good, ...change }))]) {
    assert.equal(parsePlace(bad, 7), null, bad);
  }
  assert.equal(isBegun('{"v":2,"something":"else"}'), true);
});

test('what is said of a place is no longer than Kafka takes', () => {
  const runs = (count: number) => Array.from({ length: count }, (_, i) => ({ stream: STREAM, first: 1e15 + 2 * i, last: 1e15 + 2 * i }));
  let most = 0;
  while (intentFits(runs(most + 1))) most++;
  assert.ok(most > 50, String(most));
  assert.ok(encodePlace({ intent: { ...INTENT, out: runs(most) }, lastStored: { ...STORED, seq: Number.MAX_SAFE_INTEGER, atMs: Number.MAX_SAFE_INTEGER } }).length < 4096);
});

test('a token names the range and what is in it', () => {
  const tokens = [[0, 1, 5], [0, 1, 6], [0, 2, 5], [1, 2, 5]].map(([from = 0, to = 0, crc = 0]) => rangeToken('t', 3, { from, to, crc }));
  assert.equal(new Set([...tokens, rangeToken('t', 4, { from: 0, to: 1, crc: 5 }), rangeToken('u', 3, { from: 0, to: 1, crc: 5 })]).size, 6);
});
