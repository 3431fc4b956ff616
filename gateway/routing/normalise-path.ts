/**
 * One spelling for each path (RFC 3986 6.2.2): what is routed is what is sent on. In one pass over the characters:
 *
 *     "//"                       -> "/"
 *     "/./", "/../"              -> removed (5.2.4), also when written %2e; ".." above the root is refused
 *     %41 %7e (unreserved)       -> A ~
 *     %3a (all other)            -> %3A
 *     " < > [ ] ^ ` { | }, >7F   -> %22 …: real clients send them raw; one byte, one triplet
 *     ;params                    -> kept as they are; but `..;x` and `.;x` are refused: some upstreams take them for dot segments
 *
 * Slashes are merged before dot segments are removed, as nginx does: `/a//../b` is `/b`. Refused (null): a path that does not begin with
 * `/`; controls, space, `#`, `?`, `\`, also as %00-%1F, %7F, %5C; %2F, because the upstream may or may not split there; a `%` without two
 * hexadecimal digits; overlong UTF-8 (`%C0%AF`), which lenient decoders turn into `/`, `.` or `\`. Other bytes that are not UTF-8 pass:
 * clients with old code pages send them (`%E8%F1`). A dot in the place of an overlong form's last byte (`%C0%2E`: "À." in Latin-1, a dot to
 * a lenient decoder) is always written %2E, so that nothing is unescaped here that an upstream would take for part of a dot segment.
 */
const PLAIN = 0;
const SLASH = 1;
const PERCENT = 2;
const ENCODE = 3;
const REFUSE = 4;

const CLASS = new Uint8Array(256).fill(REFUSE, 0, 0x80).fill(ENCODE, 0x80);
for (const c of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@") CLASS[c.charCodeAt(0)] = PLAIN;
for (const c of '"<>[]^`{|}') CLASS[c.charCodeAt(0)] = ENCODE;
CLASS[0x2f] = SLASH;
CLASS[0x25] = PERCENT;

/** By byte: 1 where %XX means the same as the character itself (RFC 3986 2.3). */
const UNRESERVED = new Uint8Array(256);
for (const c of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~') UNRESERVED[c.charCodeAt(0)] = 1;

/** By byte: 1 where even %XX is refused. */
const NEVER = new Uint8Array(256).fill(1, 0, 0x20);
NEVER[0x7f] = 1;
NEVER[0x2f] = 1;
NEVER[0x5c] = 1;

const HEX = Buffer.from('0123456789ABCDEF', 'latin1');
const SLASH_BYTE = 0x2f;
const DOT = 0x2e;

/** Grows to the longest path seen (three bytes a character), which the listener's limit bounds. */
let out = Buffer.allocUnsafe(4096);

/** The path in its one spelling, or null: 400 bad_path. `path` is without its query; a clean one is returned as it is. */
export function normalisePath(path: string): string | null {
  const length = path.length;
  if (length === 0 || path.charCodeAt(0) !== SLASH_BYTE) return null;
  let afterSlash = true;
  for (let i = 1; i < length; i++) {
    const code = path.charCodeAt(i);
    const kind = code < 256 ? CLASS[code] : REFUSE;
    if (kind === PLAIN && !(afterSlash && code === DOT)) {
      afterSlash = false;
    } else if (kind === SLASH && !afterSlash) {
      afterSlash = true;
    } else {
      return rewrite(path);
    }
  }
  return path;
}

/** Writes the path byte by byte into `out`, and takes each segment's leave of dots when its end is reached. */
function rewrite(path: string): string | null {
  const length = path.length;
  if (out.length < length * 3) out = Buffer.allocUnsafe(length * 3);
  out[0] = SLASH_BYTE;
  let size = 1;
  let segment = 1;
  // What would make the bytes so far an overlong form: how many continuation bytes are missing, and the bounds of the next.
  let missing = 0;
  let high = 0;
  for (let i = 1; i < length; i++) {
    let code = path.charCodeAt(i);
    const kind = code < 256 ? CLASS[code] : REFUSE;
    if (kind === REFUSE) return null;
    if (kind === SLASH) {
      missing = 0;
      if (size === segment) continue;
      size = endSegment(segment, size, true);
      if (size === 0) return null;
      segment = size;
      continue;
    }
    let encode = kind === ENCODE;
    if (kind === PERCENT) {
      const value = i + 2 < length ? hexValue(path.charCodeAt(i + 1)) * 16 + hexValue(path.charCodeAt(i + 2)) : -1;
      if (value < 0 || NEVER[value] === 1) return null;
      i += 2;
      code = value;
      encode = UNRESERVED[value] === 0;
    }
    if (code === DOT && missing === 1) encode = true;
    if (missing > 0 && code >= 0x80 && code <= high) {
      if (--missing === 0) return null;
      high = 0xbf;
    } else {
      missing = 0;
      if (code >= 0xc0) {
        // The lead bytes whose form is overlong when the next byte is no higher than `high`.
        if (code <= 0xc1) { missing = 1; high = 0xbf; }
        else if (code === 0xe0) { missing = 2; high = 0x9f; }
        else if (code === 0xf0) { missing = 3; high = 0x8f; }
        else if (code === 0xf8) { missing = 4; high = 0x87; }
        else if (code === 0xfc) { missing = 5; high = 0x83; }
      }
    }
    if (encode) {
      out[size] = 0x25;
      out[size + 1] = HEX[code >> 4] as number;
      out[size + 2] = HEX[code & 15] as number;
      size += 3;
    } else {
      out[size++] = code;
    }
  }
  size = endSegment(segment, size, false);
  return size === 0 ? null : out.toString('latin1', 0, size);
}

/** Removes the segment if it is dots, else closes it with its slash. Answers the new size, 0 to refuse. */
function endSegment(start: number, end: number, slash: boolean): number {
  if (out[start] === DOT && end > start) {
    const dots = end > start + 1 && out[start + 1] === DOT ? 2 : 1;
    const next = start + dots;
    if (next === end) {
      if (dots === 1) return start;
      if (start === 1) return 0;
      let parent = start - 1;
      while (out[parent - 1] !== SLASH_BYTE) parent--;
      return parent;
    }
    if (out[next] === 0x3b || (out[next] === 0x25 && out[next + 1] === 0x33 && out[next + 2] === 0x42)) return 0;
  }
  if (slash) out[end++] = SLASH_BYTE;
  return end;
}

/** 0 to 15; far below 0 if it is no hexadecimal digit, so that a sum with it is negative. */
function hexValue(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1000;
}
