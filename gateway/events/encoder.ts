/**
 * Encodes events into the buffer of a turn: RowBinary in the order of EVENT_COLUMNS, behind the room for the frame's header, so that header and
 * rows go to the file in one write.
 *
 *   stream prefix (stream u64, node String, worker u16: the same for every row, made once)
 *   seq, ordinal u64 | time i64 ms | duration_us, upstream_us, bytes_in, bytes_out u64 | status u16
 *   method, outcome, protocol, kind i8 | requests, counted, billable, attempts u8
 *   labels: config_version, service + route, app, target (copied) | client, path, trace_id (per event) | refused_by + reason (copied)
 *
 * u64 and i64 are written as two u32 (what travels is a safe integer; BigInt would allocate); a String is its length in bytes as LEB128, then UTF-8.
 * Labels are copied as whole u32, so the last may write up to three bytes of what comes next, which is written after it.
 */
import type { EventFacts } from './event.js';
import { FRAME_HEADER_BYTES, streamNumber, writeFrameHeader, type StreamNumber } from './frame.js';
import { encodeStrings, Label } from './labels.js';

/** `path` is cut at this many bytes, at the end of a character. */
export const MAX_PATH_BYTES = 1024;
/** `client` and `trace_id`: an address, a hash, 32 hexadecimal digits. */
export const MAX_SHORT_BYTES = 128;

const INITIAL_BYTES = 64 * 1024;
/** A buffer that one large turn made larger than this is let go. */
const KEPT_BYTES = 1024 * 1024;
const FIXED_BYTES = 7 * 8 + 2 + 8;
/** Up to here a loop over the characters is cheaper than a call into the engine (measured: 32 characters 30 ns against 90). */
const LOOP_CHARACTERS = 64;
const TWO_32 = 0x1_0000_0000;

export class RowEncoder {
  readonly #stream: StreamNumber;
  readonly #prefix: Label;
  #buffer = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  #view = new DataView(this.#buffer.buffer);
  #end = FRAME_HEADER_BYTES;
  #count = 0;
  #firstSeq = 0;

  /** @param stream 16 hexadecimal digits */
  constructor(stream: string, node: string, worker: number) {
    this.#stream = streamNumber(stream);
    const number = Buffer.alloc(8);
    number.writeUInt32LE(this.#stream.low, 0);
    number.writeUInt32LE(this.#stream.high, 4);
    const slot = Buffer.alloc(2);
    slot.writeUInt16LE(worker);
    this.#prefix = new Label(Buffer.concat([number, encodeStrings([node]), slot]));
  }

  /** Rows since the last clear. */
  get count(): number {
    return this.#count;
  }

  /** The seq of the first of them. */
  get firstSeq(): number {
    return this.#firstSeq;
  }

  /** Bytes the frame has so far, its header's room included. */
  get length(): number {
    return this.#end;
  }

  /** The rows so far, a view into the buffer: valid until the next append or clear. */
  get rows(): Buffer {
    return this.#buffer.subarray(FRAME_HEADER_BYTES, this.#end);
  }

  /** Appends one row. `seq` goes on from the row before. What throws (facts that are none) leaves the buffer as it was. */
  append(facts: EventFacts, seq: number): void {
    const { versionLabel, routeLabel, appLabel, targetLabel, refusalLabel } = facts;
    const prefix = this.#prefix;
    // the most that the row can take: three Strings with two bytes of length each, and what the last label writes beyond its end
    const most = prefix.length + FIXED_BYTES + versionLabel.length + routeLabel.length + appLabel.length + targetLabel.length + refusalLabel.length
      + 3 * 2 + MAX_PATH_BYTES + 2 * MAX_SHORT_BYTES + 3;
    if (this.#end + most > this.#buffer.length) this.#grow(this.#end + most);
    const view = this.#view;
    let at = writeLabel(view, this.#end, prefix);
    writeNumbers(view, at, facts, seq);
    at = writeLabels(view, at + FIXED_BYTES, versionLabel, routeLabel, appLabel, targetLabel);
    at = writeLabel(view, writeTexts(this.#buffer, at, facts), refusalLabel);
    if (this.#count === 0) this.#firstSeq = seq;
    this.#count++;
    this.#end = at;
  }

  /** The whole frame, header filled in: a view into the buffer, valid until the next append or clear. At least one row. */
  frame(): Buffer {
    const frame = this.#buffer.subarray(0, this.#end);
    writeFrameHeader(frame, this.#stream, this.#firstSeq, this.#count);
    return frame;
  }

  clear(): void {
    this.#end = FRAME_HEADER_BYTES;
    this.#count = 0;
    if (this.#buffer.length > KEPT_BYTES) this.#replace(Buffer.allocUnsafeSlow(INITIAL_BYTES));
  }

  #grow(needed: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, this.#end);
    this.#replace(larger);
  }

  #replace(buffer: Buffer<ArrayBuffer>): void {
    this.#buffer = buffer;
    this.#view = new DataView(buffer.buffer);
  }
}

// Three functions and not one: together they are more than V8 inlines into one, and a number that is passed to what is not inlined is allocated.

function writeNumbers(view: DataView, at: number, facts: EventFacts, seq: number): void {
  writeU64(view, at, seq);
  writeU64(view, at + 8, facts.ordinal);
  writeI64(view, at + 16, facts.timeMs);
  writeU64(view, at + 24, facts.durationUs);
  writeU64(view, at + 32, facts.upstreamUs);
  writeU64(view, at + 40, facts.bytesIn);
  writeU64(view, at + 48, facts.bytesOut);
  // ten small columns as two u32 and a u16
  view.setUint32(at + 56, (facts.status & 0xffff) | (facts.methodId & 0xff) << 16 | facts.outcomeId << 24, true);
  view.setUint32(at + 60, (facts.protocolId & 0xff) | (facts.kindId & 0xff) << 8 | facts.requests << 16 | facts.counted << 24, true);
  view.setUint16(at + 64, facts.billable | (facts.attempts > 255 ? 255 : facts.attempts) << 8, true);
}

function writeLabels(view: DataView, at: number, version: Label, route: Label, app: Label, target: Label): number {
  return writeLabel(view, writeLabel(view, writeLabel(view, writeLabel(view, at, version), route), app), target);
}

function writeTexts(buffer: Buffer, at: number, facts: EventFacts): number {
  const afterClient = writeText(buffer, at, facts.client, MAX_SHORT_BYTES);
  const afterPath = writeText(buffer, afterClient, facts.recordedPath, MAX_PATH_BYTES);
  return writeText(buffer, afterPath, facts.traceId, MAX_SHORT_BYTES);
}

/** Needs room up to the next multiple of four bytes. */
function writeLabel(view: DataView, at: number, label: Label): number {
  const { words } = label;
  for (let i = 0; i < words.length; i++) view.setUint32(at + i * 4, words[i] as number, true);
  return at + label.length;
}

/** What is no number of 0 or more becomes 0: a clock that stepped back must not become an age of 2^64 microseconds. */
function writeU64(view: DataView, at: number, value: number): void {
  const whole = value > 0 ? value : 0;
  view.setUint32(at, whole >>> 0, true);
  view.setUint32(at + 4, whole < TWO_32 ? 0 : Math.floor(whole / TWO_32), true);
}

function writeI64(view: DataView, at: number, value: number): void {
  const whole = Math.floor(value);
  view.setUint32(at, whole >>> 0, true);
  view.setInt32(at + 4, Math.floor(whole / TWO_32), true);
}

/** A String of at most `most` bytes (< 16,384), cut at the end of a character. */
function writeText(buffer: Buffer, at: number, text: string, most: number): number {
  const { length } = text;
  if (length <= LOOP_CHARACTERS && length <= most) {
    let i = 0;
    for (; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code >= 0x80) break;
      buffer[at + 1 + i] = code;
    }
    if (i === length) {
      buffer[at] = length;
      return at + 1 + length;
    }
  }
  const bytes = buffer.write(text, at + 2, most, 'utf8');
  if (bytes >= 0x80) {
    buffer[at] = (bytes & 0x7f) | 0x80;
    buffer[at + 1] = bytes >>> 7;
    return at + 2 + bytes;
  }
  buffer[at] = bytes;
  buffer.copyWithin(at + 1, at + 2, at + 2 + bytes);
  return at + 1 + bytes;
}
