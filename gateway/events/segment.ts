/**
 * A segment: one file of a stream.
 *
 *    0  magic    8 bytes "TIDESEG" and 0
 *    8  version  u16   1
 *   10  reserved u16   0
 *   12  index    u32
 *   16  stream   u64
 *   24  reserved u32   0
 *   28  crc      u32   CRC-32 of bytes 0 to 27
 *   32  frames…
 *
 * All little endian. The header keeps this layout in every version. Files are named by their index, from 00000001.seg; a frame names its stream
 * too, so a damaged segment header costs no frame.
 */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { streamNumber } from './frame.js';

export const SEGMENT_HEADER_BYTES = 32;
export const SEGMENT_VERSION = 1;
const MAGIC = Buffer.from('TIDESEG\0', 'latin1');
const NAME = /^(\d{8,})\.seg$/;

export interface SegmentFile {
  readonly index: number;
  readonly path: string;
  readonly bytes: number;
}

export type SegmentHeader =
  | { readonly kind: 'sound'; readonly version: number }
  /** Fewer bytes than a header has, and these are right: the process was killed in its write. */
  | { readonly kind: 'torn' }
  | { readonly kind: 'damaged' };

export function segmentPath(streamDir: string, index: number): string {
  return join(streamDir, `${String(index).padStart(8, '0')}.seg`);
}

export function encodeSegmentHeader(stream: string, index: number): Buffer {
  const header = Buffer.alloc(SEGMENT_HEADER_BYTES);
  const { high, low } = streamNumber(stream);
  MAGIC.copy(header);
  header.writeUInt16LE(SEGMENT_VERSION, 8);
  header.writeUInt32LE(index, 12);
  header.writeUInt32LE(low, 16);
  header.writeUInt32LE(high, 20);
  header.writeUInt32LE(crc32(header.subarray(0, 28)), 28);
  return header;
}

/** @param bytes the file's first SEGMENT_HEADER_BYTES, or all it has if these are fewer */
export function parseSegmentHeader(bytes: Buffer, stream: string, index: number): SegmentHeader {
  const expected = encodeSegmentHeader(stream, index);
  if (bytes.length < SEGMENT_HEADER_BYTES) return { kind: expected.subarray(0, bytes.length).equals(bytes) ? 'torn' : 'damaged' };
  const version = bytes.readUInt16LE(8);
  const sound = bytes.subarray(0, 8).equals(MAGIC) && bytes.readUInt32LE(28) === crc32(bytes.subarray(0, 28)) && version > 0
    && bytes.readUInt32LE(12) === index && bytes.subarray(16, 24).equals(expected.subarray(16, 24));
  return sound ? { kind: 'sound', version } : { kind: 'damaged' };
}

/** The segments of a stream, in order. Empty if the directory is gone. */
export function listSegments(streamDir: string): SegmentFile[] {
  const files: SegmentFile[] = [];
  for (const name of namesIn(streamDir)) {
    const index = Number(NAME.exec(name)?.[1] ?? Number.NaN);
    if (Number.isNaN(index)) continue;
    const path = join(streamDir, name);
    const bytes = statSync(path, { throwIfNoEntry: false })?.size;
    if (bytes !== undefined) files.push({ index, path, bytes });
  }
  return files.sort((a, b) => a.index - b.index);
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
