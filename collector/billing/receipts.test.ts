import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requires } from '../../test/harness/requires.js';
import { migrate } from '../store/migrate.js';
import { BACKENDS, openBackend } from '../store/stores.fixture.js';
import { KeptFiles } from './kept-files.js';
import { Receipts, standingOf, type ReceiptNote } from './receipts.js';

const HOUR_MS = 3_600_000;
const ID = 'ab'.repeat(16);
const note = (action: string, atMs: number, attempt = 'a'): ReceiptNote => ({ entry_id: ID, at_ms: atMs, action, attempt });
const standing = (nowMs: number, ...notes: ReceiptNote[]): string => standingOf(ID, notes, nowMs, 24 * HOUR_MS).standing;

test('what was sent and not answered may be sent again until shortly before the receiver forgets it, and no later', () => {
  assert.equal(standing(0), 'send');
  const sent = note('intend', 0);
  for (const [hours, expected] of [[0, 'send'], [23.8, 'send'], [23.9, 'unknown'], [24, 'unknown'], [9000, 'unknown']] as const) assert.equal(standing(hours * HOUR_MS, sent), expected, `${hours} h`);
  assert.equal(standingOf(ID, [sent], 9000 * HOUR_MS, Number.POSITIVE_INFINITY).standing, 'send');
  assert.equal(standing(24 * HOUR_MS, sent, note('intend', 20 * HOUR_MS, 'b')), 'unknown', 'the first one counts: it may be the one that came');
});

test('a refusal settles its own attempt alone; what was received stays so; an operator\'s word goes before what was sent until then', () => {
  const day = 30 * HOUR_MS;
  assert.equal(standing(day, note('intend', 0), note('not_taken', 1)), 'send');
  assert.equal(standing(day, note('intend', 0, 'other machine'), note('intend', 1), note('not_taken', 2)), 'unknown');
  assert.equal(standing(day, note('received', 5), note('intend', 0), note('intend', 9, 'b')), 'received');
  assert.equal(standing(day, note('intend', 0), note('resend', day - 1)), 'send');
  assert.equal(standing(2 * day, note('intend', 0), note('resend', day), note('intend', day + 1, 'b')), 'unknown');
  assert.equal(standing(2 * day, note('intend', 0), note('resend', 0)), 'unknown', 'in one millisecond: what was sent may have been sent after it');
  assert.equal(standing(2 * day, note('intend', 0), note('assume_received', day)), 'received');
});

for (const backend of BACKENDS) test(`${backend}: receipts and files are kept`, { skip: requires('chdb') }, async () => {
  await using opened = await openBackend(backend);
  const { store } = opened;
  await migrate(store);
  let nowMs = Date.UTC(2026, 10, 21);
  const receipts = new Receipts(store, () => nowMs);
  const ids = Array.from({ length: 200 }, (_, index) => index.toString(16).padStart(32, '0'));
  const say = async (action: 'intend' | 'received' | 'not_taken' | 'look' | 'resend', of: readonly string[], attempt: string, target = "it's; -- here"): Promise<string[]> =>
    (await receipts.note({ target, action, entry_ids: [...of], attempt, window_seconds: 86_400, status: 200, detail: "'" })).standings.map((one) => one.standing);
  assert.deepEqual(new Set(await say('look', ids, '')), new Set(['send']));
  assert.deepEqual(new Set(await say('intend', ids, 'a')), new Set(['send']));
  await say('received', ids.slice(0, 100), 'a');
  await say('not_taken', ids.slice(100, 110), 'a');
  // as after an answer of the store that was lost
  await say('received', ids.slice(0, 100), 'a');
  nowMs += 25 * HOUR_MS;
  const later = await say('look', ids, '');
  assert.deepEqual([later.slice(0, 100), later.slice(100, 110), later.slice(110)].map((some) => [...new Set(some)]), [['received'], ['send'], ['unknown']]);
  assert.deepEqual(new Set(await say('intend', ids, 'b', 'elsewhere')), new Set(['send']), 'another receiver knows nothing of it');
  const again = await say('intend', ids, 'c');
  assert.deepEqual([again.slice(0, 100), again.slice(100, 110), again.slice(110)].map((some) => [...new Set(some)]), [['received'], ['send'], ['unknown']]);
  await say('resend', ids.slice(110, 111), '');
  assert.deepEqual(await say('intend', ids.slice(110, 112), 'd'), ['send', 'unknown']);
  await assert.rejects(receipts.note({ target: 't', action: 'intend', entry_ids: ids.slice(0, 1) }), { code: 'invalid_parameter' });

  const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * index) % 251));
  const made = async function* (): AsyncGenerator<Buffer> { yield bytes; };
  for (const writer of ['w 1', 'w 2']) {
    const pieces: Buffer[] = [];
    for await (const piece of new KeptFiles(store, writer).file('key', writer === 'w 1' ? made : () => { throw new Error('made again'); })) pieces.push(piece);
    assert.ok(Buffer.concat(pieces).equals(bytes) && pieces.length === 4);
  }
});
