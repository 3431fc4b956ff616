import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { NOTHING_HELD, sampleFacts } from '../../../gateway/events/event-samples.fixture.js';
import { Recorder } from '../../../gateway/events/recorder.js';
import { scanStreams } from '../../../gateway/events/spool.js';
import { pickRange, START } from './log-reader.js';
import { silentLog } from '../random-events.fixture.js';
import { SeqSet } from '../seq-set.js';

for (const [what, rows, msARow, expected] of [
  ['a stream of two rows a millisecond', 5000, 0.5, 2000],
  ['a frame alone', 10, 1, 0],
  ['a clock that went back', 5000, -1, 0],
  ['no time at all between the first and the last', 5000, 0, 0],
] as const) {
  test(`rows a second, of ${what}: about ${expected}`, async (t) => {
    const spoolDir = mkdtempSync(join(tmpdir(), 'tidegate-pace-'));
    t.after(() => { rmSync(spoolDir, { recursive: true, force: true }); });
    const recorder = Recorder.open({ spoolDir, node: 'n', worker: 1, segmentBytes: 64 * 1024 * 1024, log: silentLog });
    t.after(() => recorder.close());
    for (let i = 0; i < rows; i++) {
      recorder.record(sampleFacts(i, { timeMs: 1_795_260_000_000 + Math.floor(i * msARow), durationUs: 1000 }), NOTHING_HELD);
      if (i % 10 === 9) recorder.flushNow();
    }
    const stored = new SeqSet();
    const { paces } = await pickRange(scanStreams(spoolDir), () => START, () => stored, { rows: 100_000, bytes: 1e8 });
    assert.deepEqual(paces.map(({ stream }) => stream), [recorder.stream]);
    assert.ok(Math.abs((paces[0]?.rowsASecond ?? -1) - expected) <= expected * 0.01, JSON.stringify(paces));
  });
}
