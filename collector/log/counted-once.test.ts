/** A step that fails is done again, and finds again what it had found: the totals that become counters count it once, when it is done. */
import assert from 'node:assert/strict';
import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { SEGMENT_HEADER_BYTES, segmentPath } from '../../gateway/events/segment.js';
import { requires } from '../../test/harness/requires.js';
import { dataDirOf, totalsOf } from './counted-once.fixture.js';
import { RandomStream } from './random-events.fixture.js';

test('of the spool', { skip: requires('chdb') }, async (t) => {
  const dataDir = dataDirOf(t);
  const made = (worker: number): RandomStream => new RandomStream(join(dataDir, 'spool'), worker, Date.now() - 2_500_000).write(310);
  let path = '';
  const totals = await totalsOf(dataDir, null, () => { path = segmentPath(made(1).dir, 1); }, () => {
    // as a spool restored over a newer one can have them
    const frames = readFileSync(path).subarray(SEGMENT_HEADER_BYTES);
    const damaged = Buffer.from(frames);
    damaged[100] = (damaged[100] as number) ^ 4;
    appendFileSync(path, Buffer.concat([frames, damaged]));
    made(2);
  });
  assert.deepEqual(totals, { stored: 620, repeats: 310 + 310 - 31, quarantined: 1 });
});
