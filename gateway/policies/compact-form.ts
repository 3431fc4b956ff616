/**
 * A JWT in its one spelling (RFC 7515 3.1, RFC 4648 5): three parts of base64url, divided by dots, without padding, blanks or bits that stand for nothing. Decoders pass over
 * these, so that one signature would have many spellings: each another token to whatever remembers, limits or revokes tokens by their text.
 */

/** By character: the six bits it stands for, 255 for none. */
const VALUE = new Uint8Array(256).fill(255);
for (const [value, character] of [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'].entries()) VALUE[character.charCodeAt(0)] = value;

const DOT = 0x2e;

export function isCompactForm(token: string): boolean {
  let parts = 0;
  let start = 0;
  for (let i = 0; i <= token.length; i++) {
    const code = i < token.length ? token.charCodeAt(i) : DOT;
    if (code === DOT) {
      if (!isWholeBytes(token, start, i)) return false;
      parts++;
      start = i + 1;
    } else if ((VALUE[code] ?? 255) === 255) return false;
  }
  return parts === 3;
}

/** The part holds bytes, one or more, and the bits that are left over in its last character are zero. */
function isWholeBytes(token: string, start: number, end: number): boolean {
  const last = VALUE[token.charCodeAt(end - 1)] as number;
  switch ((end - start) % 4) {
    case 0: return end > start;
    case 1: return false;
    case 2: return (last & 15) === 0;
    default: return (last & 3) === 0;
  }
}
