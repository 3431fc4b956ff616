/** What packing and unpacking have in common: the layout of a row, and its bytes taken by words. */
import { streamNumber } from '../frame.js';

/** What one chunk has at most, as the largest message does (MAX_MESSAGE_BYTES in chunk.ts): more is damage. */
export const MAX_FRAMES = 16_384;
export const MAX_ROWS_BYTES = 8 * 1024 * 1024;
/** Behind a row's prefix: seq, ordinal, time, duration_us, upstream_us, bytes_in, bytes_out. */
export const NUMBERS_BYTES = 7 * 8;
/** Behind those: status to attempts. */
export const VERDICT_BYTES = 10;
/** Differences of numbers below its half, and their double, are whole. */
export const LARGEST = 2 ** 51;
const TWO_32 = 0x1_0000_0000;
/** Of the last byte of a length: four bytes, 256 MB. The engine takes ten, and reads on behind them as if they had ended. */
const LARGEST_SCALE = 128 ** 3;

/** Bytes of a row's stream, node and worker; 0: it is no row of the stream. */
export function prefixOf(row: Buffer, stream: string): number {
  const { high, low } = streamNumber(stream);
  if (row.length < 8 || row.readUInt32LE(0) !== low || row.readUInt32LE(4) !== high) return 0;
  const end = passString(row, 8) + 2;
  return end > row.length ? 0 : end;
}

// A few dozen bytes each: a loop over words is cheaper than a call into the engine.

/** Returns the place behind the copy. */
export function copyWords(to: DataView, at: number, from: DataView, start: number, end: number): number {
  let i = start;
  let into = at;
  for (; i + 4 <= end; i += 4, into += 4) to.setUint32(into, from.getUint32(i, true), true);
  for (; i < end; i++, into++) to.setUint8(into, from.getUint8(i));
  return into;
}

export function areSame(a: DataView, start: number, end: number, b: DataView, from: number): boolean {
  let i = start;
  let other = from;
  for (; i + 4 <= end; i += 4, other += 4) if (a.getUint32(i, true) !== b.getUint32(other, true)) return false;
  for (; i < end; i++, other++) if (a.getUint8(i) !== b.getUint8(other)) return false;
  return true;
}

export const viewOf = (bytes: Buffer): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

/** Where the String at `from` ends; beyond the bytes: it is cut short, or its length takes more bytes than any length here does. */
export function passString(bytes: Buffer, from: number): number {
  let at = from;
  let length = 0;
  for (let scale = 1, byte = 0x80; byte >= 0x80; scale *= 128) {
    if (scale > LARGEST_SCALE) return Number.POSITIVE_INFINITY;
    byte = bytes[at++] ?? 0;
    length += (byte & 0x7f) * scale;
  }
  return at + length;
}

export const zigzag = (value: number): number => (value < 0 ? -2 * value - 1 : 2 * value);
export const unzigzag = (value: number): number => (value % 2 === 0 ? value / 2 : -(value + 1) / 2);

export const readU64 = (view: DataView, at: number): number => view.getUint32(at + 4, true) * TWO_32 + view.getUint32(at, true);
export const readI64 = (view: DataView, at: number): number => view.getInt32(at + 4, true) * TWO_32 + view.getUint32(at, true);

/** As u64 or i64. */
export function writeNumber(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setInt32(at + 4, Math.floor(value / TWO_32), true);
}
