/** A range of Kafka takes as many days of an imported log as one of the spool; the same range again is the same range. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeFrames } from '../../../gateway/events/chunk.js';
import { RowEncoder } from '../../../gateway/events/encoder.js';
import { IMPORT_WORKER } from '../../../gateway/events/event.js';
import { sampleFacts } from '../../../gateway/events/event-samples.fixture.js';
import { MOST_IMPORTED_DAYS } from '../picked-rows.js';
import { SeqSet } from '../seq-set.js';
import { RangeBuilder, type LogMessage } from './range-builder.js';

const STREAM = '00c0ffee0000002a';
const DAY_MS = 86_400_000;

/** A message of so many frames, each of a day of its own. */
function message(offset: number, worker: number, firstDay: number, days: number): LogMessage {
  const frames = Array.from({ length: days }, (_, i) => {
    const encoder = new RowEncoder(STREAM, 'n', worker);
    encoder.append(sampleFacts(firstDay + i, { timeMs: (firstDay + i) * DAY_MS }), firstDay + i);
    return Buffer.from(encoder.frame());
  });
  const { key, value, headers } = encodeFrames(STREAM, Buffer.concat(frames));
  return { offset, key: Buffer.from(key), value, headers };
}

test('a range ends in front of the message that would bring it too many days; what workers record is not counted', () => {
  const limits = { rows: 10_000, bytes: 1e9 };
  const builder = new RangeBuilder(0, limits, () => new SeqSet());
  const messages = [message(0, IMPORT_WORKER, 0, 50), message(1, IMPORT_WORKER, 50, MOST_IMPORTED_DAYS - 50), message(2, IMPORT_WORKER, MOST_IMPORTED_DAYS, 1)];
  assert.deepEqual(messages.map((one) => builder.add(one)), [true, true, false]);
  assert.deepEqual([builder.to, builder.rows, builder.picked().imports[0]?.days.length], [2, MOST_IMPORTED_DAYS, MOST_IMPORTED_DAYS]);
  const again = RangeBuilder.again(builder);
  assert.deepEqual(messages.map((one) => again.add(one)), [true, true, true], 'an intent says where it ends');
  const recorded = new RangeBuilder(0, limits, () => new SeqSet());
  assert.equal(recorded.add(message(0, 1, 0, 60)) && recorded.add(message(1, 1, 60, 60)), true);
  assert.deepEqual(recorded.picked().imports, []);
});
