import { test } from 'node:test';
import assert from 'node:assert/strict';
import { crc32 } from 'node:zlib';
import { decodeChunk, encodeFrames, encodeState, MAX_MESSAGE_BYTES, partitionOf, type ChunkMessage, type ReceivedMessage, type StreamFacts } from './chunk.js';
import { RowEncoder } from './encoder.js';
import { sampleFacts } from './event-samples.fixture.js';
import { FRAME_HEADER_BYTES, streamNumber, writeFrameHeader } from './frame.js';

const STREAM = '00c0ffee0000002a';

function frame(firstSeq: number, stream = STREAM): Buffer {
  const encoder = new RowEncoder(stream, 'node-a', 1);
  for (let i = 0; i < 2; i++) encoder.append(sampleFacts(firstSeq + i + 1), firstSeq + i);
  return Buffer.from(encoder.frame());
}

/** As it lies in the spool. */
const asItLies = (value: Buffer): ChunkMessage => ({ key: STREAM, headers: { t: 'frames', v: '1' }, value });

/** As Kafka gives it out. */
function received({ key, headers, value }: ChunkMessage, changes: { headers?: Record<string, string>; value?: Buffer; key?: string } = {}): ReceivedMessage {
  const all = { ...headers, ...changes.headers };
  return {
    key: Buffer.from(changes.key ?? key), value: changes.value ?? value,
    headers: Object.fromEntries(Object.entries(all).map(([name, text]) => [name, Buffer.from(text)])),
  };
}

const FACTS: StreamFacts = {
  format: 1, stream: STREAM, node: 'n', instance: 'i', worker: 1, openedAt: '2026-11-21T10:00:00.000Z', lastSeq: 7, markedAt: '2026-11-21T10:00:01.000Z',
  seal: { sealedAt: '2026-11-21T10:00:02.000Z', lastSeq: 7, proven: true }, drops: [{ app: null, rows: 3, firstMs: 1, lastMs: 2 }],
};
const FRAMES = [frame(0), frame(2), frame(4)];

test('frames come back as they were sent, by columns and as they lie in the spool', () => {
  const message = encodeFrames(STREAM, Buffer.concat(FRAMES));
  assert.equal(message.headers.v, '3');
  for (const sent of [message, asItLies(Buffer.concat(FRAMES))]) {
    const chunk = decodeChunk(received(sent));
    assert.ok(chunk.kind === 'frames');
    assert.equal(chunk.stream, STREAM);
    assert.deepEqual(chunk.frames.map(({ firstSeq, count, rows }) => [firstSeq, count, rows.toString('hex')]), FRAMES.map((bytes, i) => [2 * i, 2, bytes.toString('hex', FRAME_HEADER_BYTES)]));
  }
});

test('what is no whole frame of the stream goes as it is', () => {
  for (const value of [Buffer.from('damage'), Buffer.concat(FRAMES).subarray(0, -1), Buffer.concat([...FRAMES, frame(6, '1111111111111111')]), Buffer.concat([...FRAMES, newerFrame()])]) {
    assert.deepEqual(encodeFrames(STREAM, value), asItLies(value));
  }
});

test('rows that are not what their header says are not taken, and cost no other frame', () => {
  const other = frame(7);
  writeFrameHeader(other, streamNumber(STREAM), 2, 2);
  const chunk = decodeChunk(received(encodeFrames(STREAM, Buffer.concat([frame(0), other, frame(4)]))));
  assert.ok(chunk.kind === 'unreadable');
  assert.equal(chunk.reason, 'rows');
  assert.deepEqual(chunk.frames.map(({ firstSeq }) => firstSeq), [0, 4]);
});

test('rows that the store has no place for are not taken, by columns neither, and cost no other frame', () => {
  const encoder = new RowEncoder(STREAM, 'node-a', 1);
  encoder.append(sampleFacts(3, { outcomeId: 100 }), 2);
  const message = encodeFrames(STREAM, Buffer.concat([frame(0), encoder.frame(), frame(4)]));
  assert.equal(message.headers.v, '3');
  const chunk = decodeChunk(received(message));
  assert.ok(chunk.kind === 'unreadable');
  assert.equal(chunk.reason, 'rows');
  assert.deepEqual(chunk.frames.map(({ firstSeq }) => firstSeq), [0, 4]);
});

test('the facts of a stream come back as they were sent, living or sealed', () => {
  for (const facts of [FACTS, { ...FACTS, seal: null, drops: [], lastSeq: -1 }]) {
    assert.deepEqual(decodeChunk(received(encodeState(facts))), { kind: 'state', stream: STREAM, facts });
  }
});

test('any flipped bit of a chunk of frames is found, and costs no other frame', () => {
  const bytes = Buffer.concat(FRAMES);
  const second = FRAMES[0]?.length ?? 0;
  const third = second + (FRAMES[1]?.length ?? 0);
  for (let bit = second * 8; bit < third * 8; bit++) {
    const value = Buffer.from(bytes);
    value[bit >> 3] = (value[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    const chunk = decodeChunk(received(asItLies(value)));
    assert.ok(chunk.kind === 'unreadable', `bit ${bit}`);
    assert.deepEqual(chunk.frames.map(({ firstSeq }) => firstSeq), [0, 4], `bit ${bit}: ${chunk.detail}`);
  }
});

test('a chunk cut at any byte says so, unless it is cut between two frames', () => {
  const bytes = Buffer.concat(FRAMES);
  const ends = new Set([(FRAMES[0]?.length ?? 0), (FRAMES[0]?.length ?? 0) + (FRAMES[1]?.length ?? 0)]);
  for (let length = 0; length < bytes.length; length++) {
    const chunk = decodeChunk(received(asItLies(bytes.subarray(0, length))));
    assert.equal(chunk.kind, ends.has(length) ? 'frames' : 'unreadable', `cut at ${length}`);
  }
});

test('a frame of another stream, of a newer version, or a newer chunk is not taken for one of these', () => {
  const reason = (message: ReceivedMessage): string => {
    const chunk = decodeChunk(message);
    return chunk.kind === 'unreadable' ? chunk.reason : chunk.kind;
  };
  assert.equal(reason(received(encodeFrames(STREAM, frame(0, '1111111111111111')))), 'frame_header');
  assert.equal(reason(received(encodeFrames(STREAM, newerFrame()))), 'newer');
  assert.equal(reason(received(encodeFrames(STREAM, Buffer.concat(FRAMES)), { headers: { v: '4' } })), 'newer');
  assert.equal(reason(received(encodeState(FACTS), { headers: { v: '2' } })), 'newer');
  assert.equal(reason(received(asItLies(Buffer.concat(FRAMES)), { headers: { t: 'other' } })), 'headers');
  assert.equal(reason({ key: Buffer.from(STREAM), value: Buffer.concat(FRAMES) }), 'headers');
  assert.equal(reason(received(encodeFrames(STREAM, Buffer.concat(FRAMES)), { key: 'acme' })), 'key');
  assert.equal(reason({ ...received(encodeState(FACTS)), value: null }), 'empty');
  assert.equal(reason({ ...received(encodeState(FACTS)), key: null }), 'key');
});

test('facts that do not fit are not taken, whatever is wrong with them', () => {
  const wrong: unknown[] = [
    null, [], 7, 'text', { ...FACTS, format: 2 }, { ...FACTS, stream: '0000000000000001' }, { ...FACTS, worker: -1 }, { ...FACTS, openedAt: 'soon' },
    { ...FACTS, lastSeq: -2 }, { ...FACTS, lastSeq: 1.5 }, { ...FACTS, seal: {} }, { ...FACTS, drops: null }, { ...FACTS, drops: [{ app: 1, rows: 1, firstMs: 0, lastMs: 0 }] },
    { ...FACTS, instance: undefined },
  ];
  for (const value of wrong) {
    const chunk = decodeChunk(received(encodeState(FACTS), { value: Buffer.from(JSON.stringify(value)) }));
    assert.equal(chunk.kind === 'unreadable' && chunk.reason, 'state', JSON.stringify(value));
  }
  assert.equal(decodeChunk(received(encodeState(FACTS), { value: Buffer.from('{') })).kind, 'unreadable');
});

test('a stream has one partition, and random streams fill all of them', () => {
  assert.equal(partitionOf('ffffffff0000000d', 12), 1);
  assert.equal(partitionOf('00000000ffffffff', 12), 0xffffffff % 12);
  assert.ok(MAX_MESSAGE_BYTES > 4 * 1024 * 1024 * 1.5);
});

function newerFrame(): Buffer {
  const newer = frame(0);
  newer.writeUInt16LE(3, 4);
  return resealHeader(newer);
}

/** Makes the header's own checksum right again. */
function resealHeader(bytes: Buffer): Buffer {
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 36)), 36);
  return bytes;
}
