/**
 * llhttp takes RTSP and ICE for HTTP: `GET / RTSP/1.0` and `SOURCE /x ICE/1.0` come as requests of HTTP/1.0, and it does not say which it was. So the
 * version is looked for in the request line itself, as it was read: each head is parsed by itself (headEnd), so that it is known where its line begins.
 * Behind a chunked body, in the same read, it is not; but a line that names another protocol stands behind an empty line, and is parsed from there (bodyEnd).
 *
 * What a client sends costs what its bytes cost, whatever they are.
 */
import type { MessageHead } from '../../http1/message-parser.js';

const OTHERS = [Buffer.from(' RTSP/'), Buffer.from(' ICE/')] as const;
const OTHER_VERSION = /^(?:RTSP|ICE)\//;
const VERSION_CHARACTERS = 'RTSP/'.length;
const HTTP = [...Buffer.from(' HTTP/')];
/** The parser takes no other line ends. */
const EMPTY_LINE = Buffer.from('\r\n\r\n');
const CARRIAGE_RETURN = 0x0d;
const LINE_FEED = 0x0a;
const SPACE = 0x20;
const NOTHING = Buffer.alloc(0);

export class OtherProtocol {
  #text: Buffer = NOTHING;
  /** The text begins a head, or goes on with one, of which nothing was told yet. */
  #first = false;
  /** Whether another protocol is named in the text; null: not looked for yet. */
  #named: boolean | null = null;
  /** A head has begun before the text. */
  #begun = false;
  /** Of its request line, as far as it was read: the beginning of the last word, and whether that was all of the line. */
  #word = '';
  #lineRead = false;
  /** Of a head or a chunked body that is not whole: the end of what was read, in which an empty line may have begun. */
  #tail: Buffer = NOTHING;

  /** Where the head ends that `rest` begins, or goes on with; at most the end of `rest`. */
  headEnd(rest: Buffer): number {
    const split = this.#splitEnd(rest);
    if (split > 0) return split;
    const at = rest.indexOf(EMPTY_LINE, this.#begun ? 0 : startOf(rest));
    return at < 0 ? rest.length : at + EMPTY_LINE.length;
  }

  /**
   * How much of `rest` is parsed at once, where it goes on with a chunked body: that body ends at an empty line, or further on. What is parsed ends at one, so that no
   * head is begun and left; and a line that names another protocol begins what is parsed next.
   */
  bodyEnd(rest: Buffer): number {
    const split = this.#splitEnd(rest);
    if (split > 0) return split;
    for (let end = 0; ;) {
      const at = rest.indexOf(EMPTY_LINE, end);
      if (at < 0) return end > 0 ? end : rest.length;
      const next = at + EMPTY_LINE.length;
      if (next === rest.length && end === 0) return next;
      if (isNamed(rest.subarray(end, next))) return end > 0 ? end : next;
      if (next === rest.length) return next;
      end = next;
    }
  }

  /** Call it with what is parsed next. `ofHead`: no message is being read, or its head is not whole. */
  look(text: Buffer, ofHead: boolean): void {
    this.#first = ofHead;
    this.#text = text;
    this.#named = null;
  }

  /** Call it when that is parsed. `headPending`: a head has begun that is not whole; `pending`: or a chunked body. */
  parsed(headPending: boolean, pending: boolean): void {
    if (headPending) this.#readLine();
    else if (this.#begun) {
      this.#word = '';
      this.#lineRead = false;
    }
    this.#begun = headPending;
    this.#tail = pending ? tailOf(Buffer.concat([this.#tail, this.#text.subarray(-EMPTY_LINE.length)])) : NOTHING;
    this.#text = NOTHING;
  }

  /** Whether the request with this head, which has just been read, is of another protocol. */
  isOf({ method, target }: MessageHead): boolean {
    // behind a chunked body: what follows it would have been parsed by itself if it named another protocol
    if (!this.#first) return this.#isNamed();
    this.#first = false;
    if (!this.#begun && beginsAsHttp(this.#text, method, target)) return false;
    this.#readLine();
    const isOther = OTHER_VERSION.test(this.#word);
    this.#word = '';
    this.#lineRead = false;
    return isOther;
  }

  /** Where an empty line ends that has begun before `rest`; 0: none has. */
  #splitEnd(rest: Buffer): number {
    if (this.#tail.length === 0) return 0;
    const at = Buffer.concat([this.#tail, rest.subarray(0, 3)]).indexOf(EMPTY_LINE);
    return at < 0 ? 0 : at + EMPTY_LINE.length - this.#tail.length;
  }

  #readLine(): void {
    if (this.#lineRead) return;
    const text = this.#text;
    const start = this.#begun ? 0 : startOf(text);
    const feed = text.indexOf(LINE_FEED, start);
    const end = feed < 0 ? text.length : feed;
    const space = text.subarray(start, end).lastIndexOf(SPACE);
    const from = start + space + 1;
    this.#word = ((space < 0 ? this.#word : '') + text.toString('latin1', from, Math.min(end, from + VERSION_CHARACTERS))).slice(0, VERSION_CHARACTERS);
    this.#lineRead = feed >= 0;
  }

  #isNamed(): boolean {
    return this.#named ??= isNamed(this.#text);
  }
}

const isNamed = (text: Buffer): boolean => OTHERS.some((name) => text.includes(name));

/** What ends with an empty line has begun no other: one that ends a message has none right before it. */
function tailOf(text: Buffer): Buffer {
  return text.subarray(-EMPTY_LINE.length).equals(EMPTY_LINE) ? NOTHING : text.subarray(1 - EMPTY_LINE.length);
}

/** The text is `method SP target SP HTTP/…`, so that nothing else can stand where the version does. */
function beginsAsHttp(text: Buffer, method: string, target: string): boolean {
  const end = method.length + 1 + target.length;
  if (text[0] !== method.charCodeAt(0) || text[method.length] !== SPACE || text[method.length + 1] !== target.charCodeAt(0)) return false;
  for (let i = 0; i < HTTP.length; i++) if (text[end + i] !== HTTP[i]) return false;
  return true;
}

/** The parser passes over line ends in front of a request. */
function startOf(text: Buffer): number {
  let start = 0;
  while (text[start] === CARRIAGE_RETURN || text[start] === LINE_FEED) start++;
  return start;
}
