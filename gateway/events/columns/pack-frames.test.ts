import { test } from 'node:test';
import assert from 'node:assert/strict';
import { crc32 } from 'node:zlib';
import { RowEncoder } from '../encoder.js';
import type { EventFacts } from '../event.js';
import { sampleFacts, type Names } from '../event-samples.fixture.js';
import { FRAME_HEADER_BYTES, streamNumber, writeFrameHeader } from '../frame.js';
import { encodeLabels } from '../labels.js';
import { packFrames, type ChunkFrame } from './pack-frames.js';
import { unpackFrames } from './unpack-frames.js';

const STREAM = '00c0ffee0000002b';
const OTHER = '00c0ffee0000002c';

/** The same numbers for the same seed. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return Math.floor(state / 0x80000000 * below);
  };
}

const TEXTS = ['', 'a', 'acme', 'größe', '日本語 𝒳', '\u0000\n"', 'x'.repeat(127), 'x'.repeat(128), 'y'.repeat(1024)];
const NUMBERS = [0, 1, 127, 128, 255, 65_535, 65_536, 2 ** 30 - 1, 2 ** 30, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 48 + 7];

function strange(random: (below: number) => number, ordinal: number): { facts: Partial<EventFacts>; names: Partial<Names> } {
  const text = (): string => TEXTS[random(TEXTS.length)] as string;
  const number = (): number => NUMBERS[random(NUMBERS.length)] as number;
  return {
    facts: {
      ordinal: random(10) === 0 ? number() : ordinal, timeMs: random(10) === 0 ? -number() : 1_790_000_000_000 + number() % 1e9, durationUs: number(), upstreamUs: number(), bytesIn: number(), bytesOut: number(),
      status: random(65_536), methodId: random(256), outcomeId: random(256), protocolId: random(256), kindId: random(256), attempts: random(300),
      client: text(), recordedPath: text(), traceId: text(), refusalLabel: encodeLabels(text(), text()),
    },
    names: { version: text(), service: text(), route: text(), app: text(), target: text() },
  };
}

function frameOf(random: (below: number) => number, firstSeq: number, count: number): Buffer {
  const encoder = new RowEncoder(STREAM, 'node-ä', 65_535);
  for (let i = 0; i < count; i++) {
    const { facts, names } = random(2) === 0 ? { facts: {}, names: {} } : strange(random, firstSeq + i);
    encoder.append(sampleFacts(firstSeq + i + 1, facts, names), firstSeq + i);
  }
  return Buffer.from(encoder.frame());
}

test('whatever rows a worker writes come back byte for byte, frame by frame', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = randomOf(seed);
    const frames: Buffer[] = [];
    const firsts: number[] = [];
    let seq = random(3) === 0 ? 0 : 2 ** 33 + random(1000);
    for (let i = 0; i <= random(8); i++) {
      const count = 1 + random(40);
      firsts.push(seq);
      frames.push(frameOf(random, seq, count));
      // a repeat, a hole, or what follows
      seq += random(10) === 0 ? 0 : count + (random(10) === 0 ? random(1000) : 0);
    }
    const packed = packFrames(STREAM, Buffer.concat(frames));
    assert.ok(packed !== null, `seed ${seed}`);
    const unpacked = unpackFrames(STREAM, packed);
    assert.ok(unpacked !== null, `seed ${seed}`);
    assert.deepEqual(unpacked.map(({ firstSeq }) => firstSeq), firsts, `seed ${seed}`);
    for (const [i, { rows, count }] of unpacked.entries()) {
      assert.equal(count, frames[i]?.readUInt32LE(12));
      assert.ok(rows.equals(frames[i]?.subarray(FRAME_HEADER_BYTES) as Buffer), `seed ${seed}, frame ${i}`);
    }
  }
});

test('what is not rows of one worker with consecutive seqs is not packed', () => {
  const sound = frameOf(randomOf(7), 10, 5);
  const withHeader = (payload: Buffer, firstSeq = 10, count = 5, stream = STREAM): Buffer => {
    const frame = Buffer.concat([Buffer.alloc(FRAME_HEADER_BYTES), payload]);
    writeFrameHeader(frame, streamNumber(stream), firstSeq, count);
    return frame;
  };
  const payload = Buffer.from(sound.subarray(FRAME_HEADER_BYTES));
  const flipped = Buffer.from(sound);
  flipped[FRAME_HEADER_BYTES + 40] = (flipped[FRAME_HEADER_BYTES + 40] as number) ^ 1;
  const encoder = new RowEncoder(STREAM, 'node-b', 1);
  encoder.append(sampleFacts(1), 15);
  const huge = new RowEncoder(STREAM, 'node-ä', 65_535);
  huge.append(sampleFacts(1, { bytesOut: 2 ** 52 }), 15);
  assert.ok(packFrames(STREAM, withHeader(payload)) !== null, 'the sound one is');
  const not: Record<string, Buffer> = {
    'nothing': Buffer.alloc(0), 'no frame': Buffer.from('damage'), 'another seq': withHeader(payload, 11), 'a row more': withHeader(payload, 10, 6), 'a row fewer': withHeader(payload, 10, 4),
    'cut short': withHeader(payload.subarray(0, -1)), 'longer': withHeader(Buffer.concat([payload, Buffer.from([0])])), 'a number that was damaged': flipped, 'half a header': Buffer.concat([sound, sound.subarray(0, 20)]),
    'another node': Buffer.concat([sound, encoder.frame()]), 'a number beyond 2^50': Buffer.concat([sound, huge.frame()]), 'another stream in the header': withHeader(payload, 10, 5, OTHER),
  };
  for (const [what, bytes] of Object.entries(not)) assert.equal(packFrames(STREAM, bytes), null, what);
  assert.equal(packFrames(OTHER, withHeader(payload, 10, 5, OTHER)), null, 'another stream in the rows');
});

/** One row with an empty prefix and the checksum that fits: as whoever may write to the topic could make it. */
function withoutPrefix(): Buffer {
  const packed = packFrames(STREAM, frameOf(randomOf(1), 0, 1)) as Buffer;
  const [{ rows }] = unpackFrames(STREAM, packed) as [ChunkFrame];
  const prefixLength = 8 + 1 + Buffer.byteLength('node-ä') + 2;
  const table = packed.subarray(0, packed.indexOf(prefixLength));
  const [sum, crc] = [Buffer.alloc(4), Buffer.alloc(4)];
  sum.writeUInt32LE(crc32(rows.subarray(prefixLength)));
  crc.writeUInt32LE(crc32(sum, crc32(table)));
  return Buffer.concat([table, Buffer.from([0]), packed.subarray(table.length + 1 + prefixLength, -4), crc]);
}

test('any flipped bit and any cut is found, and nothing that is read is out of bounds', () => {
  const random = randomOf(3);
  const packed = packFrames(STREAM, Buffer.concat([frameOf(random, 0, 4), frameOf(random, 4, 3)])) as Buffer;
  assert.ok(unpackFrames(STREAM, packed) !== null);
  for (let bit = 0; bit < packed.length * 8; bit++) {
    const damaged = Buffer.from(packed);
    damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.equal(unpackFrames(STREAM, damaged), null, `bit ${bit}`);
  }
  for (let length = 0; length < packed.length; length++) assert.equal(unpackFrames(STREAM, packed.subarray(0, length)), null, `cut at ${length}`);
  assert.equal(unpackFrames(OTHER, packed), null);
  assert.equal(unpackFrames(STREAM, withoutPrefix()), null, 'rows without a stream');
  // a table of more frames than any chunk has, and one of more rows than there are bytes
  const varints = (...values: readonly number[]): Buffer => Buffer.from(values.flatMap((value) => [(value & 0x7f) | 0x80, (value >>> 7 & 0x7f) | 0x80, value >>> 14]));
  assert.equal(unpackFrames(STREAM, Buffer.concat([varints(16_385), Buffer.alloc(1_000_000, 1)])), null);
  assert.equal(unpackFrames(STREAM, Buffer.concat([varints(1, 0, 1_000_000), Buffer.alloc(1000, 1)])), null);
  for (let seed = 0; seed < 2000; seed++) {
    const noise = randomOf(seed + 1);
    assert.equal(unpackFrames(STREAM, Buffer.from(Array.from({ length: noise(200) }, () => noise(256)))), null);
  }
});
