/**
 * The recorder against the real thing: kill -9 at any moment, a file system that is full, a file that may grow no more. The child of these tests is this
 * file once more, with its part as argument. Without the order "write, then release" the kills find answers that no row stands for.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, unlinkSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readDrops } from './drop-page.js';
import { KeptLog, sampleFacts } from './event-samples.fixture.js';
import { readStreamEvents } from './read-rows.js';
import { readFrames, STREAM_START } from './read-segment.js';
import { Recorder } from './recorder.js';
import { sealStream, updateMark } from './seal.js';
import { listSegments } from './segment.js';
import { SYSTEM_CALLS, type SegmentCalls } from './segment-writer.js';
import { scanStreams } from './spool.js';
import { readState } from './stream-state.js';

const PART = process.argv[2];
if (PART === 'endless') recordEndlessly(process.argv[3] as string);
else if (PART === 'limited') recordToLimit(process.argv[3] as string);
else if (PART === 'placed') recordToPlacedKill(process.argv[3] as string, Number(process.argv[4]));
else declareTests();

/** Turns of up to 400 rows of up to 1 KiB without end; each released ordinal goes to stdout, which a kill cannot take back. */
function recordEndlessly(spoolDir: string): void {
  const recorder = Recorder.open({ spoolDir, node: 'n', worker: 1, segmentBytes: 4 * 1024 * 1024, log: new KeptLog() });
  let released: number[] = [];
  const turn = (): void => {
    const rows = 1 + (recorder.lastWrittenSeq + 7) % 400;
    for (let i = 0; i < rows; i++) {
      const ordinal = recorder.nextOrdinal();
      recorder.record(sampleFacts(ordinal, { recordedPath: 'p'.repeat((ordinal * 37) % 1024) }), {
        release: () => {
          released.push(ordinal);
          if (released.length >= 50) report();
        },
      });
    }
    setImmediate(turn);
  };
  const report = (): void => {
    writeSync(1, `${released.join('\n')}\n`);
    released = [];
  };
  turn();
}

/** Ten turns of 31 rows; in the eleventh this process is killed when `bytes` of the frame are written. */
function recordToPlacedKill(spoolDir: string, bytes: number): void {
  let frames = -1; // the first write is the segment's header
  const calls: SegmentCalls = {
    ...SYSTEM_CALLS,
    write: (fd, frame, offset, length, position) => {
      if (frames++ < 10) return SYSTEM_CALLS.write(fd, frame, offset, length, position);
      SYSTEM_CALLS.write(fd, frame, offset, Math.min(bytes, length), position);
      process.kill(process.pid, 'SIGKILL');
      return failedKill();
    },
  };
  const recorder = Recorder.open({ spoolDir, node: 'n', worker: 1, segmentBytes: 1e9, log: new KeptLog(), calls });
  for (let turn = 0; turn <= 10; turn++) {
    for (let i = 0; i < 31; i++) recorder.record(sampleFacts(recorder.nextOrdinal()), { release: () => { writeSync(1, '.'); } });
    recorder.flushNow();
  }
}

function failedKill(): never {
  throw new Error('still alive');
}

function recordToLimit(spoolDir: string): void {
  const recorder = Recorder.open({ spoolDir, node: 'n', worker: 1, segmentBytes: 1e9, log: new KeptLog() });
  let released = 0;
  for (let turn = 0; turn < 500; turn++) {
    for (let i = 0; i < 20; i++) recorder.record(sampleFacts(recorder.nextOrdinal()), { release: () => { released++; } });
    recorder.flushNow();
  }
  void recorder.close().then(() => { writeSync(1, JSON.stringify({ released, recorded: recorder.recorded, dropped: recorder.dropped })); });
}

function declareTests(): void {
  let folder: string;
  before(() => { folder = mkdtempSync(join(tmpdir(), 'tidegate-faults-')); });
  after(() => { rmSync(folder, { recursive: true }); });

  const self = fileURLToPath(import.meta.url);
  // stdout is a file: a socket that is full would refuse what a killed child can't say again
  const start = (part: string, spoolDir: string, wrap: readonly string[] = [], more: readonly string[] = []): { child: ChildProcess; output: () => string } => {
    const [command = '', ...rest] = [...wrap, process.execPath, ...process.execArgv.filter((arg) => !arg.startsWith('--test')), self, part, spoolDir, ...more];
    const file = `${spoolDir}.out`;
    const stdout = openSync(file, 'w');
    const child = spawn(command, rest, { stdio: ['ignore', stdout, 'inherit'], env: { ...process.env, NODE_TEST_CONTEXT: undefined } });
    closeSync(stdout);
    return { child, output: () => readFileSync(file, 'latin1') };
  };
  const until = async (what: string, condition: () => boolean): Promise<void> => {
    const deadline = performance.now() + 30_000;
    while (!condition()) {
      assert.ok(performance.now() < deadline, `not within 30 s: ${what}`);
      await new Promise((resolve) => { setImmediate(resolve); });
    }
  };

  test('kill -9 at any moment: what was released is recorded, once, and the stream seals proven', { timeout: 120_000 }, async (t) => {
    let torn = 0;
    for (let round = 0; round < 10; round++) {
      const spoolDir = join(folder, `kill${round}`);
      const { child, output } = start('endless', spoolDir);
      const closed = once(child, 'close');
      const killAfter = 2000 + Math.random() * 60_000;
      await until('answers', () => output().length > killAfter);
      child.kill('SIGKILL');
      const [, signal] = await closed as [number | null, string | null];
      assert.equal(signal, 'SIGKILL');
      const [stream] = scanStreams(spoolDir);
      assert.ok(stream?.state);
      const log = new KeptLog();
      const seal = sealStream(stream.dir, log)?.seal;
      torn += log.lines.some((line) => line.level === 'warn') ? 1 : 0;
      const rows = [...readStreamEvents(stream.dir, 0)];
      const recorded = new Set(rows.map((row) => row.seq));
      // in this child ordinal = seq + 1; the last line may be cut
      const released = output().slice(0, output().lastIndexOf('\n')).split('\n').map((line) => Number(line) - 1);
      assert.ok(released.length > 200);
      assert.deepEqual(released.filter((seq) => !recorded.has(seq)), []);
      assert.equal(recorded.size, rows.length, 'none twice');
      assert.deepEqual([seal?.proven, seal?.lastSeq], [true, rows.length - 1], 'no hole');
      assert.deepEqual([...readFrames(stream.dir, STREAM_START)].filter((item) => item.kind !== 'frame').map((item) => item.kind), ['end']);
    }
    t.diagnostic(`${torn} of 10 kills left a torn frame`);
  });

  test('killed in the middle of a frame, and between its write and the first release', { timeout: 60_000 }, async () => {
    for (const [bytes, recorded, cut] of [[0, 310, false], [3, 310, true], [39, 310, true], [40, 310, true], [2000, 310, true], [1e9, 341, false]] as const) {
      const spoolDir = join(folder, `placed${bytes}`);
      const { child, output } = start('placed', spoolDir, [], [String(bytes)]);
      await once(child, 'close');
      assert.equal(child.signalCode, 'SIGKILL');
      const [stream] = scanStreams(spoolDir);
      assert.ok(stream);
      const log = new KeptLog();
      assert.equal(sealStream(stream.dir, log)?.seal?.lastSeq, recorded - 1, `${bytes} bytes`);
      assert.equal(log.lines.some((line) => line.level === 'warn'), cut);
      assert.deepEqual([output().length, [...readStreamEvents(stream.dir, 0)].length], [310, recorded]);
    }
  });

  const tmpfs = (): string => join(folder, 'tmpfs');
  const canMount = process.platform === 'linux' && process.getuid?.() === 0;

  test('a full file system: rows are tallied, answers go, marks move on, and recording resumes', { skip: !canMount && 'mounting a tmpfs needs root on Linux' }, async (t) => {
    mkdirSync(tmpfs());
    const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tidegate-test', tmpfs()]);
    if (mount.status !== 0) {
      t.skip('no tmpfs can be mounted here');
      return;
    }
    try {
      const recorder = Recorder.open({ spoolDir: join(tmpfs(), 'spool'), node: 'n', worker: 1, segmentBytes: 100_000, log: new KeptLog() });
      const dir = join(tmpfs(), 'spool', recorder.stream);
      writeFileSync(join(tmpfs(), 'ballast'), Buffer.alloc(300_000));
      let released = 0;
      const turn = (): void => {
        for (let i = 0; i < 31; i++) recorder.record(sampleFacts(recorder.nextOrdinal()), { release: () => { released++; } });
        recorder.flushNow();
      };
      for (let turns = 0; turns < 200; turns++) turn();
      assert.equal(released, 6200);
      const { disk_full: dropped } = recorder.dropped;
      assert.ok(dropped > 1000 && recorder.recorded > 1000);
      assert.equal(readDrops(dir)?.rows, dropped);
      assert.equal(readDrops(dir)?.apps[0]?.requests, dropped);
      updateMark(dir, recorder.lastWrittenSeq);
      assert.equal(readState(dir)?.lastSeq, 6199, 'the mark needs no room');
      unlinkSync(join(tmpfs(), 'ballast'));
      turn();
      assert.equal(recorder.dropped.disk_full, dropped);
      await recorder.close();
      assert.equal(sealStream(dir, new KeptLog(), () => false)?.seal?.lastSeq, 6230);
      assert.equal([...readStreamEvents(dir, 0)].length, recorder.recorded);
      assert.equal(recorder.recorded + dropped, 6231);
    } finally {
      assert.equal(spawnSync('umount', ['--lazy', tmpfs()]).status, 0);
    }
  });

  const hasPrlimit = spawnSync('prlimit', ['--version']).status === 0;

  test('a file that may grow no more is followed by a new one, and nothing is dropped', { skip: !hasPrlimit && 'needs prlimit (util-linux)', timeout: 30_000 }, async () => {
    const spoolDir = join(folder, 'limited');
    const { child, output } = start('limited', spoolDir, ['prlimit', '--fsize=300000']);
    await once(child, 'close');
    assert.deepEqual(JSON.parse(output()), { released: 10_000, recorded: 10_000, dropped: { spool_full: 0, disk_full: 0, write_failed: 0 } });
    const [stream] = scanStreams(spoolDir);
    assert.ok(stream !== undefined && listSegments(stream.dir).length > 3);
    assert.deepEqual([...readStreamEvents(stream.dir, 0)].map((row) => row.seq), Array.from({ length: 10_000 }, (_, i) => i));
  });

  test('rows recorded while nobody looks are read by a reader that follows', { timeout: 60_000 }, async () => {
    const spoolDir = join(folder, 'follow');
    const { child, output } = start('endless', spoolDir);
    await until('a first answer', () => output() !== '');
    const [stream] = scanStreams(spoolDir);
    assert.ok(stream);
    let at = STREAM_START;
    let next = 0;
    await until('20,000 rows', () => {
      for (const item of readFrames(stream.dir, at)) {
        if (item.kind === 'end') {
          ({ at } = item);
          continue;
        }
        assert.equal(item.kind, 'frame');
        if (item.kind === 'frame') {
          assert.equal(item.firstSeq, next);
          next += item.count;
        }
      }
      return next >= 20_000;
    });
    assert.ok(at.segment > 1);
    const closed = once(child, 'close');
    child.kill('SIGKILL');
    await closed;
    sealStream(stream.dir, new KeptLog());
    let end = false;
    for (const item of readFrames(stream.dir, at)) {
      if (item.kind === 'frame') next = item.firstSeq + item.count;
      else end = item.kind === 'end' && item.sealed;
    }
    assert.equal(end, true);
    assert.equal(readState(stream.dir)?.seal?.lastSeq, next - 1);
  });
}
