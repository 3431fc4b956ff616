import assert from 'node:assert/strict';
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { crc32 } from 'node:zlib';
import { KeptLog, NOTHING_HELD, sampleFacts } from './event-samples.fixture.js';
import { FRAME_HEADER_BYTES, parseFrameHeader } from './frame.js';
import { decodeRows, readStreamEvents } from './read-rows.js';
import { readFrames, STREAM_START, type FrameItem, type StreamItem, type UnreadableItem } from './read-segment.js';
import { Recorder } from './recorder.js';
import { sealStream } from './seal.js';
import { SEGMENT_HEADER_BYTES, segmentPath } from './segment.js';

/** Rows of the frames of the stream that the tests damage. */
const COUNTS = [1, 2, 1, 3];
let folder: string;
let stream: string;
let whole: Buffer;
/** Where each frame begins, and where the last ends. */
const edges: number[] = [SEGMENT_HEADER_BYTES];

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tidegate-read-'));
  const recorder = Recorder.open({ spoolDir: join(folder, 'spool'), node: 'n', worker: 1, segmentBytes: 1e9, log: new KeptLog() });
  ({ stream } = recorder);
  for (const count of COUNTS) {
    for (let i = 0; i < count; i++) recorder.record(sampleFacts(recorder.nextOrdinal(), { recordedPath: '/p' }), NOTHING_HELD);
    recorder.flushNow();
  }
  await recorder.close();
  whole = readFileSync(segmentPath(join(folder, 'spool', stream), 1));
  for (let at = SEGMENT_HEADER_BYTES; at < whole.length;) {
    at += FRAME_HEADER_BYTES + (parseFrameHeader(whole, at, stream)?.payloadBytes ?? 0);
    edges.push(at);
  }
  assert.equal(edges.length, COUNTS.length + 1);
  assert.equal(edges.at(-1), whole.length);
});

after(() => { rmSync(folder, { recursive: true }); });

let copies = 0;

/** The stream once more, with other bytes in its segment. */
function streamWith(bytes: Buffer): string {
  const dir = join(folder, `copy${copies++}`, stream);
  cpSync(join(folder, 'spool', stream), dir, { recursive: true });
  writeFileSync(segmentPath(dir, 1), bytes);
  return dir;
}

function itemsOf(dir: string, from = STREAM_START): StreamItem[] {
  return [...readFrames(dir, from)];
}

const framesOf = (items: readonly StreamItem[]): FrameItem[] => items.filter((item) => item.kind === 'frame');
const unreadableOf = (items: readonly StreamItem[]): UnreadableItem[] => items.filter((item) => item.kind === 'corrupt' || item.kind === 'newer');
const firstSeqOf = (frame: number): number => COUNTS.slice(0, frame).reduce((sum, count) => sum + count, 0);

test('frames are read in order, from every place that was given out', () => {
  const dir = join(folder, 'spool', stream);
  const items = itemsOf(dir);
  assert.deepEqual(framesOf(items).map(({ firstSeq, count }) => [firstSeq, count]), [[0, 1], [1, 2], [3, 1], [4, 3]]);
  assert.deepEqual(items.at(-1), { kind: 'end', at: { segment: 1, offset: whole.length }, sealed: false });
  for (const [i, item] of items.entries()) if (item.kind === 'frame') assert.deepEqual(itemsOf(dir, item.next), items.slice(i + 1));
  assert.deepEqual([...readStreamEvents(dir, 2)].map(({ seq, app, counted }) => [seq, app, counted]), [2, 3, 4, 5, 6].map((seq) => [seq, 'acme', 1]));
});

test('cut anywhere: a live stream waits at the cut, and goes on when the rest comes', () => {
  const dir = streamWith(whole);
  for (let size = 0; size <= whole.length; size++) {
    writeFileSync(segmentPath(dir, 1), whole.subarray(0, size));
    const complete = edges.filter((edge) => edge <= size).length - 1;
    const items = itemsOf(dir);
    assert.equal(framesOf(items).length, Math.max(0, complete), `size ${size}`);
    assert.deepEqual(unreadableOf(items), []);
    const end = items.at(-1);
    assert.ok(end?.kind === 'end' && !end.sealed);
    appendFileSync(segmentPath(dir, 1), whole.subarray(size));
    assert.equal(framesOf(itemsOf(dir, end.at)).length, COUNTS.length - Math.max(0, complete), `size ${size}`);
  }
});

test('cut anywhere: the seal takes off what is torn, and all else is read', () => {
  for (let size = 0; size <= whole.length; size++) {
    const dir = streamWith(whole.subarray(0, size));
    const complete = Math.max(0, edges.filter((edge) => edge <= size).length - 1);
    const kept = size < SEGMENT_HEADER_BYTES ? 0 : edges[complete];
    const lastSeq = firstSeqOf(complete) - 1;
    const log = new KeptLog();
    const state = sealStream(dir, log, () => false);
    assert.deepEqual(state?.seal?.segments, [{ index: 1, firstSeq: complete === 0 ? -1 : 0, lastSeq, bytes: kept }], `size ${size}`);
    assert.equal(state?.seal?.lastSeq, lastSeq);
    assert.equal(state?.seal?.proven, process.platform === 'linux');
    assert.equal(log.lines.some((line) => line.level === 'warn'), kept !== size);
    const items = itemsOf(dir);
    assert.equal(framesOf(items).length, complete);
    assert.deepEqual(unreadableOf(items), []);
    assert.deepEqual(items.at(-1), { kind: 'end', at: { segment: 1, offset: kept }, sealed: true });
    rmSync(dir, { recursive: true });
  }
});

test('a flipped bit anywhere costs the frame it is in, and no other', () => {
  for (let at = 0; at < whole.length; at++) {
    const bytes = Buffer.from(whole);
    bytes[at] = (bytes[at] as number) ^ (1 << (at % 8));
    const hit = edges.filter((edge) => edge <= at).length - 1;
    const dir = streamWith(bytes);
    // while the stream lives, damage at the very end cannot be told from a write under way
    const live = unreadableOf(itemsOf(dir));
    assert.equal(live.length, hit === COUNTS.length - 1 ? 0 : 1, `byte ${at}`);
    sealStream(dir, new KeptLog(), () => false);
    const items = itemsOf(dir);
    const lost = unreadableOf(items);
    assert.equal(lost.length, 1, `byte ${at}`);
    const [range] = lost;
    assert.equal(range?.kind, 'corrupt');
    assert.deepEqual([range?.at.offset, range?.toOffset], hit === -1 ? [0, SEGMENT_HEADER_BYTES] : [edges[hit], edges[hit + 1]], `byte ${at}`);
    assert.deepEqual(framesOf(items).map((frame) => frame.firstSeq), COUNTS.map((_, i) => firstSeqOf(i)).filter((_, i) => i !== hit));
    rmSync(dir, { recursive: true });
  }
});

test('bytes lost, doubled or zeroed in the middle cost what they touch, and no more', () => {
  const [, second, third, fourth] = edges as [number, number, number, number];
  const cases: readonly (readonly [string, Buffer, readonly number[]])[] = [
    ['lost', Buffer.concat([whole.subarray(0, second + 50), whole.subarray(second + 60)]), [0, 3, 4]],
    ['zeroed over an edge', Buffer.concat([whole.subarray(0, third - 5), Buffer.alloc(10), whole.subarray(third + 5)]), [0, 4]],
    ['rubbish between', Buffer.concat([whole.subarray(0, third), Buffer.from([0xf7, 0x54, 0x46, 0xfe, 1, 0]), whole.subarray(third)]), [0, 1, 3, 4]],
    ['a frame doubled', Buffer.concat([whole.subarray(0, fourth), whole.subarray(third, fourth), whole.subarray(fourth)]), [0, 1, 3, 3, 4]],
  ];
  for (const [name, bytes, firstSeqs] of cases) {
    const dir = streamWith(bytes);
    sealStream(dir, new KeptLog(), () => false);
    assert.deepEqual(framesOf(itemsOf(dir)).map((frame) => frame.firstSeq), firstSeqs, name);
  }
});

test('a large damaged range is passed over, also where a header lies across two pieces that are read', () => {
  for (const rubbish of [1024 * 1024 - 20, 1024 * 1024, 3 * 1024 * 1024 + 7]) {
    const dir = streamWith(Buffer.concat([whole.subarray(0, edges[1]), Buffer.alloc(rubbish, 0xf7), whole.subarray(edges[1])]));
    const items = itemsOf(dir);
    assert.deepEqual(unreadableOf(items).map((item) => item.toOffset - item.at.offset), [rubbish]);
    assert.equal(framesOf(items).length, COUNTS.length);
  }
});

test('a frame of a newer version is refused by name, stepped over, and its seqs are known', () => {
  const bytes = Buffer.from(whole);
  const at = edges[1] as number;
  bytes.writeUInt16LE(3, at + 4);
  bytes.writeUInt32LE(crc32(bytes.subarray(at, at + 36)), at + 36);
  const dir = streamWith(bytes);
  const items = itemsOf(dir);
  assert.deepEqual(unreadableOf(items), [{
    kind: 'newer', at: { segment: 1, offset: at }, toOffset: edges[2], next: { segment: 1, offset: edges[2] }, version: 3, firstSeq: 1, count: 2,
  }]);
  assert.deepEqual(framesOf(items).map((frame) => frame.firstSeq), [0, 3, 4]);
  const told: UnreadableItem[] = [];
  assert.deepEqual([...readStreamEvents(dir, 0, (item) => told.push(item))].map((row) => row.seq), [0, 3, 4, 5, 6]);
  assert.equal(told.length, 1);
});

test('a segment of a newer version is refused whole, and the next is read', () => {
  const bytes = Buffer.from(whole);
  bytes.writeUInt16LE(9, 8);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 28)), 28);
  const dir = streamWith(bytes);
  assert.deepEqual(itemsOf(dir), [{ kind: 'end', at: { segment: 1, offset: 0 }, sealed: false }], 'more of it may come');
  const next = Buffer.from(whole);
  next.writeUInt32LE(2, 12);
  next.writeUInt32LE(crc32(next.subarray(0, 28)), 28);
  writeFileSync(segmentPath(dir, 2), next);
  const items = itemsOf(dir);
  assert.deepEqual(unreadableOf(items).map(({ kind, toOffset }) => [kind, toOffset]), [['newer', whole.length]]);
  assert.equal(framesOf(items).length, COUNTS.length);
});

test('a frame of another stream is no frame of this one', () => {
  const dir = streamWith(whole);
  const other = join(folder, 'other', '0123456789abcdef');
  cpSync(dir, other, { recursive: true });
  truncateSync(join(other, 'state.json'), 0);
  assert.deepEqual(itemsOf(other).map((item) => item.kind), ['corrupt', 'end'], 'the segment header, and nothing yet of the frames');
  sealStream(other, new KeptLog(), () => false);
  const items = itemsOf(other);
  assert.equal(framesOf(items).length, 0);
  assert.equal(unreadableOf(items).reduce((sum, item) => sum + item.toOffset - item.at.offset, 0), whole.length);
});

test('rows that were read stay as they were while the reader goes on', () => {
  const dir = join(folder, 'spool', stream);
  const first = framesOf(itemsOf(dir));
  const rows = first.map((frame) => [...decodeRows(frame.rows)]);
  framesOf(itemsOf(dir));
  assert.deepEqual(first.map((frame) => [...decodeRows(frame.rows)]), rows);
  assert.deepEqual(rows.flat().map((row) => [row.seq, row.ordinal, row.stream]), [0, 1, 2, 3, 4, 5, 6].map((seq) => [seq, seq + 1, stream]));
});
