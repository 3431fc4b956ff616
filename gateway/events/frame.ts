/**
 * A frame: the rows of one turn of a worker's event loop, and the unit of repetition, of loss and of checking.
 *
 *    0  magic          4 bytes F7 54 46 FE
 *    4  version        u16   2: that of its rows (RowVersion of event.ts); 1 is read
 *    6  reserved       u16   0
 *    8  payload bytes  u32   1 to 16 MiB
 *   12  count          u32   rows, 1 or more
 *   16  stream         u64
 *   24  first seq      u64   the rows are first, first + 1, … first + count - 1
 *   32  payload crc    u32   CRC-32 of the payload
 *   36  header crc     u32   CRC-32 of bytes 0 to 35, so of the payload's too
 *   40  payload              rows: RowBinary in the order of EVENT_COLUMNS, as many of them as the version has
 *
 * All little endian. The header keeps this layout in every version, so that an older reader can tell a newer frame from a damaged one, and step over it.
 * The header has a checksum of its own because a torn frame (the process was killed in its write, so it was never answered) must be told from a damaged
 * one (which may have been): torn is what has a whole header and too little payload, or the first bytes of a header and nothing more.
 *
 * The magic's F7 and FE occur nowhere in UTF-8, and all text in rows is UTF-8: a client cannot write a path that looks like a frame.
 */
import { crc32 } from 'node:zlib';
import { ROW_VERSION } from './event.js';

export const FRAME_HEADER_BYTES = 40;
export const FRAME_VERSION = ROW_VERSION;
export const MAX_PAYLOAD_BYTES = 16 * 1024 * 1024;
export const FRAME_MAGIC = Buffer.from([0xf7, 0x54, 0x46, 0xfe]);
const MAGIC_LE = 0xfe4654f7;

export interface FrameHeader {
  readonly version: number;
  readonly payloadBytes: number;
  readonly count: number;
  /** 16 hexadecimal digits. */
  readonly stream: string;
  readonly firstSeq: number;
  readonly payloadCrc: number;
}

/** A stream's number as its two halves: RowBinary and frames hold it as u64, and BigInt has no place on the hot path. */
export interface StreamNumber { readonly high: number; readonly low: number }

export function streamNumber(stream: string): StreamNumber {
  return { high: Number.parseInt(stream.slice(0, 8), 16), low: Number.parseInt(stream.slice(8), 16) };
}

export function streamName(high: number, low: number): string {
  return high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0');
}

/** Fills in the header in front of a payload that is already in its place: `frame` is FRAME_HEADER_BYTES and the payload. */
export function writeFrameHeader(frame: Buffer, stream: StreamNumber, firstSeq: number, count: number): void {
  frame.writeUInt32LE(MAGIC_LE, 0);
  frame.writeUInt32LE(FRAME_VERSION, 4); // and the reserved u16, 0
  frame.writeUInt32LE(frame.length - FRAME_HEADER_BYTES, 8);
  frame.writeUInt32LE(count, 12);
  frame.writeUInt32LE(stream.low, 16);
  frame.writeUInt32LE(stream.high, 20);
  frame.writeUInt32LE(firstSeq >>> 0, 24);
  frame.writeUInt32LE(Math.floor(firstSeq / 0x1_0000_0000), 28);
  frame.writeUInt32LE(crc32(frame.subarray(FRAME_HEADER_BYTES)), 32);
  frame.writeUInt32LE(crc32(frame.subarray(0, 36)), 36);
}

/**
 * The header at `offset`, or null if there is none whose checksum is right: fewer than FRAME_HEADER_BYTES left, no magic, damaged, or of
 * another stream. A newer version's header is returned: look at `version` before the rows.
 */
export function parseFrameHeader(bytes: Buffer, offset: number, stream: string): FrameHeader | null {
  if (offset + FRAME_HEADER_BYTES > bytes.length || bytes.readUInt32LE(offset) !== MAGIC_LE) return null;
  if (crc32(bytes.subarray(offset, offset + 36)) !== bytes.readUInt32LE(offset + 36)) return null;
  const header: FrameHeader = {
    version: bytes.readUInt16LE(offset + 4),
    payloadBytes: bytes.readUInt32LE(offset + 8),
    count: bytes.readUInt32LE(offset + 12),
    stream: streamName(bytes.readUInt32LE(offset + 20), bytes.readUInt32LE(offset + 16)),
    firstSeq: bytes.readUInt32LE(offset + 28) * 0x1_0000_0000 + bytes.readUInt32LE(offset + 24),
    payloadCrc: bytes.readUInt32LE(offset + 32),
  };
  const sound = header.version > 0 && header.stream === stream && header.count > 0 && header.payloadBytes > 0 && header.payloadBytes <= MAX_PAYLOAD_BYTES
    && Number.isSafeInteger(header.firstSeq + header.count);
  return sound ? header : null;
}

/** Whether the payload is what the header says. `payload` has `payloadBytes` bytes. */
export function payloadIsSound(header: FrameHeader, payload: Buffer): boolean {
  return payload.length === header.payloadBytes && crc32(payload) === header.payloadCrc;
}

/** Where the next sound header begins at `from` or later, or -1. The payload behind it is not looked at. */
export function findFrame(bytes: Buffer, from: number, stream: string): number {
  let at = bytes.indexOf(FRAME_MAGIC, from);
  while (at !== -1 && parseFrameHeader(bytes, at, stream) === null) at = bytes.indexOf(FRAME_MAGIC, at + 1);
  return at;
}

/**
 * Whether a segment's last bytes are what a killed write leaves: the beginning of a frame, and nothing more.
 * @param start the first FRAME_HEADER_BYTES of them, or all if these are fewer
 * @param length how many there are
 */
export function isTorn(start: Buffer, length: number, stream: string): boolean {
  if (length < FRAME_HEADER_BYTES) {
    const known = Math.min(length, FRAME_MAGIC.length);
    return start.subarray(0, known).equals(FRAME_MAGIC.subarray(0, known));
  }
  const header = parseFrameHeader(start, 0, stream);
  return header !== null && FRAME_HEADER_BYTES + header.payloadBytes > length;
}
