/** Cuts a byte stream into lines (NDJSON), however the bytes arrive. */
export const MAX_LINE_BYTES = 64 * 1024 * 1024;

const LINE_END = 0x0a;

export class LineReader {
  readonly #onLine: (line: string) => void;
  readonly #maxBytes: number;
  #pieces: Buffer[] = [];
  #held = 0;

  constructor(onLine: (line: string) => void, maxBytes: number = MAX_LINE_BYTES) {
    this.#onLine = onLine;
    this.#maxBytes = maxBytes;
  }

  /** Takes the next bytes. Answers false, and takes no more, once a line is longer than allowed. */
  push(chunk: Buffer): boolean {
    let from = 0;
    for (let end = chunk.indexOf(LINE_END); end !== -1; end = chunk.indexOf(LINE_END, from)) {
      if (this.#held + end - from > this.#maxBytes) return false;
      const rest = chunk.subarray(from, end);
      const line = this.#held === 0 ? rest : Buffer.concat([...this.#pieces, rest]);
      this.#pieces = [];
      this.#held = 0;
      from = end + 1;
      if (line.length > 0) this.#onLine(line.toString('utf8'));
    }
    if (from < chunk.length) {
      this.#pieces.push(from === 0 ? chunk : chunk.subarray(from));
      this.#held += chunk.length - from;
    }
    return this.#held <= this.#maxBytes;
  }
}
