/** Spare streams: on a full disk a worker still opens a stream of its own, and the supervisor still takes a dead one's lock. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { requires } from '../../test/harness/requires.js';
import { SmallDisk } from '../../test/harness/small-disk.js';
import type { TidegateError } from '../../errors/tidegate-error.js';
import { readDrops } from './drop-page.js';
import { KeptLog, NOTHING_HELD, sampleFacts } from './event-samples.fixture.js';
import { ProcessLock } from './process-lock.js';
import { Recorder } from './recorder.js';
import { readStreamEvents } from './read-rows.js';
import { sealStream } from './seal.js';
import { makeSpare, spareStreams, takeSpare } from './spare-streams.js';
import { removeLeftovers, scanStreams } from './spool.js';
import { readState } from './stream-state.js';

const skip = requires('root', 'linux');

function disk(run: (disk: SmallDisk, spoolDir: string) => void | Promise<void>): () => Promise<void> {
  return async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-spare-'));
    try {
      using small = SmallDisk.mount(join(folder, 'disk'), 4);
      const spoolDir = join(small.path, 'spool');
      mkdirSync(spoolDir);
      await run(small, spoolDir);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  };
}

const open = (spoolDir: string): Recorder => Recorder.open({ spoolDir, node: 'n', worker: 2, segmentBytes: 1 << 20, log: new KeptLog() });

function record(recorder: Recorder, rows: number): number {
  let released = 0;
  for (let i = 0; i < rows; i++) recorder.record(sampleFacts(recorder.nextOrdinal()), { release: () => { released++; } });
  recorder.flushNow();
  return released;
}

test('on a full disk a spare stream is opened: what does not fit is tallied, and recording goes on when there is room', { skip }, disk(async (small, spoolDir) => {
  makeSpare(spoolDir);
  assert.deepEqual(scanStreams(spoolDir), [], 'a spare is no stream yet');
  small.fill();
  const recorder = open(spoolDir);
  const dir = join(spoolDir, recorder.stream);
  assert.deepEqual([readState(dir)?.stream, readState(dir)?.worker, readState(dir)?.pid], [recorder.stream, 2, process.pid]);
  assert.equal(record(recorder, 100), 100);
  assert.deepEqual([recorder.dropped.disk_full, readDrops(dir)?.rows, readDrops(dir)?.stream], [100, 100, recorder.stream]);
  small.makeRoom();
  record(recorder, 10);
  await recorder.close();
  assert.deepEqual([...readStreamEvents(dir, 0)].map(({ seq }) => seq), Array.from({ length: 10 }, (_, i) => 100 + i));
  assert.equal(sealStream(dir, new KeptLog(), () => false)?.seal?.lastSeq, 109);
}));

test('without a spare a full disk is refused with its reason, and nothing is left behind', { skip }, disk((small, spoolDir) => {
  small.fill();
  assert.throws(() => open(spoolDir), (error: TidegateError) => error.code === 'data_dir_unusable' && /ENOSPC/.test(error.message));
  assert.throws(() => { makeSpare(spoolDir); }, /ENOSPC/);
  assert.deepEqual(readdirSync(spoolDir), []);
}));

test('with room no spare is taken, and what a worker left half taken is swept away', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-spare-'));
  try {
    makeSpare(folder);
    const recorder = open(folder);
    recorder.record(sampleFacts(1), NOTHING_HELD);
    await recorder.close();
    assert.equal(spareStreams(folder).length, 1);
    assert.throws(() => takeSpare(folder, () => { throw new Error('killed'); }), /killed/);
    assert.equal(removeLeftovers(folder, Date.now()), 0, 'it may be a worker that is just at it');
    assert.equal(removeLeftovers(folder, Date.now() + 61_000), 1);
    assert.deepEqual(readdirSync(folder), [recorder.stream]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('a dead holder\'s lock is taken on a full disk, a living one\'s is not', { skip }, disk((small) => {
  const path = join(small.path, 'supervisor.lock');
  writeFileSync(path, JSON.stringify({ pid: 1, pidStart: 1, bootId: 'another' }));
  small.fill();
  const lock = ProcessLock.acquire(path);
  assert.throws(() => ProcessLock.acquire(path), (error: TidegateError) => error.code === 'data_dir_in_use' && error.message.includes(String(process.pid)));
  lock.release();
  assert.deepEqual(readdirSync(small.path).sort(), ['ballast', 'spool']);
}));
