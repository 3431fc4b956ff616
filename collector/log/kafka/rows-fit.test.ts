import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { decodeChunk } from '../../../gateway/events/chunk.js';
import { RandomStream } from '../random-events.fixture.js';
import { rowsFit } from './rows-fit.js';
import { chunksOf } from './topic.fixture.js';

test('rows are what their header says, or their frame is not taken', async (t) => {
  const spoolDir = mkdtempSync(join(tmpdir(), 'tidegate-rows-'));
  t.after(() => { rmSync(spoolDir, { recursive: true, force: true }); });
  const stream = new RandomStream(spoolDir, 1, Date.now() - 2_500_000).write(93);
  t.after(() => stream.recorder.close());
  const [message] = chunksOf(stream.dir, 3);
  const chunk = decodeChunk({ ...message, key: Buffer.from(message?.key ?? ''), value: message?.value ?? null });
  assert.ok(chunk.kind === 'frames' && chunk.frames.length === 3);
  const [frame] = chunk.frames;
  assert.ok(frame !== undefined);
  const { rows, count } = frame;
  for (const one of chunk.frames) assert.equal(rowsFit(chunk.stream, one), true);
  const not = { 'a row more': { count: count + 1 }, 'a row fewer': { count: count - 1 }, 'another seq': { firstSeq: 1 }, 'cut short': { rows: rows.subarray(0, -1) }, 'longer': { rows: Buffer.concat([rows, Buffer.from([0])]) }, 'no rows': { rows: Buffer.from('x') } };
  for (const [what, change] of Object.entries(not)) assert.equal(rowsFit(chunk.stream, { ...frame, ...change }), false, what);
  assert.equal(rowsFit('00c0ffee0000002a', frame), false, 'another stream');
});
