/** The spool's keeper on real streams: recorders of this process stand for living workers, streams with a dead writer's identity for dead ones. */
import { afterEach, beforeEach, test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KeptLog, NOTHING_HELD, sampleFacts } from '../events/event-samples.fixture.js';
import { requires } from '../../test/harness/requires.js';
import { SmallDisk } from '../../test/harness/small-disk.js';
import { Recorder } from '../events/recorder.js';
import { readStreamEvents } from '../events/read-rows.js';
import { readState, writeState } from '../events/stream-state.js';
import { recordedToday, type CountedQuestion } from './recorded-today.js';
import { spoolDirOf } from './run-files.js';
import { SpoolKeeper } from './spool-keeper.js';

let dataDir = '';
const log = new KeptLog();
const recorders: Recorder[] = [];

beforeEach(() => { dataDir = mkdtempSync(join(tmpdir(), 'tidegate-keeper-')); });
afterEach(async () => {
  for (const recorder of recorders.splice(0)) await recorder.close();
  rmSync(dataDir, { recursive: true });
});

const DAY = { startMs: 1_795_260_000_000, endMs: 1_795_260_000_000 + 86_400_000, apps: ['acme', 'other'] };

function openStream(): Recorder {
  const recorder = Recorder.open({ spoolDir: spoolDirOf(dataDir), node: 'n', worker: 1, segmentBytes: 1 << 20, log });
  recorders.push(recorder);
  return recorder;
}

const dirOf = (recorder: Recorder): string => join(spoolDirOf(dataDir), recorder.stream);

function record(recorder: Recorder, rows: number, changes: Parameters<typeof sampleFacts>[1] = {}): void {
  for (let i = 0; i < rows; i++) recorder.record(sampleFacts(recorder.nextOrdinal(), changes), NOTHING_HELD);
  recorder.flushNow();
}

/** As if its worker had been killed. */
function bury(recorder: Recorder): void {
  const state = readState(dirOf(recorder));
  assert.ok(state !== null);
  writeState(dirOf(recorder), { ...state, pidStart: (state.pidStart ?? 0) + 1 }, false);
}

function keeper(order: string[], rooms: number[] = []): SpoolKeeper {
  return new SpoolKeeper({
    spoolDir: spoolDirOf(dataDir), log,
    beforeSeal: ({ stream, dir }) => {
      assert.equal(readState(dir)?.seal, null, 'the stream is settled before it is sealed');
      order.push(`settle ${stream} ${[...readStreamEvents(dir, 0)].length}`);
    },
    spares: () => 2,
    onSealed: (stream) => { order.push(`sealed ${stream}`); },
    onRoom: (bytes) => { rooms.push(bytes); },
  });
}

test('a living stream is marked as its worker reports, and is not sealed', () => {
  const recorder = openStream();
  record(recorder, 3);
  const order: string[] = [];
  const rooms: number[] = [];
  const kept = keeper(order, rooms);
  kept.tick();
  assert.equal(readState(dirOf(recorder))?.lastSeq, -1, 'no word, no mark');
  kept.noteMark(recorder.stream, 2);
  kept.tick();
  assert.equal(readState(dirOf(recorder))?.lastSeq, 2);
  assert.deepEqual(order, []);
  assert.ok((rooms[0] ?? 0) > 0);
});

test('a dead worker\'s stream is settled, then sealed, once', () => {
  const dead = openStream();
  const alive = openStream();
  record(dead, 5);
  record(alive, 1);
  bury(dead);
  const order: string[] = [];
  const kept = keeper(order);
  kept.tick();
  kept.tick();
  assert.deepEqual(order, [`settle ${dead.stream} 5`, `sealed ${dead.stream}`]);
  assert.deepEqual([readState(dirOf(dead))?.seal?.lastSeq, readState(dirOf(alive))?.seal], [4, null]);
});

test('a stream that cannot be settled is not sealed, is told of once, and is tried again', () => {
  const dead = openStream();
  record(dead, 1);
  bury(dead);
  let broken = true;
  const kept = new SpoolKeeper({
    spoolDir: spoolDirOf(dataDir), log, spares: () => 0, onSealed: () => {}, onRoom: () => {},
    beforeSeal: () => { if (broken) throw new Error('the journal cannot be written'); },
  });
  const before = log.lines.filter(({ level }) => level === 'error').length;
  kept.tick();
  kept.tick();
  assert.equal(log.lines.filter(({ level }) => level === 'error').length, before + 1);
  assert.equal(readState(dirOf(dead))?.seal, null);
  broken = false;
  kept.tick();
  assert.equal(readState(dirOf(dead))?.seal?.lastSeq, 0);
});

test('a disk that refuses the marks is a fault until it takes them again', { skip: requires('root', 'linux') }, async () => {
  using disk = SmallDisk.mount(spoolDirOf(dataDir), 8);
  const recorder = openStream();
  record(recorder, 3);
  // a tmpfs with an open file is not made read-only; the stream's process lives on, and so does the stream
  await recorder.close();
  const kept = keeper([]);
  const marked = (): void => {
    kept.noteMark(recorder.stream, 2);
    kept.tick();
  };
  marked();
  assert.equal(kept.fault, null);
  disk.makeReadOnly();
  marked();
  kept.tick();
  assert.match(kept.fault ?? '', /EROFS/, 'also while no mark comes');
  disk.makeWritable();
  marked();
  assert.equal(kept.fault, null);
});

test('what was recorded of a day is counted from the spool where there is no store', async () => {
  const recorder = openStream();
  record(recorder, 4);
  record(recorder, 2, { counted: 0 });
  record(recorder, 1, { requests: 0 });
  record(recorder, 1, { timeMs: DAY.endMs });
  const recorded = await recordedToday(dataDir, join(dataDir, 'none.sock'))([DAY]);
  assert.deepEqual(recorded.counts, [{ app: 'acme', stream: recorder.stream, count: 4 }]);
  assert.deepEqual(recorded.open, [{ stream: recorder.stream, lastSeq: 7 }]);
});

test('what was dropped of a day is counted too', async () => {
  const recorder = openStream();
  record(recorder, 4);
  recorder.setRoom(10, 10);
  record(recorder, 3);
  const recorded = await recordedToday(dataDir, join(dataDir, 'none.sock'))([DAY]);
  assert.deepEqual(recorded, { open: [{ stream: recorder.stream, lastSeq: 6 }], counts: [{ app: 'acme', stream: recorder.stream, count: 7 }] });
});

test('where there is a store it is asked for what the spool no longer holds, and is waited for', async () => {
  const recorder = openStream();
  record(recorder, 4);
  mkdirSync(join(dataDir, 'store'));
  const socket = join(dataDir, 'c.sock');
  await assert.rejects(recordedToday(dataDir, socket)([DAY]), 'no collector, no answer');
  let asked: CountedQuestion | null = null;
  const collector: Server = createServer((request, response) => {
    let body = '';
    request.on('data', (piece: Buffer) => { body += piece.toString(); });
    request.on('end', () => {
      asked = JSON.parse(body) as CountedQuestion;
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ counts: [
        { day: 0, app: 'acme', stream: recorder.stream, count: 10 }, { day: 0, app: 'other', stream: '00000000000000aa', count: 2 },
        { day: 0, app: 'unlimited', stream: recorder.stream, count: 9 },
      ] }));
    });
  });
  await new Promise<void>((resolve) => { collector.listen(socket, resolve); });
  try {
    const recorded = await recordedToday(dataDir, socket)([DAY]);
    assert.deepEqual(asked, { days: [{ startMs: DAY.startMs, endMs: DAY.endMs }], streams: [{ stream: recorder.stream, before: 0 }] });
    assert.deepEqual(recorded.counts, [{ app: 'acme', stream: recorder.stream, count: 14 }, { app: 'other', stream: '00000000000000aa', count: 2 }]);
  } finally {
    await new Promise((resolve) => { collector.close(resolve); });
  }
});
