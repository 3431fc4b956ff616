/**
 * Rows back from their bytes: for the ledger's settlement of a dead worker, for the tally of what could not be written, and for tests. The collector does
 * not come here: it hands the bytes to the store as they are.
 */
import { basename } from 'node:path';
import { KINDS, METHODS, PROTOCOLS, ROW_VERSION, type RowVersion } from './event.js';
import { streamName } from './frame.js';
import { OUTCOMES } from './outcomes.js';
import { firstSeqOf, readFrames, STREAM_START, type StreamPosition, type UnreadableItem } from './read-segment.js';
import { listSegments } from './segment.js';

/** What of a row counts: for limits and tallies. */
export interface CountedRow {
  readonly seq: number;
  /** Moment of admission, ms since the epoch. */
  readonly timeMs: number;
  readonly requests: number;
  readonly counted: number;
  /** '' if none. */
  readonly app: string;
  readonly service: string;
  readonly route: string;
}

/** A row, whole. Enum columns by name, or the number in decimal if this version knows no name for it. */
export interface EventRow extends CountedRow {
  readonly stream: string;
  readonly node: string;
  readonly worker: number;
  readonly ordinal: number;
  readonly durationUs: number;
  readonly upstreamUs: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly status: number;
  readonly method: string;
  readonly outcome: string;
  readonly protocol: string;
  readonly kind: string;
  readonly billable: number;
  readonly attempts: number;
  readonly configVersion: string;
  readonly target: string;
  readonly client: string;
  readonly path: string;
  readonly traceId: string;
  /** '' if it was not refused, or not said by whom. */
  readonly refusedBy: string;
  readonly reason: string;
}

/** What stands in a row before its labels, in the same places whatever its version. */
export interface RowNumbers {
  readonly worker: number;
  readonly seq: number;
  /** Moment of admission, ms since the epoch. */
  readonly timeMs: number;
  readonly durationUs: number;
}

/**
 * The rows of a stream with seq >= fromSeq, in order of the file. Ends where the stream's readable frames end; what cannot be read is passed over and told.
 * Segments that end before fromSeq are not read: a spool that waits for its collector can be many gigabytes, and a settlement wants its last rows.
 * @param onUnreadable gets damaged ranges and frames of a newer version
 */
export function* readStreamEvents(streamDir: string, fromSeq: number, onUnreadable?: (item: UnreadableItem) => void): Generator<CountedRow> {
  for (const item of readFrames(streamDir, segmentOf(streamDir, fromSeq))) {
    if (item.kind === 'end') return;
    if (item.kind !== 'frame') onUnreadable?.(item);
    else if (item.firstSeq + item.count > fromSeq) {
      for (const row of decodeRows(item.rows)) if (row.seq >= fromSeq) yield row;
    }
  }
}

/** Where to begin: the last segment whose first seq is not beyond fromSeq. Looked for from the end, where who asks mostly is. */
function segmentOf(streamDir: string, fromSeq: number): StreamPosition {
  if (fromSeq <= 0) return STREAM_START;
  for (const file of listSegments(streamDir).reverse()) {
    const first = firstSeqOf(file, basename(streamDir));
    if (first !== -1 && first <= fromSeq) return { segment: file.index, offset: 0 };
  }
  return STREAM_START;
}

/** The rows of a frame's payload. Throws RangeError where the bytes are no rows (a checked frame's always are). */
export function* decodeRows(rows: Buffer): Generator<EventRow> {
  const cursor = new RowCursor(rows);
  while (!cursor.done) yield decodeRow(cursor);
}

/** Of the first row of a frame, or of a piece of frames. */
export function firstRow(rows: Buffer): RowNumbers {
  const cursor = new RowCursor(rows);
  cursor.stream();
  cursor.text();
  const worker = cursor.u16();
  const seq = cursor.u64();
  cursor.u64();
  return { worker, seq, timeMs: cursor.i64(), durationUs: cursor.u64() };
}

/** One row, in the order of EVENT_COLUMNS. */
export function decodeRow(cursor: RowCursor, version: RowVersion = ROW_VERSION): EventRow {
  return {
    stream: cursor.stream(), node: cursor.text(), worker: cursor.u16(),
    seq: cursor.u64(), ordinal: cursor.u64(), timeMs: cursor.i64(),
    durationUs: cursor.u64(), upstreamUs: cursor.u64(), bytesIn: cursor.u64(), bytesOut: cursor.u64(),
    status: cursor.u16(), method: nameOf(METHOD_NAMES, cursor.u8()), outcome: nameOf(OUTCOME_NAMES, cursor.u8()),
    protocol: nameOf(PROTOCOL_NAMES, cursor.u8()), kind: nameOf(KIND_NAMES, cursor.u8()),
    requests: cursor.u8(), counted: cursor.u8(), billable: cursor.u8(), attempts: cursor.u8(),
    configVersion: cursor.text(), service: cursor.text(), route: cursor.text(), app: cursor.text(), target: cursor.text(),
    client: cursor.text(), path: cursor.text(), traceId: cursor.text(),
    refusedBy: version === 1 ? '' : cursor.text(), reason: version === 1 ? '' : cursor.text(),
  };
}

/** Reads RowBinary values one after the other. */
export class RowCursor {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Of the bytes, the first that is not read. */
  get at(): number {
    return this.#at;
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  u8(): number {
    return this.#bytes.readUInt8(this.#advance(1));
  }

  u16(): number {
    return this.#bytes.readUInt16LE(this.#advance(2));
  }

  /** A safe integer, or the nearest number. */
  u64(): number {
    const at = this.#advance(8);
    return this.#bytes.readUInt32LE(at + 4) * 0x1_0000_0000 + this.#bytes.readUInt32LE(at);
  }

  i64(): number {
    const at = this.#advance(8);
    return this.#bytes.readInt32LE(at + 4) * 0x1_0000_0000 + this.#bytes.readUInt32LE(at);
  }

  stream(): string {
    const at = this.#advance(8);
    return streamName(this.#bytes.readUInt32LE(at + 4), this.#bytes.readUInt32LE(at));
  }

  text(): string {
    let length = 0;
    for (let scale = 1, byte = 0x80; byte >= 0x80; scale *= 128) {
      byte = this.u8();
      length += (byte & 0x7f) * scale;
    }
    const at = this.#advance(length);
    return this.#bytes.toString('utf8', at, at + length);
  }

  #advance(bytes: number): number {
    const at = this.#at;
    if (at + bytes > this.#bytes.length) throw new RangeError('a row is cut short');
    this.#at = at + bytes;
    return at;
  }
}

const namesById = (ids: readonly (readonly [string, number])[]): ReadonlyMap<number, string> => new Map(ids.map(([name, id]) => [id, name]));
const METHOD_NAMES = namesById(Object.entries(METHODS));
const PROTOCOL_NAMES = namesById(Object.entries(PROTOCOLS));
const KIND_NAMES = namesById(Object.entries(KINDS));
const OUTCOME_NAMES = namesById(Object.entries(OUTCOMES).map(([name, { id }]) => [name, id]));

const nameOf = (names: ReadonlyMap<number, string>, id: number): string => names.get(id) ?? String(id);
