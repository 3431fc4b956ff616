/**
 * llhttp takes RTSP and ICE for HTTP: `GET / RTSP/1.0` and `SOURCE /x ICE/1.0` come as requests of HTTP/1.0, and it does not say which it was. So the
 * version is looked for in the request line itself, as it was read.
 *
 * Where a line begins is known only of the first message of what is parsed at once. So what holds several messages, and the name of another protocol
 * anywhere, is parsed a message at a time: all else, which is nearly everything, as it comes. The cost grows with what was read, whatever it holds.
 */
import type { MessageHead } from '../../http1/message-parser.js';

const OTHERS = [Buffer.from(' RTSP/'), Buffer.from(' ICE/')] as const;
const HTTP = [...Buffer.from(' HTTP/')];
/** Ends a head, and a chunked body with its trailers. The parser takes no other line ends. */
const EMPTY_LINE = Buffer.from('\r\n\r\n');
const CARRIAGE_RETURN = 0x0d;
const LINE_FEED = 0x0a;
const SPACE = 0x20;
const NOTHING = Buffer.alloc(0);

export class OtherProtocol {
  /**
   * Of a head that is not whole: its request line, as far as it was read. Where the head began behind another message: the last line that was read, which
   * is another of its lines if the request line was whole, and then names no other protocol.
   */
  #line: Buffer = NOTHING;
  /** Of a message that is not whole: the end of what was read, in which an empty line may have begun. */
  #tail: Buffer = NOTHING;
  #text: Buffer = NOTHING;
  /** The text begins a message, or goes on with a head, of which nothing was told yet. */
  #first = false;

  /** Whether the piece must be parsed a message at a time (messageEnd): else it may be parsed whole. @param bodyBytesLeft as for messageEnd */
  mixes(piece: Buffer, bodyBytesLeft: number): boolean {
    return this.messageEnd(piece, bodyBytesLeft) < piece.length && OTHERS.some((name) => piece.includes(name));
  }

  /** No message ends in the piece before this. @param bodyBytesLeft of the body that the piece begins with, as its Content-Length says */
  messageEnd(piece: Buffer, bodyBytesLeft: number): number {
    return bodyBytesLeft > 0 ? Math.min(bodyBytesLeft, piece.length) : this.#emptyLineEnd(piece);
  }

  /** Call it with what is parsed next. `ofHead`: no message is being read, or its head is not whole. */
  look(text: Buffer, ofHead: boolean): void {
    this.#first = ofHead;
    this.#text = text;
  }

  /** Call it when that is parsed. `pending`: a message has begun and is not whole; `headPending`: nor is its head. */
  parsed(pending: boolean, headPending: boolean): void {
    const text = this.#text;
    this.#text = NOTHING;
    if (!headPending) this.#line = NOTHING;
    else if (!this.#first) this.#line = Buffer.from(text.subarray(text.lastIndexOf(LINE_FEED) + 1));
    else if (!hasLine(this.#line)) this.#line = Buffer.concat([this.#line, text]);
    if (pending) this.#tail = Buffer.concat([this.#tail, text.subarray(-3)]).subarray(-3);
    else this.#tail = NOTHING;
  }

  /** Whether the request with this head, which has just been read, is of another protocol. */
  isOf({ method, target }: MessageHead): boolean {
    // behind another message: the piece would not have been parsed whole if another protocol were named in it
    if (!this.#first) return false;
    this.#first = false;
    if (this.#line.length === 0 && beginsAsHttp(this.#text, method, target)) return false;
    const text = hasLine(this.#line) ? this.#line : Buffer.concat([this.#line, this.#text]);
    const start = startOf(text);
    const [version = '', ofTarget, ofMethod = ''] = text.toString('latin1', start, text.indexOf(LINE_FEED, start)).split(/ +/).reverse();
    return /^(?:RTSP|ICE)\//.test(version) && ofTarget === target && ofMethod.endsWith(method);
  }

  #emptyLineEnd(piece: Buffer): number {
    if (this.#tail.length > 0) {
      const split = Buffer.concat([this.#tail, piece.subarray(0, 3)]).indexOf(EMPTY_LINE);
      if (split >= 0) return split + EMPTY_LINE.length - this.#tail.length;
    }
    const at = piece.indexOf(EMPTY_LINE);
    return at < 0 ? piece.length : at + EMPTY_LINE.length;
  }
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

function hasLine(text: Buffer): boolean {
  return text.length > 0 && text.includes(LINE_FEED, startOf(text));
}
