/**
 * The usual message without llhttp: one that is there as a whole, head and body, and whose every byte is understood here. All else is llhttp's from its first
 * byte on (message-parser.ts), so there is no state between messages, and nothing to hand over: both ways tell the same.
 *
 * Taken is less than RFC 9112 allows, and framed by Content-Length alone:
 *
 *   request  GET|HEAD|POST|PUT|PATCH|DELETE SP "/" *( unreserved / sub-delims / ":@/?%" ) SP HTTP/1.1
 *   answer   HTTP/1.1 SP status, 200 to 599 SP *( SP / visible )
 *   fields   up to 64, a token of up to 64 ":" SP visible *( SP / visible ), the last visible, so that a line can be sent on as it is; up to 8 KB in all
 *            no Transfer-Encoding, Upgrade or Proxy-Connection; Connection only as keep-alive; one Content-Length at most, of up to 15 digits
 *
 * An answer has a Content-Length, unless its status is 204 or 304. test/conformance/whole-message.test.ts tells both ways the same bytes.
 */
import { classifyField, FIELD_CONNECTION, FIELD_HOP, FIELD_LENGTH, FIELD_TRANSFER_ENCODING } from './fields.js';

/** Not in the types: what `toString('latin1', start, end)` ends in, without choosing among encodings each time. */
declare global {
  interface Buffer {
    latin1Slice(start?: number, end?: number): string;
  }
}

const MAX_HEAD_BYTES = 8 * 1024;
const MAX_FIELDS = 64;
const MAX_NAME_BYTES = 64;

const CARRIAGE_RETURN = 0x0d;
const LINE_FEED = 0x0a;
const SPACE = 0x20;
const COLON = 0x3a;
const SLASH = 0x2f;

const LETTERS_AND_DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const IS_TOKEN = byteSet(`${LETTERS_AND_DIGITS}!#$%&'*+-.^_\`|~`);
const IS_TARGET = byteSet(`${LETTERS_AND_DIGITS}-._~!$&'()*+,;=:@/?%`);

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;
/** By a method's first two letters, which no two share. */
const METHOD_BY_LETTERS = new Map(METHODS.map((method) => [method.charCodeAt(0) << 8 | method.charCodeAt(1), { method, bytes: Buffer.from(`${method} `) }]));
const VERSION = Buffer.from('HTTP/1.1');

function byteSet(characters: string): Uint8Array {
  const set = new Uint8Array(256);
  for (const character of characters) set[character.charCodeAt(0)] = 1;
  return set;
}

/** Of each field the beginnings and ends of its name and its value, from the head's beginning: one message is read at a time. */
const places = new Int32Array(MAX_FIELDS * 4);

/** What `read…` found; overwritten by the next. `pairs` and texts are new each time. */
export class WholeMessage {
  method = '';
  target = '';
  status = 0;
  reason = '';
  /** Names and values by turns. */
  pairs: string[] = [];
  /** The head. */
  text = '';
  /** See FieldLines. */
  readonly places: Int32Array = places;
  /** Where the head ends, and so the body begins. */
  headEnd = 0;
  /** Content-Length, 0 without one. */
  bodyBytes = 0;
  #fields = 0;

  /** A request that begins at `start` of `bytes`, which hold what was read up to `end`. False: it is not one of these, or not all of it is there. */
  readRequest(bytes: Buffer, start: number, end: number, maxHeadBytes: number): boolean {
    const limit = Math.min(end, start + Math.min(MAX_HEAD_BYTES, maxHeadBytes));
    if (limit - start < 16) return false;
    const known = METHOD_BY_LETTERS.get((bytes[start] as number) << 8 | (bytes[start + 1] as number));
    if (known === undefined) return false;
    let at = start;
    for (const byte of known.bytes) if (bytes[at++] !== byte) return false;
    const targetStart = at;
    if (bytes[at] !== SLASH) return false;
    while (at < limit && IS_TARGET[bytes[at] as number] === 1) at++;
    const targetEnd = at;
    if (bytes[at++] !== SPACE) return false;
    at = afterVersion(bytes, at);
    if (at < 0 || bytes[at] !== CARRIAGE_RETURN || bytes[at + 1] !== LINE_FEED) return false;
    if (!this.#findFields(bytes, start, at + 2, limit)) return false;
    const text = bytes.latin1Slice(start, this.headEnd);
    if (!this.#readFields(text, false) || this.headEnd + this.bodyBytes > end) return false;
    this.method = known.method;
    this.target = text.slice(targetStart - start, targetEnd - start);
    return true;
  }

  /** An answer, likewise. */
  readAnswer(bytes: Buffer, start: number, end: number): boolean {
    const limit = Math.min(end, start + MAX_HEAD_BYTES);
    if (limit - start < 17) return false;
    let at = afterVersion(bytes, start);
    if (at < 0 || bytes[at] !== SPACE || bytes[at + 4] !== SPACE) return false;
    const status = threeDigits(bytes, at + 1);
    if (status < 200 || status > 599) return false;
    at += 5;
    const reasonStart = at;
    while (at < limit && isText(bytes[at] as number)) at++;
    const reasonEnd = at;
    if (bytes[at] !== CARRIAGE_RETURN || bytes[at + 1] !== LINE_FEED || bytes[reasonEnd - 1] === SPACE && reasonEnd > reasonStart) return false;
    if (!this.#findFields(bytes, start, at + 2, limit)) return false;
    const text = bytes.latin1Slice(start, this.headEnd);
    const bodiless = status === 204 || status === 304;
    if (!this.#readFields(text, !bodiless)) return false;
    if (bodiless) this.bodyBytes = 0;
    if (this.headEnd + this.bodyBytes > end) return false;
    this.status = status;
    this.reason = text.slice(reasonStart - start, reasonEnd - start);
    return true;
  }

  /** Finds the fields' places, and the head's end. */
  #findFields(bytes: Buffer, start: number, first: number, limit: number): boolean {
    let place = 0;
    for (let at = first; ;) {
      if (bytes[at] === CARRIAGE_RETURN) {
        if (at + 1 >= limit || bytes[at + 1] !== LINE_FEED) return false;
        this.headEnd = at + 2;
        this.#fields = place;
        return true;
      }
      const nameStart = at;
      while (at < limit && IS_TOKEN[bytes[at] as number] === 1) at++;
      const nameEnd = at;
      if (nameEnd === nameStart || nameEnd - nameStart > MAX_NAME_BYTES || at + 2 >= limit || bytes[at] !== COLON || bytes[at + 1] !== SPACE || place === places.length) return false;
      at += 2;
      const valueStart = at;
      while (at < limit && isText(bytes[at] as number)) at++;
      if (at + 2 >= limit || bytes[at] !== CARRIAGE_RETURN || bytes[at + 1] !== LINE_FEED) return false;
      if (at === valueStart || bytes[valueStart] === SPACE || bytes[at - 1] === SPACE) return false;
      places[place] = nameStart - start;
      places[place + 1] = nameEnd - start;
      places[place + 2] = valueStart - start;
      places[place + 3] = at - start;
      place += 4;
      at += 2;
    }
  }

  #readFields(text: string, needsLength: boolean): boolean {
    const pairs: string[] = [];
    let length = -1;
    for (let place = 0; place < this.#fields; place += 4) {
      const name = text.slice(places[place], places[place + 1]);
      const value = text.slice(places[place + 2], places[place + 3]);
      switch (classifyField(name)) {
        case FIELD_LENGTH:
          if (length >= 0) return false;
          length = lengthOf(value);
          if (length < 0) return false;
          break;
        case FIELD_CONNECTION:
          if (value !== 'keep-alive' && value !== 'Keep-Alive') return false;
          break;
        case FIELD_TRANSFER_ENCODING:
          return false;
        case FIELD_HOP:
          if (name.length === 7 || name.length === 16) return false;
          break;
      }
      pairs.push(name, value);
    }
    if (needsLength && length < 0) return false;
    this.pairs = pairs;
    this.text = text;
    this.bodyBytes = length < 0 ? 0 : length;
    return true;
  }
}

const isText = (byte: number): boolean => byte >= SPACE && byte < 0x7f;

/** -1: it is not HTTP/1.1. */
function afterVersion(bytes: Buffer, start: number): number {
  for (let i = 0; i < VERSION.length; i++) if (bytes[start + i] !== VERSION[i]) return -1;
  return start + VERSION.length;
}

/** -1: it is no number. */
function threeDigits(bytes: Buffer, start: number): number {
  let number = 0;
  for (let i = start; i < start + 3; i++) {
    const digit = (bytes[i] as number) - 0x30;
    if (!(digit >= 0 && digit <= 9)) return -1;
    number = number * 10 + digit;
  }
  return number;
}

/** More is no number of bytes of anything, and what does not fit in 64 bits is llhttp's to refuse, also where there is no body to be measured by it (304). */
const MAX_LENGTH_DIGITS = 15;

/** -1: it is no Content-Length, or not one of a usual message. */
function lengthOf(value: string): number {
  if (value.length > MAX_LENGTH_DIGITS) return -1;
  let length = 0;
  for (let i = 0; i < value.length; i++) {
    const digit = value.charCodeAt(i) - 0x30;
    if (!(digit >= 0 && digit <= 9)) return -1;
    length = length * 10 + digit;
  }
  return length;
}
