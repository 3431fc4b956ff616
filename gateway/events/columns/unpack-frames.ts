/** Frames back from their columns: the other half of pack-frames.ts, which says how they lie. */
import { crc32 } from 'node:zlib';
import { ROW_VERSION, type RowVersion } from '../event.js';
import type { ChunkFrame } from './pack-frames.js';
import { copyWords, LARGEST, MAX_FRAMES, MAX_ROWS_BYTES, NUMBERS_BYTES, passString, prefixOf, unzigzag, VERDICT_BYTES, viewOf, writeNumber } from './row-bytes.js';

/** Each row has one byte at least in each of the columns. */
const COLUMNS = 11;
/** Behind a verdict. */
const REFUSAL_STRINGS: Readonly<Record<RowVersion, number>> = { 1: 0, 2: 2 };

/** The frames back, their rows of the version that was packed; null: the bytes are damaged, or none of packFrames. */
export function unpackFrames(stream: string, packed: Buffer, version: RowVersion = ROW_VERSION): ChunkFrame[] | null {
  try {
    return unpack(stream, new PackedCursor(packed), version);
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

/** Reads what PackedColumns has written. Throws RangeError where that cannot be. */
class PackedCursor {
  readonly bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  get left(): number {
    return this.bytes.length - this.#at;
  }

  /** What has been read. */
  get taken(): Buffer {
    return this.bytes.subarray(0, this.#at);
  }

  varint(): number {
    const { bytes } = this;
    let at = this.#at;
    let value = 0;
    let scale = 1;
    for (;;) {
      if (at >= bytes.length || scale > LARGEST) throw new RangeError('a number is cut short');
      const byte = bytes[at++] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      scale *= 128;
    }
    this.#at = at;
    return value;
  }

  take(length: number): Buffer {
    if (length > this.left) throw new RangeError('bytes are cut short');
    const at = this.#at;
    this.#at = at + length;
    return this.bytes.subarray(at, at + length);
  }

  numbers(rows: number): Float64Array {
    const numbers = new Float64Array(rows);
    for (let i = 0; i < rows; i++) numbers[i] = this.varint();
    return numbers;
  }

  /** Each as many `parts` as Strings lie in it, behind `fixed` bytes. */
  values(rows: number, parts: number, fixed = 0): UnpackedValues {
    const count = this.varint();
    if (count > rows) throw new RangeError('more values than rows');
    const bounds = new Uint32Array(3 * count);
    for (let i = 0; i < count; i++) bounds[3 * i + 2] = this.varint();
    for (let i = 0; i < count; i++) {
      const start = this.#at;
      const end = start + (bounds[3 * i + 2] as number);
      this.#at = end;
      if (end > this.bytes.length) throw new RangeError('bytes are cut short');
      bounds.set([start, endOfFirst(this.bytes, start, end, parts, fixed), end], 3 * i);
    }
    const rowsBounds = new Uint32Array(rows);
    let length = 0;
    for (let i = 0; i < rows; i++) {
      const id = this.varint();
      if (id >= count) throw new RangeError('no such value');
      rowsBounds[i] = 3 * id;
      length += (bounds[3 * id + 2] as number) - (bounds[3 * id] as number);
    }
    return { bounds, rows: rowsBounds, length };
  }
}

interface UnpackedValues {
  /** Of each value, in the packed bytes: its start, the end of its first part, and its end. */
  readonly bounds: Uint32Array;
  /** Of each row: where in `bounds` its value is. */
  readonly rows: Uint32Array;
  /** Bytes of all rows. */
  readonly length: number;
}

/** A value's first part: its fixed bytes, of a verdict; else what lies before the last of so many Strings: app of a caller, config_version to route of a call. */
function endOfFirst(bytes: Buffer, start: number, end: number, strings: number, fixed: number): number {
  let first = start;
  let at = start + fixed;
  for (let i = 0; i < strings; i++) {
    first = at;
    at = passString(bytes, at);
  }
  if (at !== end) throw new RangeError('a value is not what its column has');
  return fixed > 0 ? start + fixed : first;
}

function unpack(stream: string, cursor: PackedCursor, version: RowVersion): ChunkFrame[] {
  const frames = unpackTable(cursor);
  const table = cursor.taken;
  const count = frames.reduce((sum, frame) => sum + frame.count, 0);
  if (COLUMNS * count > cursor.left) throw new RangeError('more rows than bytes');
  const prefix = cursor.take(cursor.varint());
  const prefixEnd = cursor.taken.length;
  const prefixStart = prefixEnd - prefix.length;
  if (prefix.length === 0 || prefixOf(prefix, stream) !== prefix.length) throw new RangeError('the prefix is of another stream');
  const [ordinals, ends, durations, owns, bytesIn, bytesOut] = [
    cursor.numbers(count), cursor.numbers(count), cursor.numbers(count), cursor.numbers(count), cursor.numbers(count), cursor.numbers(count)];
  const [verdicts, callers, calls, paths, traces] = [
    cursor.values(count, REFUSAL_STRINGS[version], VERDICT_BYTES), cursor.values(count, 2), cursor.values(count, 4), cursor.values(count, 1), cursor.values(count, 1)];
  const length = count * (prefix.length + NUMBERS_BYTES) + verdicts.length + callers.length + calls.length + paths.length + traces.length;
  if (length > MAX_ROWS_BYTES) throw new RangeError('too many bytes of rows');
  const crc = cursor.take(4).readUInt32LE(0);
  if (cursor.left > 0) throw new RangeError('bytes behind the end');
  const rows = Buffer.allocUnsafeSlow(length);
  const view = viewOf(rows);
  const source = viewOf(cursor.bytes);
  const unpacked: ChunkFrame[] = [];
  const sums = Buffer.allocUnsafe(4 * frames.length);
  let at = 0;
  let row = 0;
  let ordinal = 0;
  let endMs = 0;
  for (const frame of frames) {
    const start = at;
    for (let i = 0; i < frame.count; i++, row++) {
      const durationUs = durations[row] as number;
      ordinal += unzigzag(ordinals[row] as number);
      endMs += unzigzag(ends[row] as number);
      at = copyWords(view, at, source, prefixStart, prefixEnd);
      writeNumber(view, at, frame.firstSeq + i);
      writeNumber(view, at + 8, ordinal);
      writeNumber(view, at + 16, endMs - Math.floor(durationUs / 1000));
      writeNumber(view, at + 24, durationUs);
      writeNumber(view, at + 32, durationUs - unzigzag(owns[row] as number));
      writeNumber(view, at + 40, bytesIn[row] as number);
      writeNumber(view, at + 48, bytesOut[row] as number);
      at = copyPart(view, at + NUMBERS_BYTES, source, verdicts, row, 0, 1);
      at = copyPart(view, at, source, calls, row, 0, 1);
      at = copyPart(view, at, source, callers, row, 0, 1);
      at = copyPart(view, at, source, calls, row, 1, 2);
      at = copyPart(view, at, source, callers, row, 1, 2);
      at = copyPart(view, at, source, paths, row, 0, 2);
      at = copyPart(view, at, source, traces, row, 0, 2);
      at = copyPart(view, at, source, verdicts, row, 1, 2);
    }
    const payload = rows.subarray(start, at);
    sums.writeUInt32LE(crc32(payload), 4 * unpacked.length);
    unpacked.push({ ...frame, rows: payload });
  }
  if (crc32(sums, crc32(table)) !== crc) throw new RangeError('the rows do not fit their checksum');
  return unpacked;
}

function unpackTable(cursor: PackedCursor): { readonly firstSeq: number; readonly count: number }[] {
  const length = cursor.varint();
  if (length === 0 || length > MAX_FRAMES) throw new RangeError('no frames, or too many');
  const frames: { firstSeq: number; count: number }[] = [];
  let next = 0;
  for (let i = 0; i < length; i++) {
    const firstSeq = next + unzigzag(cursor.varint());
    const count = cursor.varint();
    next = firstSeq + count;
    if (firstSeq < 0 || count === 0 || !Number.isSafeInteger(next)) throw new RangeError('a frame that cannot be');
    frames.push({ firstSeq, count });
  }
  return frames;
}

/** From one of a value's bounds to another. */
function copyPart(to: DataView, at: number, source: DataView, { bounds, rows }: UnpackedValues, row: number, first: number, last: number): number {
  const value = rows[row] as number;
  return copyWords(to, at, source, bounds[value + first] as number, bounds[value + last] as number);
}
