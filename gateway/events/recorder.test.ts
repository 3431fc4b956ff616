import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { TidegateError } from '../../errors/tidegate-error.js';
import { readDrops } from './drop-page.js';
import { KeptLog, NOTHING_HELD, sampleFacts } from './event-samples.fixture.js';
import { MAX_PAYLOAD_BYTES } from './frame.js';
import { readStreamEvents } from './read-rows.js';
import { readFrames, STREAM_START } from './read-segment.js';
import { Recorder, type Held, type RecorderOptions } from './recorder.js';
import { sealStream } from './seal.js';
import { SYSTEM_CALLS, type SegmentCalls } from './segment-writer.js';
import { listSegments } from './segment.js';
import { readState } from './stream-state.js';

let spoolDir: string;
let log: KeptLog;
before(() => { spoolDir = join(mkdtempSync(join(tmpdir(), 'tidegate-recorder-')), 'spool'); });
after(() => { rmSync(join(spoolDir, '..'), { recursive: true }); });

function open(options: Partial<RecorderOptions> = {}): { recorder: Recorder; dir: string } {
  log = new KeptLog();
  const recorder = Recorder.open({ spoolDir, node: 'n1', worker: 3, segmentBytes: 64 * 1024 * 1024, log, ...options });
  return { recorder, dir: join(spoolDir, recorder.stream) };
}

const endOfTurn = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve); });
const seqsOf = (dir: string): number[] => [...readStreamEvents(dir, 0)].map((row) => row.seq);
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** A call that fails as the system would. */
function failure(code: string): never {
  throw Object.assign(new Error(code), { code });
}

test('the stream is on disk, whole, before the first request', async () => {
  const { recorder, dir } = open();
  assert.match(recorder.stream, /^[0-9a-f]{16}$/);
  const state = readState(dir);
  assert.deepEqual([state?.stream, state?.node, state?.worker, state?.pid, state?.lastSeq, state?.seal], [recorder.stream, 'n1', 3, process.pid, -1, null]);
  assert.equal(readDrops(dir)?.rows, 0);
  assert.equal(recorder.lastWrittenSeq, -1);
  assert.equal(recorder.nextOrdinal(), 1);
  assert.equal(recorder.nextOrdinal(), 2);
  await recorder.close();
});

test('answers go at the end of the turn, in order, after their rows are in the file', async () => {
  const { recorder, dir } = open();
  const released: number[] = [];
  const written: number[] = [];
  for (let i = 0; i < 31; i++) {
    recorder.record(sampleFacts(i), { release: () => { released.push(i); if (i === 0) written.push(...seqsOf(dir)); } });
  }
  assert.deepEqual([released.length, recorder.lastWrittenSeq], [0, -1]);
  await endOfTurn();
  assert.deepEqual(released, upTo(31));
  assert.deepEqual(written, upTo(31), 'the first release already finds all rows');
  assert.deepEqual([recorder.lastWrittenSeq, recorder.recorded], [30, 31]);
  assert.equal([...readFrames(dir, STREAM_START)].filter((item) => item.kind === 'frame').length, 1, 'one turn, one frame');
  await recorder.close();
});

test('a release that throws stops no other, and one that records is written in its turn', async () => {
  const { recorder, dir } = open();
  const released: string[] = [];
  const hold = (name: string): Held => ({ release: () => { released.push(name); } });
  recorder.record(sampleFacts(1), hold('a'));
  recorder.record(sampleFacts(2), { release: () => { throw new Error('the socket is gone'); } });
  recorder.record(sampleFacts(3), { release: () => { released.push('b'); recorder.record(sampleFacts(4), hold('d')); } });
  recorder.record(sampleFacts(5), hold('c'));
  await endOfTurn();
  await endOfTurn();
  assert.deepEqual(released, ['a', 'b', 'c', 'd']);
  assert.equal(log.lines.filter((line) => line.message === 'an answer could not be released').length, 1);
  assert.deepEqual(seqsOf(dir), upTo(5));
  await recorder.close();
});

test('close writes and releases what is left, also what a release records, and the stream seals clean', async () => {
  const { recorder, dir } = open();
  let released = 0;
  recorder.record(sampleFacts(1), { release: () => { released++; recorder.record(sampleFacts(2), { release: () => { released++; } }); } });
  await recorder.close();
  await recorder.close();
  assert.equal(released, 2);
  assert.throws(() => { recorder.record(sampleFacts(3), NOTHING_HELD); }, /after close/);
  assert.equal(sealStream(dir, log), null, 'this process, its writer, still lives');
  assert.equal(sealStream(dir, log, () => false)?.seal?.lastSeq, 1);
});

test('rows that wait for the turn to end are in its frame, and close takes them too', async () => {
  const { recorder, dir } = open();
  const waiting: number[] = [];
  const released: number[] = [];
  const hold = (ordinal: number): Held => ({ release: () => { released.push(ordinal); } });
  recorder.beforeFrame(() => {
    for (const ordinal of waiting.splice(0)) recorder.record(sampleFacts(ordinal), hold(ordinal));
  });
  recorder.record(sampleFacts(1), hold(1));
  waiting.push(2, 3);
  await endOfTurn();
  assert.deepEqual(released, [1, 2, 3]);
  waiting.push(4);
  recorder.endTurn();
  assert.deepEqual(released, [1, 2, 3], 'not before the end of the turn');
  await endOfTurn();
  assert.deepEqual(released, [1, 2, 3, 4]);
  assert.deepEqual([...readFrames(dir, STREAM_START)].flatMap((item) => (item.kind === 'frame' ? [item.count] : [])), [3, 1]);
  waiting.push(5);
  recorder.endTurn();
  await recorder.close();
  assert.deepEqual([released, seqsOf(dir)], [[1, 2, 3, 4, 5], upTo(5)]);
  assert.throws(() => { recorder.endTurn(); }, /after close/);
});

test('full segments are followed by new ones, and the stream reads as one', async () => {
  const { recorder, dir } = open({ segmentBytes: 4096 });
  for (let turn = 0; turn < 100; turn++) {
    for (let i = 0; i < 5; i++) recorder.record(sampleFacts(i), NOTHING_HELD);
    recorder.flushNow();
  }
  await recorder.close();
  const segments = listSegments(dir);
  assert.ok(segments.length > 10);
  assert.deepEqual(segments.map((segment) => segment.index), upTo(segments.length).map((i) => i + 1));
  assert.deepEqual(seqsOf(dir), upTo(500));
  const sealed = sealStream(dir, log, () => false)?.seal?.segments ?? [];
  assert.deepEqual([sealed[0]?.firstSeq, sealed.at(-1)?.lastSeq], [0, 499]);
  for (const [i, segment] of sealed.slice(1).entries()) assert.equal(segment.firstSeq, (sealed[i]?.lastSeq ?? 0) + 1);
});

test('a turn larger than a frame may be becomes several frames, released together at its end', async () => {
  const { recorder, dir } = open();
  let released = 0;
  for (let i = 0; i < 12_000; i++) recorder.record(sampleFacts(i, { recordedPath: 'p'.repeat(1024) }), { release: () => { released++; } });
  assert.equal(released, 0);
  await endOfTurn();
  assert.equal(released, 12_000);
  const frames = [...readFrames(dir, STREAM_START)].filter((item) => item.kind === 'frame');
  assert.ok(frames.length > 1 && frames.every((frame) => frame.rows.length < MAX_PAYLOAD_BYTES));
  assert.equal(seqsOf(dir).length, 12_000);
  await recorder.close();
});

test('beyond the bound rows are dropped and tallied per app, and answers go all the same', async () => {
  const { recorder, dir } = open();
  let released = 0;
  const turn = (apps: readonly string[]): void => {
    for (const app of apps) recorder.record(sampleFacts(recorder.nextOrdinal(), { appName: app }, { app }), { release: () => { released++; } });
    recorder.flushNow();
  };
  turn(['acme', 'globex']);
  recorder.setRoom(1000, 1000);
  turn(['acme', 'globex', 'acme', '']);
  turn(['acme']);
  recorder.setRoom(1000, 1_000_000);
  turn(['globex']);
  assert.equal(released, 8);
  assert.deepEqual([recorder.recorded, recorder.lastWrittenSeq, recorder.dropped.spool_full], [3, 7, 5]);
  assert.deepEqual(seqsOf(dir), [0, 1, 7], 'a dropped row takes its seq');
  const drops = readDrops(dir);
  assert.deepEqual([drops?.lastSeq, drops?.rows, drops?.damaged, drops?.byReason], [6, 5, 0, { spool_full: 5, disk_full: 0, write_failed: 0 }]);
  const at = (ordinal: number): number => sampleFacts(ordinal).timeMs;
  assert.deepEqual(drops?.apps, [
    { app: 'acme', rows: 3, requests: 3, counted: 3, toldCounted: 0, firstMs: at(3), lastMs: at(7) },
    { app: 'globex', rows: 1, requests: 1, counted: 1, toldCounted: 0, firstMs: at(4), lastMs: at(4) },
    { app: '', rows: 1, requests: 1, counted: 1, toldCounted: 0, firstMs: at(6), lastMs: at(6) },
  ]);
  assert.deepEqual(log.lines.map((line) => [line.level, (line.fields as { code?: string }).code]), [['error', 'spool_full'], ['info', undefined]]);
  await recorder.close();
});

test('what was dropped after the ledger was told is known by app', async () => {
  const { recorder, dir } = open();
  const drop = (...apps: readonly string[]): void => {
    for (const app of apps) recorder.record(sampleFacts(recorder.nextOrdinal(), { appName: app }, { app }), NOTHING_HELD);
    recorder.flushNow();
  };
  const told = (): unknown => {
    const drops = readDrops(dir);
    return [drops?.toldSeq, drops?.toldRows, drops?.rows, drops?.apps.map(({ app, toldCounted, counted }) => [app, toldCounted, counted])];
  };
  recorder.noteTold();
  recorder.setRoom(10, 10);
  drop('acme', 'acme', 'globex');
  assert.deepEqual(told(), [-1, 0, 3, [['acme', 0, 2], ['globex', 0, 1]]]);
  recorder.noteTold();
  drop('globex', 'globex');
  assert.deepEqual(told(), [2, 3, 5, [['acme', 2, 2], ['globex', 1, 3]]]);
  recorder.noteTold();
  assert.deepEqual(told(), [4, 5, 5, [['acme', 2, 2], ['globex', 3, 3]]]);
  await recorder.close();
});

test('dropped rows at the end of a stream count in its seal', async () => {
  const { recorder, dir } = open();
  recorder.record(sampleFacts(1), NOTHING_HELD);
  recorder.flushNow();
  recorder.setRoom(10, 10);
  for (let i = 0; i < 4; i++) recorder.record(sampleFacts(i), NOTHING_HELD);
  await recorder.close();
  const seal = sealStream(dir, log, () => false)?.seal;
  assert.deepEqual([seal?.lastSeq, seal?.segments[0]?.lastSeq], [4, 0]);
});

for (const [code, reason] of [['ENOSPC', 'disk_full'], ['EDQUOT', 'disk_full'], ['EIO', 'write_failed'], ['EROFS', 'write_failed'], ['EFBIG', 'write_failed']] as const) {
  test(`${code} at any byte of a write leaves no half frame, is tallied, and recording goes on when it ends`, async () => {
    let room = Number.POSITIVE_INFINITY;
    const calls: SegmentCalls = {
      ...SYSTEM_CALLS,
      create: (path) => (room === Number.POSITIVE_INFINITY ? SYSTEM_CALLS.create(path) : failure(code)),
      write: (fd, bytes, offset, length, position) => {
        const fits = Math.min(length, room);
        if (fits <= 0) failure(code);
        room -= fits;
        return SYSTEM_CALLS.write(fd, bytes, offset, fits, position);
      },
    };
    const { recorder, dir } = open({ calls });
    let released = 0;
    const turn = (): void => {
      for (let i = 0; i < 2; i++) recorder.record(sampleFacts(i), { release: () => { released++; } });
      recorder.flushNow();
    };
    turn();
    let failed = 0;
    for (let bytes = 0; bytes < 300; bytes++) {
      room = bytes;
      turn();
      failed += 2;
      const end = [...readFrames(dir, STREAM_START)].at(-1);
      assert.deepEqual(end?.at, { segment: 1, offset: listSegments(dir)[0]?.bytes }, 'nothing after the last frame');
      room = Number.POSITIVE_INFINITY;
      if (bytes % 2 === 0) turn();
    }
    assert.equal(recorder.dropped[reason], failed);
    assert.deepEqual([recorder.recorded, released], [2 + 300, 2 + 300 + failed]);
    assert.equal(readDrops(dir)?.rows, failed);
    const seqs = seqsOf(dir);
    assert.equal(seqs.length, recorder.recorded);
    assert.equal(recorder.lastWrittenSeq, 2 + 300 + failed - 1);
    assert.deepEqual([...readFrames(dir, STREAM_START)].filter((item) => item.kind !== 'frame').map((item) => item.kind), ['end']);
    await recorder.close();
  });
}

test('half a frame that could not be cut off is written over by the next', async () => {
  let room = Number.POSITIVE_INFINITY;
  const calls: SegmentCalls = {
    ...SYSTEM_CALLS,
    write: (fd, bytes, offset, length, position) => {
      if (room <= 0) failure('EIO');
      const written = SYSTEM_CALLS.write(fd, bytes, offset, Math.min(length, room), position);
      room -= written;
      return written;
    },
    truncate: () => failure('EIO'),
  };
  const { recorder, dir } = open({ calls });
  recorder.record(sampleFacts(1), NOTHING_HELD);
  recorder.flushNow();
  room = 150;
  for (let i = 0; i < 3; i++) recorder.record(sampleFacts(i), NOTHING_HELD);
  recorder.flushNow();
  assert.deepEqual(seqsOf(dir), [0]);
  room = Number.POSITIVE_INFINITY;
  recorder.record(sampleFacts(2), NOTHING_HELD);
  recorder.flushNow();
  assert.deepEqual(seqsOf(dir), [0, 4]);
  await recorder.close();
});

test('a segment that cannot be followed goes on itself', async () => {
  let full = false;
  const { recorder, dir } = open({ segmentBytes: 200, calls: { ...SYSTEM_CALLS, create: (path) => (full ? failure('EMFILE') : SYSTEM_CALLS.create(path)) } });
  full = true;
  for (let i = 0; i < 5; i++) {
    recorder.record(sampleFacts(i), NOTHING_HELD);
    recorder.flushNow();
  }
  assert.deepEqual([listSegments(dir).length, recorder.recorded], [1, 5]);
  full = false;
  recorder.record(sampleFacts(9), NOTHING_HELD);
  recorder.flushNow();
  assert.equal(listSegments(dir).length, 2);
  assert.deepEqual(seqsOf(dir), upTo(6));
  await recorder.close();
});

test('a spool that cannot be made is refused with a code', () => {
  const file = join(spoolDir, 'a-file');
  writeFileSync(file, '');
  assert.throws(() => { open({ spoolDir: join(file, 'spool') }); }, (error) => error instanceof TidegateError && error.code === 'data_dir_unusable');
  assert.equal(existsSync(join(file, 'spool')), false);
});
