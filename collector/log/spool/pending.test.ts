/** What is pending, of a spool written by the real recorder; the collector's places are set by hand. */
import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { NOTHING_HELD, sampleFacts } from '../../../gateway/events/event-samples.fixture.js';
import { FRAME_MAGIC } from '../../../gateway/events/frame.js';
import { readFrames } from '../../../gateway/events/read-segment.js';
import { Recorder } from '../../../gateway/events/recorder.js';
import { sealStream, updateMark } from '../../../gateway/events/seal.js';
import { segmentPath } from '../../../gateway/events/segment.js';
import { scanStreams } from '../../../gateway/events/spool.js';
import { START } from './log-reader.js';
import type { Place } from './manifest.js';
import { Pending } from './pending.js';
import { silentLog } from '../random-events.fixture.js';

const HOUR = 3_600_000;
let spoolDir: string;
let earlier: number;
let places: Map<string, Place>;
let finished: Set<string>;
const recorders: Recorder[] = [];

beforeEach(() => {
  spoolDir = mkdtempSync(join(tmpdir(), 'tidegate-pending-'));
  earlier = Date.now() - HOUR;
  places = new Map();
  finished = new Set();
});
afterEach(async () => {
  for (const recorder of recorders.splice(0)) await recorder.close();
  rmSync(spoolDir, { recursive: true, force: true });
});

const pending = (): Pending => new Pending(spoolDir, { place: (stream) => places.get(stream) ?? START, finished });
const since = (of: Pending): readonly (number | null)[] => scanStreams(spoolDir).map((source) => of.sinceMs(source));

function stream(): Recorder {
  const recorder = Recorder.open({ spoolDir, node: 'a', worker: recorders.length + 1, segmentBytes: 1 << 20, log: silentLog });
  recorders.push(recorder);
  return recorder;
}

/** A frame for each, of two requests: the first ended at the given time, the second a little later. Admitted a second before. */
function ended(recorder: Recorder, ...atMs: readonly number[]): void {
  for (const at of atMs) {
    for (const endMs of [at, at + 5]) recorder.record(sampleFacts(recorder.nextOrdinal(), { timeMs: endMs - 1000, durationUs: 1_000_000 }), NOTHING_HELD);
    recorder.flushNow();
  }
}

const dirOf = (recorder: Recorder): string => join(spoolDir, recorder.stream);

/** As if so many frames were stored. */
function stored(recorder: Recorder, frames: number): void {
  let place = START;
  let seq = 0;
  for (const item of [...readFrames(dirOf(recorder), START)].slice(0, frames)) {
    if (item.kind !== 'frame') continue;
    seq = item.firstSeq + item.count;
    place = { ...item.next, seq };
  }
  places.set(recorder.stream, place);
}

test('as of is the end of the first request that is not stored, of all streams, however far a collector has come with each', () => {
  const ends = [[0, 2000, 4000, 6000], [1000, 3000, 3500, 7000]].map((of) => of.map((ms) => earlier + ms));
  const [one, two] = [stream(), stream()];
  ended(one, ...ends[0] as number[]);
  ended(two, ...ends[1] as number[]);
  for (let ofOne = 0; ofOne <= 4; ofOne++) for (let ofTwo = 0; ofTwo <= 4; ofTwo++) {
    stored(one, ofOne);
    stored(two, ofTwo);
    const unread = [...(ends[0] as number[]).slice(ofOne), ...(ends[1] as number[]).slice(ofTwo)];
    const { asOfMs } = pending();
    if (unread.length > 0) assert.equal(asOfMs, Math.min(...unread), `${ofOne} of one, ${ofTwo} of the other`);
    else assert.ok(asOfMs > earlier + HOUR - 1);
  }
});

test('as of follows the steps: to what is left where more is left, to the look where nothing is, and not at all where none ends well', () => {
  const [one, two] = [stream(), stream()];
  ended(one, earlier, earlier + 2000);
  ended(two, earlier + 1000);
  const look = pending();
  const streams = scanStreams(spoolDir);
  assert.equal(look.asOfMs, earlier);
  stored(one, 1);
  assert.equal(look.asOfMs, earlier, 'a step that has not ended moves nothing');
  look.stepped(streams, earlier + HOUR, false);
  assert.equal(look.asOfMs, earlier + 1000);
  stored(two, 1);
  stored(one, 2);
  look.stepped(streams, earlier + HOUR, true);
  assert.equal(look.asOfMs, earlier + HOUR);
  ended(one, earlier + HOUR + 500);
  assert.deepEqual([look.asOfMs, since(look)], [earlier + HOUR, [earlier + HOUR + 500, null]]);
  look.stepped(streams, earlier + HOUR - 1000, true);
  assert.equal(look.asOfMs, earlier + HOUR - 1000, 'the clock was set back');
});

test('what a mark says is written, and nothing holds, is pending since the stream began, and holds as of; what was dropped is not', () => {
  const recorder = stream();
  ended(recorder, earlier);
  stored(recorder, 1);
  const look = pending();
  const now = look.asOfMs;
  updateMark(dirOf(recorder), 9);
  const marked = scanStreams(spoolDir);
  look.stepped(marked, now + 1000, true);
  assert.deepEqual([look.asOfMs, since(look)], [now, [Date.parse(marked[0]?.state?.openedAt ?? '')]]);
  recorder.setRoom(10, 1);
  ended(recorder, earlier, earlier, earlier, earlier);
  look.stepped(scanStreams(spoolDir), now + 2000, true);
  assert.deepEqual([look.asOfMs, since(look)], [now + 2000, [null]]);
});

test('half a frame is a write under way; damage is pending', () => {
  const recorder = stream();
  ended(recorder, earlier);
  stored(recorder, 1);
  appendFileSync(segmentPath(dirOf(recorder), 1), FRAME_MAGIC);
  assert.deepEqual(since(pending()), [null]);
  sealStream(dirOf(recorder), silentLog, () => false);
  appendFileSync(segmentPath(dirOf(recorder), 1), 'damage');
  const [sealed] = scanStreams(spoolDir);
  assert.deepEqual(since(pending()), [Date.parse(sealed?.state?.openedAt ?? '')]);
  finished.add(recorder.stream);
  assert.deepEqual(since(pending()), [null]);
});
