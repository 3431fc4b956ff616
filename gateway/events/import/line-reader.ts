/** Lines of a log, and a checksum of all that was taken so far. */
import { createHash, type Hash } from 'node:crypto';
import type { LogBytes } from './log-bytes.js';

/** A longer line is no line of a log. */
export const MOST_LINE_BYTES = 64 * 1024;

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

export interface TakenLines {
  /** Holds the lines. */
  readonly text: Buffer;
  /** Where each ends, without its line break, in turn with where it begins: [from, to, from, to, …]. From -1: it was too long. */
  readonly bounds: readonly number[];
  /** The file ends here, within a line. */
  readonly cut: boolean;
}

export class LineReader {
  readonly #bytes: LogBytes;
  #hash: Hash = createHash('sha256');
  #held: Buffer = Buffer.alloc(0);
  #taken = 0;
  /** Within a line that is too long. */
  #skips = false;
  #ended = false;
  #gaveCut = false;

  constructor(bytes: LogBytes) {
    this.#bytes = bytes;
  }

  /** Bytes taken, up to the end of the last line. */
  get taken(): number {
    return this.#taken;
  }

  /** Of the bytes taken, hexadecimal. */
  get checksum(): string {
    return this.#hash.copy().digest('hex');
  }

  /** Something is there that is not taken. */
  get holdsMore(): boolean {
    return this.#held.some((byte) => byte !== LINE_FEED && byte !== CARRIAGE_RETURN);
  }

  /** Nothing of a line is taken whose end is not. */
  get betweenLines(): boolean {
    return !this.#skips;
  }

  /**
   * The first line that is not empty, without being taken: what a file is known by. Null: there is none, or it has no end yet.
   * @throws import_file
   */
  async firstLine(): Promise<Buffer | null> {
    for (;;) {
      let from = 0;
      while (this.#held[from] === LINE_FEED || this.#held[from] === CARRIAGE_RETURN) from++;
      const end = this.#held.indexOf(LINE_FEED, from);
      if (end !== -1 || this.#held.length - from > MOST_LINE_BYTES) return this.#held.subarray(from, end === -1 ? from + MOST_LINE_BYTES : lineEnd(this.#held, from, end));
      if (!await this.#more()) return null;
    }
  }

  /**
   * Takes exactly so many bytes. False: there are fewer.
   * @param each called for each piece; what it throws ends it
   * @throws import_file
   */
  async pass(bytes: number, each: () => void): Promise<boolean> {
    while (this.#taken < bytes) {
      const some = Math.min(this.#held.length, bytes - this.#taken);
      this.#take(some);
      each();
      if (this.#taken < bytes && !await this.#more()) return false;
    }
    return true;
  }

  /** All lines that can be had without waiting long. Null: the end. What is cut off at the end is not taken. @throws import_file */
  async lines(): Promise<TakenLines | null> {
    for (;;) {
      const text = this.#held;
      const bounds: number[] = [];
      let from = 0;
      for (let end = text.indexOf(LINE_FEED); end !== -1; end = text.indexOf(LINE_FEED, from)) {
        const tooLong = this.#skips || end - from > MOST_LINE_BYTES;
        bounds.push(tooLong ? -1 : from, tooLong ? -1 : lineEnd(text, from, end));
        this.#skips = false;
        from = end + 1;
      }
      this.#take(from);
      if (this.#held.length > MOST_LINE_BYTES) {
        this.#take(this.#held.length);
        this.#skips = true;
      }
      if (bounds.length > 0) return { text, bounds, cut: false };
      if (await this.#more()) continue;
      if (this.#held.length === 0 || this.#gaveCut) return null;
      this.#gaveCut = true;
      return { text: this.#held, bounds: this.#skips ? [-1, -1] : [0, lineEnd(this.#held, 0, this.#held.length)], cut: true };
    }
  }

  async #more(): Promise<boolean> {
    const piece = this.#ended ? null : await this.#bytes.next();
    if (piece === null) {
      this.#ended = true;
      return false;
    }
    this.#held = this.#held.length === 0 ? piece : Buffer.concat([this.#held, piece]);
    return true;
  }

  #take(bytes: number): void {
    if (bytes === 0) return;
    this.#hash.update(this.#held.subarray(0, bytes));
    this.#held = this.#held.subarray(bytes);
    this.#taken += bytes;
  }
}

function lineEnd(text: Buffer, from: number, end: number): number {
  return end > from && text[end - 1] === CARRIAGE_RETURN ? end - 1 : end;
}
