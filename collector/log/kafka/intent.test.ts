import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeIntent, intentFits, parseIntent, rangeToken, type Intent } from './intent.js';

const STREAM = '00c0ffee0000002a';
const INTENT: Intent = { from: 7, to: 21, out: [{ stream: STREAM, first: 3, last: 90 }], rows: 200_000, bytes: 16_000_000, crc: 0xdeadbeef, at: '2026-11-21T10:00:00.000Z', block: 41 };

test('an intent comes back from the metadata of its offset', () => {
  assert.deepEqual(parseIntent(encodeIntent(INTENT), 7), INTENT);
});

test('what is no intent of this version is none', () => {
  const good = JSON.parse(encodeIntent(INTENT)) as Record<string, unknown>;
  for (const bad of ['', 'x', 'null', '[]', ...[{ v: 2 }, { to: 7 }, { to: '21' }, { out: [[STREAM, 3]] }, { out: [['no stream', 3, 4]] }, { rows: -1 }, { at: 1 }].map((change) => JSON.stringify({ ...good, ...change }))]) {
    assert.equal(parseIntent(bad, 7), null, bad);
  }
});

test('an intent is no longer than Kafka takes', () => {
  const runs = (count: number) => Array.from({ length: count }, (_, i) => ({ stream: STREAM, first: 1e15 + 2 * i, last: 1e15 + 2 * i }));
  let most = 0;
  while (intentFits(runs(most + 1))) most++;
  assert.ok(most > 50, String(most));
  assert.ok(encodeIntent({ ...INTENT, out: runs(most) }).length < 4096);
});

test('a token names the range and what is in it', () => {
  const tokens = [[0, 1, 5], [0, 1, 6], [0, 2, 5], [1, 2, 5]].map(([from = 0, to = 0, crc = 0]) => rangeToken('t', 3, { from, to, crc }));
  assert.equal(new Set([...tokens, rangeToken('t', 4, { from: 0, to: 1, crc: 5 }), rangeToken('u', 3, { from: 0, to: 1, crc: 5 })]).size, 6);
});
