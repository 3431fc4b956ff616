/**
 * Names as RowBinary Strings one after the other: each its length in bytes as LEB128, then its UTF-8. Made once, when the configuration
 * is compiled; the encoder copies the bytes.
 */
export function encodeLabels(...names: readonly string[]): Uint8Array {
  return Buffer.concat(names.flatMap((name) => {
    const text = Buffer.from(name, 'utf8');
    return [leb128(text.length), text];
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
