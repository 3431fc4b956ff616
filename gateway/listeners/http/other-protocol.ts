/**
 * llhttp takes RTSP and ICE for HTTP: `GET / RTSP/1.0` and `SOURCE /x ICE/1.0` come as requests of HTTP/1.0, and it does not say which it was. So the
 * request line is looked for in what was read; mostly a read is one request, whose version stands where its method and target say.
 */
import type { MessageHead } from '../../http1/message-parser.js';

const OTHERS = [Buffer.from(' RTSP/'), Buffer.from(' ICE/')] as const;
const HTTP = [...Buffer.from(' HTTP/')];
const LINE_FEED = 0x0a;
const SPACE = 0x20;
const NOTHING = Buffer.alloc(0);

export class OtherProtocol {
  /** Read and not yet known to belong to a whole head. */
  #before: Buffer = NOTHING;
  #text: Buffer = NOTHING;
  /** Whether one of the names stands in the text; null: not looked for yet. */
  #named: boolean | null = null;
  /** The text begins with a request whose head has not been read yet. */
  #first = false;

  /** Call it with each piece that may hold a head, before it is parsed. `begins`: no message is being read. */
  look(piece: Buffer, begins: boolean): void {
    this.#first = begins;
    this.#text = this.#before.length === 0 ? piece : Buffer.concat([this.#before, piece]);
    this.#named = null;
  }

  /** Call it when the piece is parsed. `headPending`: a request has begun whose head is not whole. */
  parsed(headPending: boolean): void {
    // the line that is not whole yet; all of it, once a protocol was named
    this.#before = !headPending ? NOTHING : Buffer.from(this.#isNamed() ? this.#text : this.#text.subarray(this.#text.lastIndexOf(LINE_FEED) + 1));
    this.#text = NOTHING;
  }

  /** Whether the request with this head, which has just been read, is of another protocol. */
  isOf({ method, target }: MessageHead): boolean {
    const first = this.#first;
    this.#first = false;
    if (first && this.#beginsAsHttp(method, target)) return false;
    if (!this.#isNamed()) return false;
    const name = Buffer.from(`${target} `, 'latin1');
    for (let at = this.#text.indexOf(name); at >= 0; at = this.#text.indexOf(name, at + 1)) {
      if (!this.#standsBehind(method, at)) continue;
      let end = at + name.length - 1;
      while (this.#text[end + 1] === SPACE) end++;
      if (OTHERS.some((other) => this.#text.subarray(end, end + other.length).equals(other))) return true;
    }
    return false;
  }

  /** What begins at `at` has the method before it, and spaces between, of which the parser takes several. */
  #standsBehind(method: string, at: number): boolean {
    let end = at;
    while (this.#text[end - 1] === SPACE) end--;
    return end < at && this.#text.subarray(end - method.length, end).equals(Buffer.from(method, 'latin1'));
  }

  /** The text is `method SP target SP HTTP/…`, so that nothing else can stand where the version does. */
  #beginsAsHttp(method: string, target: string): boolean {
    const text = this.#text;
    const end = method.length + 1 + target.length;
    if (text[0] !== method.charCodeAt(0) || text[method.length] !== SPACE || text[method.length + 1] !== target.charCodeAt(0)) return false;
    for (let i = 0; i < HTTP.length; i++) if (text[end + i] !== HTTP[i]) return false;
    return true;
  }

  #isNamed(): boolean {
    return this.#named ??= OTHERS.some((name) => this.#text.includes(name));
  }
}
