/**
 * Whether a frame's payload is what its header says: so many rows, of that stream, with consecutive seqs. The checksum says that nothing happened to the
 * bytes, not that they are rows; rows that the engine cannot read would stop their partition for good.
 *
 * It steps over the columns without making values of them.
 */
import type { ChunkFrame } from '../../../gateway/events/chunk.js';
import { EVENT_COLUMNS } from '../../../gateway/events/event.js';
import { streamNumber } from '../../../gateway/events/frame.js';

const WIDTHS: Readonly<Record<(typeof EVENT_COLUMNS)[number][1], number>> = { UInt8: 1, Enum8: 1, UInt16: 2, UInt64: 8, "DateTime64(3, 'UTC')": 8, String: 0 };
/** Bytes of fixed width, and 0 for each String, up to seq and from it on. */
const [BEFORE_SEQ, FROM_SEQ] = layout();

export function rowsFit(stream: string, { firstSeq, count, rows }: ChunkFrame): boolean {
  const { high, low } = streamNumber(stream);
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 8 > rows.length || rows.readUInt32LE(at) !== low || rows.readUInt32LE(at + 4) !== high) return false;
    at = pass(rows, at, BEFORE_SEQ);
    if (at + 8 > rows.length || rows.readUInt32LE(at + 4) * 0x1_0000_0000 + rows.readUInt32LE(at) !== firstSeq + i) return false;
    at = pass(rows, at, FROM_SEQ);
  }
  return at === rows.length;
}

/** Where the next column begins; beyond the end: the row is cut short. */
function pass(rows: Buffer, from: number, widths: readonly number[]): number {
  let at = from;
  for (const width of widths) {
    if (width > 0) {
      at += width;
      continue;
    }
    let length = 0;
    for (let scale = 1, byte = 0x80; byte >= 0x80; scale *= 128) {
      byte = rows[at++] ?? 0;
      length += (byte & 0x7f) * scale;
    }
    at += length;
  }
  return at;
}

function layout(): readonly [readonly number[], readonly number[]] {
  const before: number[] = [];
  const after: number[] = [];
  let widths = before;
  for (const [name, type] of EVENT_COLUMNS) {
    if (name === 'seq') widths = after;
    const width = WIDTHS[type];
    const last = widths.at(-1) ?? 0;
    if (width > 0 && last > 0) widths[widths.length - 1] = last + width;
    else widths.push(width);
  }
  return [before, after];
}
