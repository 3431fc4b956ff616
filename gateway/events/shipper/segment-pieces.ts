/**
 * Cuts what a segment holds, from a place on, into pieces that go as one message each: whole frames, or a damaged stretch by itself (which who
 * receives it puts into quarantine). Lives for one round: it keeps the file open.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { readSegment, type FrameItem, type StreamPosition, type UnreadableItem } from '../read-segment.js';
import type { SegmentFile } from '../segment.js';

export interface PieceLimits {
  /** Either is passed only by a frame that alone is larger. */
  readonly rows: number;
  readonly bytes: number;
}

export interface Piece {
  readonly segment: number;
  /** Bytes of the segment up to which it goes. */
  readonly to: number;
  readonly value: Buffer;
  /** Rows in its frames; 0: damage. */
  readonly rows: number;
}

/** Damage can be as long as a segment: it goes in parts of this many bytes. */
const DAMAGE_BYTES = 4 * 1024 * 1024;

export class SegmentPieces {
  readonly #file: SegmentFile;
  readonly #items: Generator<FrameItem | UnreadableItem, StreamPosition>;
  readonly #final: boolean;
  #held: FrameItem | UnreadableItem | null = null;
  #at: number;
  #ended = false;
  /** What is left might still grow: nothing more is given out of it, and it is read again in a later round. */
  #waits = false;
  /** Where reading ended. */
  #end = 0;
  /** Version of the segment if it is one that this program cannot read; 0: it can. */
  newerVersion = 0;

  /** @param final the segment gets no more */
  constructor(file: SegmentFile, stream: string, offset: number, final: boolean) {
    this.#file = file;
    this.#final = final;
    this.#at = offset;
    this.#items = readSegment(file, stream, offset, final);
  }

  /** Up to where pieces have been taken, or what holds nothing was passed over. */
  get at(): number { return this.#at; }

  /**
   * The next piece, or null: there is none now.
   * @param small also one that might still grow
   */
  take(limits: PieceLimits, small: boolean): Piece | null {
    if (this.#waits) return null;
    const frames: Buffer[] = [];
    let rows = 0;
    let bytes = 0;
    let to = this.#at;
    for (let item = this.#peek(); item !== null; item = this.#peek()) {
      if (item.kind === 'corrupt' || (item.kind === 'newer' && item.count === 0)) {
        if (frames.length > 0) break;
        return this.#unreadable(item);
      }
      const size = item.next.offset - item.at.offset;
      if (frames.length > 0 && (rows + item.count > limits.rows || bytes + size > limits.bytes)) break;
      // a frame of a newer version is whole, and its reader may be newer too
      frames.push(item.kind === 'frame' ? item.frame : readBytes(this.#file.path, item.at.offset, size));
      rows += item.count;
      bytes += size;
      to = item.next.offset;
      this.#held = null;
    }
    if (frames.length === 0) {
      // a header without frames is behind it, and nothing of that is sent
      if (this.newerVersion === 0) this.#at = Math.max(this.#at, this.#end);
      return null;
    }
    const mayGrow = this.#ended && !this.#final && rows < limits.rows && bytes < limits.bytes;
    if (mayGrow && !small) {
      this.#waits = true;
      return null;
    }
    this.#at = to;
    return { segment: this.#file.index, to, value: frames.length === 1 ? frames[0] as Buffer : Buffer.concat(frames, bytes), rows };
  }

  close(): void {
    this.#items.return({ segment: 0, offset: 0 });
  }

  #peek(): FrameItem | UnreadableItem | null {
    if (this.#held !== null || this.#ended) return this.#held;
    const next = this.#items.next();
    if (next.done === true) {
      this.#ended = true;
      this.#end = next.value.offset;
      return null;
    }
    this.#held = next.value;
    return this.#held;
  }

  #unreadable(item: UnreadableItem): Piece | null {
    if (item.kind === 'newer') {
      this.newerVersion = item.version;
      this.#ended = true;
      this.#held = null;
      return null;
    }
    const from = Math.max(this.#at, item.at.offset);
    const to = Math.min(item.toOffset, from + DAMAGE_BYTES);
    if (to === item.toOffset) this.#held = null;
    this.#at = to;
    return { segment: this.#file.index, to, value: readBytes(this.#file.path, from, to - from), rows: 0 };
  }
}

function readBytes(path: string, from: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  const fd = openSync(path, 'r');
  try {
    let done = 0;
    for (let read = -1; read !== 0 && done < length; done += read) read = readSync(fd, bytes, done, length - done, from + done);
    return bytes.subarray(0, done);
  } finally {
    closeSync(fd);
  }
}
