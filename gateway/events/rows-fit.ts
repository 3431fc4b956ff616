/**
 * Whether a frame's payload is what its header says: so many rows, of that stream, with consecutive seqs, and nothing in them that the store's tables have no place for. The
 * checksum says that nothing happened to the bytes, not that they are rows; rows that the engine cannot store would stop their partition for good.
 *
 * It steps over the columns without making values of them.
 */
import type { ChunkFrame } from './columns/pack-frames.js';
import { passString } from './columns/row-bytes.js';
import { columnsOf, EVENT_COLUMNS, KINDS, METHODS, PROTOCOLS, ROW_VERSION, type RowVersion } from './event.js';
import { streamNumber } from './frame.js';
import { OUTCOMES } from './outcomes.js';

const WIDTHS: Readonly<Record<(typeof EVENT_COLUMNS)[number][1], number>> = { UInt8: 1, Enum8: 1, UInt16: 2, UInt64: 8, "DateTime64(3, 'UTC')": 8, String: 0 };
/** From seq on: where each column of fixed width begins, and where the Strings do. */
const { offsets, fixedBytes } = layout();
/** From seq up to the first String. */
export const FIXED_BYTES = fixedBytes;
const BEFORE_SEQ = EVENT_COLUMNS.findIndex(([name]) => name === 'seq');

const stringsIn = (version: RowVersion): number => columnsOf(version).slice(BEFORE_SEQ).filter(([, type]) => type === 'String').length;
/** How many Strings stand at a row's end. */
export const STRINGS: Readonly<Record<RowVersion, number>> = { 1: stringsIn(1), 2: stringsIn(2) };
const TIME_HIGH = (offsets.get('time') as number) + 4;
/** The enums that the rollups' views, and reports, name: by offset, and the numbers that have a name. */
const NAMED = [['method', METHODS], ['outcome', Object.fromEntries(Object.entries(OUTCOMES).map(([name, { id }]) => [name, id]))], ['protocol', PROTOCOLS], ['kind', KINDS]]
  .map(([name, ids]) => ({ offset: offsets.get(name as string) as number, known: knownOf(Object.values(ids as Readonly<Record<string, number>>)) }));
/** High half of 2^50 ms: the engine adds durations to times, and refuses what is too large for it. */
const LARGEST_TIME_HIGH = 2 ** 18;

export function rowsFit(stream: string, { firstSeq, count, rows }: ChunkFrame, version: RowVersion = ROW_VERSION): boolean {
  const strings = STRINGS[version];
  const { high, low } = streamNumber(stream);
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 8 > rows.length || rows.readUInt32LE(at) !== low || rows.readUInt32LE(at + 4) !== high) return false;
    // node and worker
    at = passString(rows, at + 8) + 2;
    if (at + FIXED_BYTES > rows.length || rows.readUInt32LE(at + 4) * 0x1_0000_0000 + rows.readUInt32LE(at) !== firstSeq + i) return false;
    if (Math.abs(rows.readInt32LE(at + TIME_HIGH)) > LARGEST_TIME_HIGH) return false;
    for (const { offset, known } of NAMED) if (known[rows[at + offset] as number] === 0) return false;
    at += FIXED_BYTES;
    for (let string = 0; string < strings; string++) at = passString(rows, at);
  }
  return at === rows.length;
}

function knownOf(ids: readonly number[]): Uint8Array {
  const known = new Uint8Array(256);
  for (const id of ids) known[id] = 1;
  return known;
}

function layout(): { readonly offsets: ReadonlyMap<string, number>; readonly fixedBytes: number } {
  const places = new Map<string, number>();
  let bytes = 0;
  const first = EVENT_COLUMNS.findIndex(([name]) => name === 'seq');
  for (const [name, type] of EVENT_COLUMNS.slice(first)) {
    if (WIDTHS[type] > 0) places.set(name, bytes);
    bytes += WIDTHS[type];
  }
  return { offsets: places, fixedBytes: bytes };
}
