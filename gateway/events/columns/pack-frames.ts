/**
 * The frames of a chunk by columns, for the wire: what is alike lies together, so that gzip has a third of the work and leaves less than half of the bytes. The way
 * back gives the same frames, byte for byte.
 *
 *   varint  frames; for each: first seq less the seq behind the frame before, count
 *   varint  bytes of the prefix, and those: stream, node and worker, which are the same in every row
 *   the columns of numbers, in the rows' order:
 *     ordinal      less the one before
 *     end          ms since the epoch, less the one before: rows lie in the order of their ends, so time is what is told by end and duration
 *     duration_us
 *     own          duration_us less upstream_us
 *     bytes_in
 *     bytes_out
 *   the columns of values, few of which occur: verdict (status to attempts, ten bytes; refused_by, reason, which rows of version 1 have not), caller (app, client), call (config_version, service, route, target),
 *   path, trace_id: varint values; for each value varint bytes, and those; for each row the number of its value
 *   u32     CRC-32 of the frames' numbers in front, and of the checksums that the worker gave their payloads, as u32; little endian, all of them
 *
 * A varint is LEB128; differences, which may be negative, have their sign in the lowest bit (zigzag).
 *
 * Measured with Node 20.20, 1,000 events a chunk, gzip level 3, bytes an event (200 apps x 20 routes | 4 apps x 4 routes): rows 28.5 | 16.6, columns 12.7 | 6.5.
 */
import { randomInt } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { FRAME_HEADER_BYTES, FRAME_VERSION, parseFrameHeader, payloadIsSound } from '../frame.js';
import { areSame, copyWords, LARGEST, MAX_FRAMES, MAX_ROWS_BYTES, NUMBERS_BYTES, passString, prefixOf, readI64, readU64, VERDICT_BYTES, viewOf, zigzag } from './row-bytes.js';

export interface ChunkFrame {
  readonly firstSeq: number;
  readonly count: number;
  /** `count` rows of RowBinary: a view into what it came in. */
  readonly rows: Buffer;
}

/** Of a number of 53 bits. */
const VARINT_BYTES = 8;
const HASH_SEED = randomInt(2 ** 32);

/**
 * The frames by columns; null: they do not lend themselves to it, and go as they are (damage, a newer version, rows that are none of a worker's).
 * @param frames the bytes of whole frames of the stream
 */
export function packFrames(stream: string, frames: Buffer): Buffer | null {
  const sound = soundFrames(stream, frames);
  const first = sound[0];
  if (first === undefined) return null;
  const prefixLength = prefixOf(first.rows, stream);
  const count = sound.reduce((sum, frame) => sum + frame.count, 0);
  const bytes = sound.reduce((sum, { rows }) => sum + rows.length, 0);
  if (prefixLength === 0 || sound.length > MAX_FRAMES || bytes > MAX_ROWS_BYTES) return null;
  const table = new VarintColumn(1 + 2 * sound.length);
  const columns = new PackedColumns(count, first.rows.subarray(0, prefixLength));
  const sums = Buffer.allocUnsafe(4 * sound.length);
  table.put(sound.length);
  let next = 0;
  for (const [i, { firstSeq, count: rows, rows: payload, payloadCrc }] of sound.entries()) {
    if (firstSeq > LARGEST / 2 || !columns.add(payload, firstSeq, rows)) return null;
    table.put(zigzag(firstSeq - next));
    table.put(rows);
    sums.writeUInt32LE(payloadCrc, 4 * i);
    next = firstSeq + rows;
  }
  return columns.packed(table.bytes, crc32(sums, crc32(table.bytes)));
}

/** Empty where one of them is not sound: what is damaged must be seen to be by who reads it. */
function soundFrames(stream: string, frames: Buffer): (ChunkFrame & { readonly payloadCrc: number })[] {
  const sound: (ChunkFrame & { readonly payloadCrc: number })[] = [];
  for (let at = 0; at < frames.length;) {
    const header = parseFrameHeader(frames, at, stream);
    if (header === null || header.version !== FRAME_VERSION) return [];
    const end = at + FRAME_HEADER_BYTES + header.payloadBytes;
    const rows = frames.subarray(at + FRAME_HEADER_BYTES, end);
    if (!payloadIsSound(header, rows)) return [];
    const { firstSeq, count, payloadCrc } = header;
    sound.push({ firstSeq, count, rows, payloadCrc });
    at = end;
  }
  return sound;
}

/** Values of which few occur, by number in the order of their appearance. A value is two stretches of a row. */
class ValueColumn {
  readonly #ids: VarintColumn;
  readonly #lengths: number[] = [];
  /** One behind the other. */
  #values = new DataView(new ArrayBuffer(4096));
  readonly #starts: number[] = [];
  #end = 0;
  /** Open addressing by hash: 1 + number; 0: free. At most half of it is used. */
  #slots = new Int32Array(256);
  #hashes: number[] = [];

  constructor(rows: number) {
    this.#ids = new VarintColumn(rows);
  }

  /** The value is what lies between the first two places, and what lies between the others. */
  put(rows: DataView, from: number, to: number, alsoFrom: number, alsoTo: number): void {
    const hash = hashOf(rows, alsoFrom, alsoTo, hashOf(rows, from, to, HASH_SEED));
    const slots = this.#slots;
    const mask = slots.length - 1;
    const length = to - from + alsoTo - alsoFrom;
    let slot = hash & mask;
    for (let number = slots[slot] as number; number !== 0; number = slots[slot] as number) {
      const start = this.#starts[number - 1] as number;
      if (this.#hashes[number - 1] === hash && this.#lengths[number - 1] === length
        && areSame(rows, from, to, this.#values, start) && areSame(rows, alsoFrom, alsoTo, this.#values, start + to - from)) {
        this.#ids.put(number - 1);
        return;
      }
      slot = (slot + 1) & mask;
    }
    slots[slot] = this.#add(rows, from, to, alsoFrom, alsoTo, hash);
    this.#ids.put(this.#lengths.length - 1);
  }

  addTo(parts: Buffer[]): void {
    const lengths = new VarintColumn(1 + this.#lengths.length);
    lengths.put(this.#lengths.length);
    for (const length of this.#lengths) lengths.put(length);
    parts.push(lengths.bytes, Buffer.from(this.#values.buffer, 0, this.#end), this.#ids.bytes);
  }

  #add(rows: DataView, from: number, to: number, alsoFrom: number, alsoTo: number, hash: number): number {
    const length = to - from + alsoTo - alsoFrom;
    if (this.#end + length > this.#values.byteLength) {
      const larger = new Uint8Array(2 * (this.#end + length));
      larger.set(new Uint8Array(this.#values.buffer, 0, this.#end));
      this.#values = new DataView(larger.buffer);
    }
    this.#starts.push(this.#end);
    this.#lengths.push(length);
    this.#hashes.push(hash);
    this.#end = copyWords(this.#values, copyWords(this.#values, this.#end, rows, from, to), rows, alsoFrom, alsoTo);
    if (this.#lengths.length * 2 > this.#slots.length) this.#rehash();
    return this.#lengths.length;
  }

  #rehash(): void {
    const slots = new Int32Array(this.#slots.length * 4);
    const mask = slots.length - 1;
    for (const [i, hash] of this.#hashes.entries()) {
      let slot = hash & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = i + 1;
    }
    this.#slots = slots;
  }
}

class VarintColumn {
  readonly #bytes: Buffer;
  #end = 0;

  constructor(values: number) {
    this.#bytes = Buffer.allocUnsafe(values * VARINT_BYTES);
  }

  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#end);
  }

  /** @param value whole, 0 or more, less than 2^53 */
  put(value: number): void {
    const bytes = this.#bytes;
    let at = this.#end;
    let rest = value;
    while (rest > 0x3fff_ffff) {
      bytes[at++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    let small = rest | 0;
    while (small >= 0x80) {
      bytes[at++] = (small & 0x7f) | 0x80;
      small >>>= 7;
    }
    bytes[at++] = small;
    this.#end = at;
  }
}

class PackedColumns {
  readonly #prefix: DataView;
  readonly #ordinals: VarintColumn;
  readonly #ends: VarintColumn;
  readonly #durations: VarintColumn;
  readonly #owns: VarintColumn;
  readonly #bytesIn: VarintColumn;
  readonly #bytesOut: VarintColumn;
  readonly #verdicts: ValueColumn;
  readonly #callers: ValueColumn;
  readonly #calls: ValueColumn;
  readonly #paths: ValueColumn;
  readonly #traces: ValueColumn;
  #ordinal = 0;
  #endMs = 0;

  constructor(rows: number, prefix: Buffer) {
    this.#prefix = viewOf(prefix);
    const numbers = (): VarintColumn => new VarintColumn(rows);
    const values = (): ValueColumn => new ValueColumn(rows);
    [this.#ordinals, this.#ends, this.#durations, this.#owns, this.#bytesIn, this.#bytesOut] = [numbers(), numbers(), numbers(), numbers(), numbers(), numbers()];
    [this.#verdicts, this.#callers, this.#calls, this.#paths, this.#traces] = [values(), values(), values(), values(), values()];
  }

  /** False: the payload is not `count` rows of this prefix with seqs from firstSeq on, or has numbers that are too large. */
  add(rows: Buffer, firstSeq: number, count: number): boolean {
    const view = viewOf(rows);
    const prefix = this.#prefix;
    let at = 0;
    for (let i = 0; i < count; i++) {
      const start = at + prefix.byteLength;
      if (start + NUMBERS_BYTES + VERDICT_BYTES > rows.length || !areSame(view, at, start, prefix, 0)) return false;
      if (readU64(view, start) !== firstSeq + i || !this.#addNumbers(view, start + 8)) return false;
      at = this.#addValues(rows, view, start + NUMBERS_BYTES);
      if (at === -1) return false;
    }
    return at === rows.length;
  }

  packed(table: Buffer, crc: number): Buffer {
    const prefixLength = new VarintColumn(1);
    prefixLength.put(this.#prefix.byteLength);
    const parts = [
      table, prefixLength.bytes, Buffer.from(this.#prefix.buffer, this.#prefix.byteOffset, this.#prefix.byteLength),
      this.#ordinals.bytes, this.#ends.bytes, this.#durations.bytes, this.#owns.bytes, this.#bytesIn.bytes, this.#bytesOut.bytes,
    ];
    for (const column of [this.#verdicts, this.#callers, this.#calls, this.#paths, this.#traces]) column.addTo(parts);
    const sum = Buffer.allocUnsafe(4);
    sum.writeUInt32LE(crc);
    parts.push(sum);
    return Buffer.concat(parts);
  }

  #addNumbers(view: DataView, at: number): boolean {
    const ordinal = readU64(view, at);
    const timeMs = readI64(view, at + 8);
    const durationUs = readU64(view, at + 16);
    const upstreamUs = readU64(view, at + 24);
    const bytesIn = readU64(view, at + 32);
    const bytesOut = readU64(view, at + 40);
    const most = Math.max(ordinal, Math.abs(timeMs), durationUs, upstreamUs, bytesIn, bytesOut);
    if (most > LARGEST / 2) return false;
    const endMs = timeMs + Math.floor(durationUs / 1000);
    this.#ordinals.put(zigzag(ordinal - this.#ordinal));
    this.#ends.put(zigzag(endMs - this.#endMs));
    this.#durations.put(durationUs);
    this.#owns.put(zigzag(durationUs - upstreamUs));
    this.#bytesIn.put(bytesIn);
    this.#bytesOut.put(bytesOut);
    this.#ordinal = ordinal;
    this.#endMs = endMs;
    return true;
  }

  /** Where the next row begins; -1: this one is cut short. */
  #addValues(rows: Buffer, view: DataView, at: number): number {
    const strings = at + VERDICT_BYTES;
    const app = passString(rows, passString(rows, passString(rows, strings)));
    const target = passString(rows, app);
    const client = passString(rows, target);
    const path = passString(rows, client);
    const trace = passString(rows, path);
    const refusal = passString(rows, trace);
    const end = passString(rows, passString(rows, refusal));
    if (end > rows.length) return -1;
    this.#verdicts.put(view, at, strings, refusal, end);
    this.#callers.put(view, app, target, client, path);
    this.#calls.put(view, strings, app, target, client);
    this.#paths.put(view, path, trace, trace, trace);
    this.#traces.put(view, trace, refusal, refusal, refusal);
    return end;
  }
}

/** By words, from a number that nobody outside knows: whose values would collide cannot be chosen. What is packed does not depend on it. */
function hashOf(view: DataView, start: number, end: number, seed: number): number {
  let hash = seed;
  let i = start;
  for (; i + 4 <= end; i += 4) hash = mixed(hash ^ view.getInt32(i, true));
  for (; i < end; i++) hash = mixed(hash ^ view.getUint8(i));
  return hash;
}

const mixed = (hash: number): number => {
  const product = Math.imul(hash, 0x5bd1e995);
  return product ^ product >>> 15;
};
