/**
 * The worker's end of a stream's files: appends whole frames, goes on in a new segment when one is full, and flushes to disk off the loop.
 * Writes name their position, so that what a failed write left behind is written over by the next, also where it could not be cut off.
 */
import { close, closeSync, fdatasync, fsyncSync, ftruncateSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { encodeSegmentHeader, SEGMENT_HEADER_BYTES, segmentPath } from './segment.js';
import type { SpoolLog } from './spool-log.js';

/** The system calls that write segments; a test puts failing ones in their place. */
export interface SegmentCalls {
  /** A new file, open for writing; fails if it exists. */
  create(path: string): number;
  /** Bytes written, which may be fewer than asked. */
  write(fd: number, bytes: Buffer, offset: number, length: number, position: number): number;
  truncate(fd: number, length: number): void;
  flush(fd: number): Promise<void>;
}

export const SYSTEM_CALLS: SegmentCalls = {
  create: (path) => openSync(path, 'wx', 0o640),
  write: (fd, bytes, offset, length, position) => writeSync(fd, bytes, offset, length, position),
  truncate: (fd, length) => { ftruncateSync(fd, length); },
  flush: promisify(fdatasync),
};

const closeFile = promisify(close);

export class SegmentWriter {
  readonly #streamDir: string;
  readonly #stream: string;
  readonly #segmentBytes: number;
  readonly #log: SpoolLog;
  readonly #calls: SegmentCalls;
  #index: number;
  #fd: number;
  #position = SEGMENT_HEADER_BYTES;
  /** Full segments, still to be flushed and closed. */
  #full: number[] = [];
  #unflushed = true;
  #flushing: Promise<boolean> | null = null;
  /** What fails at each write while it cannot be written has been told since the last that did not. */
  #told = false;

  /**
   * Opens the first segment, which `prepareFirstSegment` made; throws what the file system says.
   * @param segmentBytes a segment that has this many bytes gets no further frame
   * @param index of the first segment
   */
  constructor(streamDir: string, stream: string, segmentBytes: number, log: SpoolLog, calls: SegmentCalls = SYSTEM_CALLS, index = 1) {
    this.#index = index;
    this.#streamDir = streamDir;
    this.#stream = stream;
    this.#segmentBytes = segmentBytes;
    this.#log = log;
    this.#calls = calls;
    this.#fd = openSync(segmentPath(streamDir, this.#index), 'r+');
  }

  /** Of the segment that is written. */
  get index(): number {
    return this.#index;
  }

  /** The next frame goes into a new segment, if one can be made. */
  beginSegment(): void {
    this.#goOn();
  }

  /** Appends a frame, whole or not at all: when it throws, no byte is left that a reader would take for a frame. */
  append(frame: Buffer): void {
    if (this.#position >= this.#segmentBytes) this.#goOn();
    try {
      this.#appendHere(frame);
    } catch (error) {
      // the file may grow no more (RLIMIT_FSIZE, the file system's own limit): a new one may
      const grown = (error as NodeJS.ErrnoException).code === 'EFBIG' && this.#position > SEGMENT_HEADER_BYTES;
      if (!grown || !this.#goOn()) throw error;
      this.#appendHere(frame);
    }
  }

  /** Flushes what was appended to disk; resolves with true when it is there, with false when the failure is logged. Never rejects. */
  flush(): Promise<boolean> {
    this.#flushing ??= this.#flush().finally(() => { this.#flushing = null; });
    return this.#flushing;
  }

  /** Flushes, as `flush`, and closes. Nothing may be appended afterwards. */
  async close(): Promise<boolean> {
    const before = await this.#flushing;
    this.#full.push(this.#fd);
    this.#unflushed = false;
    return await this.flush() && before !== false;
  }

  async #flush(): Promise<boolean> {
    const full = this.#full;
    this.#full = [];
    try {
      if (this.#unflushed) {
        this.#unflushed = false;
        await this.#calls.flush(this.#fd);
      }
      for (const fd of full) await this.#calls.flush(fd);
      return true;
    } catch (error) {
      // the kernel reports a lost page once
      this.#log.error({ code: 'spool_write_failed', err: error, stream: this.#stream }, 'the spool could not be flushed to disk');
      return false;
    } finally {
      for (const fd of full) await closeFile(fd).catch(() => undefined);
    }
  }

  #appendHere(frame: Buffer): void {
    try {
      writeAll(this.#calls, this.#fd, frame, this.#position);
    } catch (error) {
      this.#cutBack();
      throw error;
    }
    this.#position += frame.length;
    this.#unflushed = true;
    this.#told = false;
  }

  /** Goes on in a new segment, or, if none can be made (false), in the old one. */
  #goOn(): boolean {
    try {
      const fd = createSegment(this.#streamDir, this.#stream, this.#index + 1, this.#calls);
      this.#full.push(this.#fd);
      this.#fd = fd;
      this.#index++;
      this.#position = SEGMENT_HEADER_BYTES;
      this.#unflushed = true;
      return true;
    } catch (error) {
      this.#warnOnce(error, 'no new segment could be made; the old one goes on');
      return false;
    }
  }

  #cutBack(): void {
    try {
      this.#calls.truncate(this.#fd, this.#position);
    } catch (error) {
      // what is left is half a frame, which readers wait at; the next frame is written over it
      this.#warnOnce(error, 'half a frame could not be cut off');
    }
  }

  /** A disk that has gone read-only refuses each of a second's hundreds of writes. */
  #warnOnce(error: unknown, message: string): void {
    if (!this.#told) this.#log.warn({ err: error, stream: this.#stream }, message);
    this.#told = true;
  }
}

/** Makes the first segment of a stream that nobody writes yet, on disk. Throws what the file system says. */
export function prepareFirstSegment(streamDir: string, stream: string, calls: SegmentCalls = SYSTEM_CALLS, index = 1): void {
  const fd = createSegment(streamDir, stream, index, calls);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function createSegment(streamDir: string, stream: string, index: number, calls: SegmentCalls): number {
  const path = segmentPath(streamDir, index);
  const fd = calls.create(path);
  try {
    writeAll(calls, fd, encodeSegmentHeader(stream, index), 0);
    return fd;
  } catch (error) {
    unlinkSync(path);
    void closeFile(fd).catch(() => undefined);
    throw error;
  }
}

function writeAll(calls: SegmentCalls, fd: number, bytes: Buffer, position: number): void {
  for (let done = 0; done < bytes.length;) {
    const written = calls.write(fd, bytes, done, bytes.length - done, position + done);
    if (written === 0) throw Object.assign(new Error('the file took no byte'), { code: 'EIO' });
    done += written;
  }
}
