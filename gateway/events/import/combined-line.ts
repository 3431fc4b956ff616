/**
 * A line of the common or combined log format, as nginx and Apache write it:
 *
 *   203.0.113.9 - frank [10/Oct/2000:13:55:36 -0700] "GET /a?b HTTP/1.1" 200 2326 "referer" "user agent" …
 *   client   ident user [time]                       "request line"      status bytes, and whatever follows
 *
 * In quotes both write a quote as \" or \x22, and a backslash as \\ or \x5C. What follows the bytes is not read: it is kept nowhere. The user may hold spaces. A request
 * line that is none (`-`, what a TLS client says to a port without TLS) is a request all the same: answered 400, logged, and counted.
 *
 * Bytes are looked at one by one, up to the bytes, and no string is made but for the client, the method and a path that is kept: 1,500 ns a line from the file to the spool, all
 * included.
 */
import { CLF_TIME_BYTES, inBounds, type ClfClock } from './log-time.js';
import type { BadLine, LogRow } from './log-row.js';
import { PROTOCOLS } from '../event.js';

const SPACE = 0x20;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const DASH = 0x2d;
const OPEN = 0x5b;
const CLOSE = 0x5d;

/**
 * Fills the row from text[start] to text[end], without the line's end. Null: it is a line of the log; else why not.
 * @param cut the file ends here, and no line break says that the line does: what could go on counts as bad
 */
export function parseCombined(text: Buffer, start: number, end: number, cut: boolean, row: LogRow, clock: ClfClock): BadLine | null {
  row.clear();
  let at = start;
  while (at < end && text[at] !== SPACE) at++;
  if (at === start || at === end) return 'no fields of an access log';
  const clientEnd = at;

  // the time, in the first brackets that hold one
  let timeMs = Number.NaN;
  for (; at < end; at++) {
    if (text[at] !== OPEN || text[at - 1] !== SPACE || at + CLF_TIME_BYTES + 1 >= end || text[at + CLF_TIME_BYTES + 1] !== CLOSE) continue;
    timeMs = clock.read(text, at + 1);
    if (!Number.isNaN(timeMs)) break;
  }
  if (Number.isNaN(timeMs)) return 'no time such as [17/May/2015:10:05:03 +0000]';
  if (!inBounds(timeMs)) return 'its time lies before 1971 or after 2099';
  at += CLF_TIME_BYTES + 2;

  if (text[at] !== SPACE || text[at + 1] !== QUOTE || at + 1 >= end) return 'no request line in quotes behind the time';
  const requestStart = at + 2;
  const requestEnd = closingQuote(text, requestStart, end);
  if (requestEnd === end) return 'the quotes of the request line do not close';
  at = requestEnd + 1;

  if (text[at] !== SPACE || at >= end) return 'no status behind the request line';
  const statusStart = ++at;
  let status = 0;
  for (; at < end; at++) {
    const digit = (text[at] as number) - 0x30;
    if (digit < 0 || digit > 9) break;
    status = status * 10 + digit;
  }
  if (at === statusStart && text[at] === DASH) at++;
  else if (at - statusStart !== 3) return 'the status is no number of three digits';
  if (text[at] !== SPACE || at >= end) return 'no bytes behind the status';

  const bytesStart = ++at;
  let bytes = 0;
  for (; at < end; at++) {
    const digit = (text[at] as number) - 0x30;
    if (digit < 0 || digit > 9) break;
    bytes = bytes * 10 + digit;
  }
  if (at === bytesStart && text[at] === DASH && at < end) at++;
  else if (at === bytesStart || bytes > Number.MAX_SAFE_INTEGER) return 'the bytes are no number';
  if (at < end && text[at] !== SPACE) return 'the bytes are no number';
  // `200 23` may have been about to be `200 2326`, and a quote that does not close is half a line
  if (cut && (at === end || quotesAreOpen(text, at, end))) return 'cut off: the file ends within it';

  row.timeMs = timeMs;
  row.status = status;
  row.bytesOut = bytes;
  row.setClient(text.latin1Slice(start, clientEnd));
  readRequestLine(text, requestStart, requestEnd, row);
  return null;
}

/** `GET /a?b HTTP/1.1`; what is none leaves the method `other` and no path. */
function readRequestLine(text: Buffer, start: number, end: number, row: LogRow): void {
  let methodEnd = start;
  while (methodEnd < end && text[methodEnd] !== SPACE) methodEnd++;
  if (methodEnd === end) return;
  let targetEnd = end;
  while (targetEnd > methodEnd && text[targetEnd - 1] !== SPACE) targetEnd--;
  const named = text[targetEnd] === 0x48 && text[targetEnd + 4] === 0x2f; // H…/
  // the usual one without a string
  const usual = named && end - targetEnd === 8 && text[targetEnd + 5] === 0x31 && text[targetEnd + 7] === 0x31;
  if (usual) row.protocolId = PROTOCOLS['http/1.1'];
  else row.setProtocol(named ? text.latin1Slice(targetEnd, end) : '');
  row.setMethod(text.latin1Slice(start, methodEnd));
  if (row.keepsPath) row.setTarget(unescaped(text.latin1Slice(methodEnd + 1, named ? targetEnd - 1 : end)));
}

/** Where the quotes close that opened in front of `from`; `end`: nowhere. */
function closingQuote(text: Buffer, from: number, end: number): number {
  for (let at = from; at < end; at++) {
    const byte = text[at];
    if (byte === QUOTE) return at;
    if (byte === BACKSLASH) at++;
  }
  return end;
}

function quotesAreOpen(text: Buffer, from: number, end: number): boolean {
  for (let at = from; at < end; at++) {
    if (text[at] !== QUOTE) continue;
    at = closingQuote(text, at + 1, end);
    if (at === end) return true;
  }
  return false;
}

/** `\x22` and `\"` back to what they stand for. */
function unescaped(text: string): string {
  return text.includes('\\') ? text.replaceAll(/\\(?:x([0-9A-Fa-f]{2})|(.))/g, (_, hex: string | undefined, other: string | undefined) =>
    (hex === undefined ? other ?? '' : String.fromCharCode(Number.parseInt(hex, 16)))) : text;
}
