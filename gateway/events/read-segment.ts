/**
 * Reads a stream's frames in order, from any place that it has given out before, while the worker writes and after. Rows are handed on as bytes.
 *
 * At each place:   a sound frame                                   -> frame
 *                  a sound header of a newer version               -> newer, stepped over
 *                  anything else, and a sound header further on    -> corrupt up to there
 *                  anything else, and the segment gets no more     -> corrupt up to its end
 *                  anything else, in the segment being written     -> end: wait (half a frame is what a write looks like from outside)
 *
 * A segment gets no more when a later one is there, or the stream is sealed. Both are looked at before the file's size is, or the frame
 * written in between would be passed over.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { basename } from 'node:path';
import type { RowVersion } from './event.js';
import { findFrame, FRAME_HEADER_BYTES, FRAME_VERSION, isTorn, parseFrameHeader, payloadIsSound } from './frame.js';
import { todaysRows } from './older-rows.js';
import { listSegments, parseSegmentHeader, SEGMENT_HEADER_BYTES, SEGMENT_VERSION, type SegmentFile } from './segment.js';
import { readState } from './stream-state.js';

/** A place between two frames. */
export interface StreamPosition {
  /** Index of the segment; 0: before the first there is. */
  readonly segment: number;
  /** Bytes from the segment's start; 0: before its header. */
  readonly offset: number;
}

export const STREAM_START: StreamPosition = { segment: 0, offset: 0 };

export interface FrameItem {
  readonly kind: 'frame';
  readonly at: StreamPosition;
  readonly next: StreamPosition;
  readonly firstSeq: number;
  readonly count: number;
  /** `count` rows of RowBinary, of today's version whatever the frame's. Its own memory: it stays valid. */
  readonly rows: Buffer;
  /** The whole frame, as it lies there. */
  readonly frame: Buffer;
  readonly version: RowVersion;
}

export interface CorruptItem {
  readonly kind: 'corrupt';
  /** Bytes at.offset to toOffset, without it, of segment at.segment. */
  readonly at: StreamPosition;
  readonly toOffset: number;
  readonly next: StreamPosition;
  /** `torn`: what a killed write leaves, the beginning of a header or of a frame. The rest is damage. */
  readonly reason: 'torn' | 'segment_header' | 'frame_header' | 'checksum';
}

export interface NewerItem {
  readonly kind: 'newer';
  readonly at: StreamPosition;
  readonly toOffset: number;
  readonly next: StreamPosition;
  readonly version: number;
  /** The rows inside; -1 and 0: a whole segment of a newer version, whose rows are unknown. */
  readonly firstSeq: number;
  readonly count: number;
}

export interface EndItem {
  readonly kind: 'end';
  /** Where to go on later. */
  readonly at: StreamPosition;
  /** True: the stream is sealed and read to its end; nothing will come. */
  readonly sealed: boolean;
}

export type UnreadableItem = CorruptItem | NewerItem;
export type StreamItem = FrameItem | UnreadableItem | EndItem;

/** Yields items from `from` on; the last one, always, is `end`. Throws what the file system says (EIO, EACCES). */
export function* readFrames(streamDir: string, from: StreamPosition): Generator<StreamItem, void> {
  const state = readState(streamDir);
  const sealed = state !== null && state.seal !== null;
  const stream = basename(streamDir);
  const files = listSegments(streamDir).filter((file) => file.index >= from.segment);
  let at = from;
  for (const [i, file] of files.entries()) {
    const final = sealed || i < files.length - 1;
    at = yield* readSegment(file, stream, file.index === from.segment ? from.offset : 0, final);
  }
  yield { kind: 'end', at, sealed };
}

/** Reads one segment from `offset`; returns where it stopped. */
export function* readSegment(file: SegmentFile, stream: string, offset: number, final: boolean): Generator<FrameItem | UnreadableItem, StreamPosition> {
  const segment = file.index;
  const place = (position: number): StreamPosition => ({ segment, offset: position });
  const window = SegmentWindow.open(file.path);
  // stored, marked and deleted between listing and opening
  if (window === null) return place(offset);
  try {
    const { size } = window;
    let at = offset;
    if (at < SEGMENT_HEADER_BYTES) {
      const header = parseSegmentHeader(window.bytes(0, SEGMENT_HEADER_BYTES), stream, segment);
      if (header.kind === 'torn' && (!final || size === 0)) return place(0);
      if (header.kind === 'sound' && header.version > SEGMENT_VERSION) {
        if (!final) return place(0);
        yield { kind: 'newer', at: place(0), toOffset: size, next: place(size), version: header.version, firstSeq: -1, count: 0 };
        return place(size);
      }
      at = Math.min(size, SEGMENT_HEADER_BYTES);
      if (header.kind !== 'sound') yield { kind: 'corrupt', at: place(0), toOffset: at, next: place(at), reason: header.kind === 'torn' ? 'torn' : 'segment_header' };
    }
    while (at < size) {
      const header = parseFrameHeader(window.bytes(at, FRAME_HEADER_BYTES), 0, stream);
      const end = header === null ? at : at + FRAME_HEADER_BYTES + header.payloadBytes;
      let reason: CorruptItem['reason'] = 'frame_header';
      if (header !== null && end <= size) {
        const { firstSeq, count } = header;
        if (header.version > FRAME_VERSION) {
          yield { kind: 'newer', at: place(at), toOffset: end, next: place(end), version: header.version, firstSeq, count };
          at = end;
          continue;
        }
        const frame = window.bytes(at, end - at);
        const payload = frame.subarray(FRAME_HEADER_BYTES);
        const version = header.version as RowVersion;
        const rows = payloadIsSound(header, payload) ? todaysRows(payload, count, version) : null;
        if (rows !== null) {
          yield { kind: 'frame', at: place(at), next: place(end), firstSeq, count, rows, frame, version };
          at = end;
          continue;
        }
        reason = 'checksum';
      } else if (isTorn(window.bytes(at, FRAME_HEADER_BYTES), size - at, stream)) {
        reason = 'torn';
      }
      // also inside the frame, if its header is sound: bytes may be missing from it
      const found = window.find(at + 1, stream);
      if (found === -1 && !final) return place(at);
      const to = found === -1 ? size : found;
      yield { kind: 'corrupt', at: place(at), toOffset: to, next: place(to), reason };
      at = to;
    }
    return place(at);
  } finally {
    window.close();
  }
}

/** First seq that a segment holds; -1: none that can be read. Reads no further than its first sound frame. */
export function firstSeqOf(file: SegmentFile, stream: string): number {
  for (const item of readSegment(file, stream, 0, true)) if (item.kind !== 'corrupt' && item.count > 0) return item.firstSeq;
  return -1;
}

/** How many bytes are read ahead. */
const WINDOW_BYTES = 1024 * 1024;

/** A segment's bytes as of its opening, read in large pieces. Pieces are never used again for others, so views into them stay valid. */
class SegmentWindow {
  readonly #fd: number;
  readonly size: number;
  #start = 0;
  #piece = Buffer.alloc(0);

  private constructor(fd: number) {
    this.#fd = fd;
    this.size = fstatSync(fd).size;
  }

  static open(path: string): SegmentWindow | null {
    try {
      return new SegmentWindow(openSync(path, 'r'));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
  }

  /** Up to `length` bytes at `at`: fewer at the end of the file. */
  bytes(at: number, length: number): Buffer {
    const wanted = Math.min(length, this.size - at);
    const start = at - this.#start;
    if (start < 0 || start + wanted > this.#piece.length) this.#load(at, Math.min(this.size - at, Math.max(wanted, WINDOW_BYTES)));
    return this.#piece.subarray(at - this.#start, at - this.#start + wanted);
  }

  /** Where the next sound frame header begins, at `from` or later; -1: nowhere. */
  find(from: number, stream: string): number {
    for (let at = from; at + FRAME_HEADER_BYTES <= this.size;) {
      const piece = this.bytes(at, WINDOW_BYTES);
      if (piece.length < FRAME_HEADER_BYTES) break; // cut off meanwhile
      const found = findFrame(piece, 0, stream);
      if (found !== -1) return at + found;
      // pieces overlap by a header less a byte, so that none is missed between two
      at += piece.length - FRAME_HEADER_BYTES + 1;
    }
    return -1;
  }

  close(): void {
    closeSync(this.#fd);
  }

  #load(at: number, length: number): void {
    const piece = Buffer.allocUnsafeSlow(length);
    let done = 0;
    while (done < length) {
      const read = readSync(this.#fd, piece, done, length - done, at + done);
      if (read === 0) break;
      done += read;
    }
    this.#piece = piece.subarray(0, done);
    this.#start = at;
  }
}
