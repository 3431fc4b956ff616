/**
 * llhttp takes RTSP and ICE for HTTP: `GET / RTSP/1.0` and `SOURCE /x ICE/1.0` come as requests of HTTP/1.0, and it does not say which it was. So the
 * request line is looked for in what was read. About 0.3 us a read, as most reads hold neither name.
 */
import type { MessageHead } from '../../http1/message-parser.js';

const OTHERS = [Buffer.from(' RTSP/'), Buffer.from(' ICE/')] as const;
const LINE_FEED = 0x0a;
const SPACE = 0x20;
const NOTHING = Buffer.alloc(0);

export class OtherProtocol {
  /** Read and not yet known to belong to a whole head. */
  #before: Buffer = NOTHING;
  #text: Buffer = NOTHING;
  #named = false;

  /** Call it with each piece that may hold a head, before it is parsed. */
  look(piece: Buffer): void {
    this.#text = this.#before.length === 0 ? piece : Buffer.concat([this.#before, piece]);
    this.#named = OTHERS.some((name) => this.#text.includes(name));
  }

  /** Call it when the piece is parsed. `headPending`: a request has begun whose head is not whole. */
  parsed(headPending: boolean): void {
    // the line that is not whole yet; all of it, once a protocol was named
    this.#before = !headPending ? NOTHING : this.#named ? this.#text : this.#text.subarray(this.#text.lastIndexOf(LINE_FEED) + 1);
    this.#text = NOTHING;
  }

  /** Whether the request with this head, which has just been read, is of another protocol. */
  isOf({ method, target }: MessageHead): boolean {
    if (!this.#named) return false;
    const start = Buffer.from(`${method} ${target} `, 'latin1');
    for (let at = this.#text.indexOf(start); at >= 0; at = this.#text.indexOf(start, at + 1)) {
      let end = at + start.length - 1;
      while (this.#text[end + 1] === SPACE) end++;
      if (OTHERS.some((name) => this.#text.subarray(end, end + name.length).equals(name))) return true;
    }
    return false;
  }
}
