/**
 * Names as RowBinary Strings one after the other: each its length in bytes as LEB128, then its UTF-8. Made once, when the configuration
 * is compiled; the encoder copies them into rows four bytes at a time.
 */
export class Label {
  /** Bytes in all. */
  readonly length: number;
  /** The bytes, four to a number, little endian; zeros fill up the last. */
  readonly words: Uint32Array;

  constructor(bytes: Uint8Array) {
    this.length = bytes.length;
    const padded = Buffer.alloc(Math.ceil(bytes.length / 4) * 4);
    padded.set(bytes);
    this.words = Uint32Array.from({ length: padded.length / 4 }, (_, i) => padded.readUInt32LE(i * 4));
  }
}

export function encodeLabels(...names: readonly string[]): Label {
  return new Label(encodeStrings(names));
}

export function encodeStrings(texts: readonly string[]): Buffer {
  return Buffer.concat(texts.flatMap((text) => {
    const bytes = Buffer.from(text, 'utf8');
    return [leb128(bytes.length), bytes];
  }));
}

function leb128(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}
