/**
 * The client's side of a request over HTTP/1: frames the answer, holds back its last piece until the row is written, lets it go.
 *
 * Held back is: the whole head if there is no body; the read that completes Content-Length; else the last chunk with the trailers.
 * Everything else goes as it comes, at the end of the upstream read that brought it.
 */
import { STATUS_CODES } from 'node:http';
import { ERROR_CODES, type ErrorCode } from '../../../errors/codes.js';
import { problem } from '../../../errors/problem.js';
import { ActiveExchange } from '../../active-exchange.js';
import { PROTOCOLS } from '../../events/event.js';
import { answerLines, lastChunk } from '../../http1/fields.js';
import type { MessageHead } from '../../http1/message-parser.js';
import type { TargetAddress } from '../../upstream/target-address.js';
import { httpDate } from './http-date.js';
import type { HttpConnection } from './http-connection.js';
import { rateLimitFields } from './rate-limit-fields.js';
import type { RequestHead } from './request-head.js';
import { buildUpstreamHead } from './upstream-head.js';

/** An answer to HTTP/1.0 without a length is gathered up to this, so that it can be given one. Bytes. */
const GATHER_BYTES = 64 * 1024;
/** Up to this, head and body are one text: node writes one of less than 16 KB from its stack; past it two writes are cheaper. Bytes. */
const COPY_BYTES = 16 * 1024 - 1;

/** `length`: as the upstream said; `gather`: HTTP/1.0, its end not yet known; `close`: given up gathering, the end is the closing. */
type Framing = 'none' | 'length' | 'chunked' | 'gather' | 'close';

export class HttpExchange extends ActiveExchange {
  readonly connection: HttpConnection;
  minorVersion = 1;
  /** Both sides may go on with the connection afterwards. */
  keepAlive = true;
  chunkedBody = false;
  #framing: Framing = 'none';
  /** Head without framing, Connection and the empty line, while the framing is not known. */
  #head = '';
  readonly #pieces: (string | Buffer)[] = [];
  #gathered = 0;
  /** What the response's Connection names, lower case: no trailer of it goes on; null: nothing. */
  #responseHopNames: ReadonlySet<string> | null = null;

  constructor(connection: HttpConnection) {
    super(connection.pipeline);
    this.connection = connection;
  }

  get client(): string { return this.connection.recordedClient(this.clientAddress); }
  get peerAddress(): string { return this.connection.peerAddress; }
  get chunkedUpstream(): boolean { return this.chunkedBody; }

  /** Takes over what the listener read of the head. */
  takeHead(head: MessageHead, parts: RequestHead): void {
    this.setMethod(head.method);
    this.minorVersion = head.minor === 0 ? 0 : 1;
    this.protocolId = this.minorVersion === 0 ? PROTOCOLS['http/1.0'] : PROTOCOLS['http/1.1'];
    this.rawHeaders = head.pairs;
    this.path = parts.path;
    this.query = parts.query;
    this.host = parts.host;
    this.authority = parts.authority;
    this.hopNames = parts.hopNames;
    this.chunkedBody = parts.chunked;
    this.hasBody = parts.chunked || parts.contentLength > 0;
    this.expectContinue = parts.expectContinue && this.hasBody;
    // Upgrade is not sent on; what follows such a request on this connection might be another protocol.
    this.keepAlive &&= head.keepAlive && !head.upgrade;
  }

  onAdmitted(): void {
    this.connection.arm();
  }

  upstreamHead(address: TargetAddress): string {
    return buildUpstreamHead(this, address);
  }

  sendContinue(): void {
    this.connection.socket.write('HTTP/1.1 100 Continue\r\n\r\n', 'latin1');
  }

  pauseClient(): void {
    this.connection.holdBody(true);
  }

  resumeClient(): void {
    this.connection.holdBody(false);
  }

  /** An answer of our own, a health check's or a problem's; the caller records it or lets it go. */
  answerOwn(status: number, contentType: string, body: string, fields: string): void {
    this.status = status;
    this.bytesOut = this.method === 'HEAD' ? 0 : Buffer.byteLength(body);
    if (!this.requestComplete && (this.hasBody || this.preRefusal !== null)) this.keepAlive = false;
    const head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nContent-Type: ${contentType}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`
      + `Date: ${httpDate()}\r\nX-Request-Id: ${this.requestId}\r\n${fields}${this.#connectionLine()}\r\n`;
    this.#pieces.push(this.method === 'HEAD' ? head : head + body);
  }

  protected answerProblem(code: ErrorCode, detail: string): void {
    const { status } = ERROR_CODES[code];
    const body = JSON.stringify(problem(code, detail, { request_id: this.requestId }));
    const challenge = status === 401 ? 'WWW-Authenticate: Bearer\r\n' : '';
    const allow = this.allow === '' ? '' : `Allow: ${this.allow}\r\n`;
    this.answerOwn(status, 'application/problem+json', body, challenge + allow + rateLimitFields(this.limitAnswer, status));
  }

  protected answerHead(head: MessageHead): boolean {
    const { status } = head;
    const { lines, contentLength, dated, understood, hopNames } = answerLines(head, status !== 204);
    this.#responseHopNames = hopNames;
    if (!understood) {
      this.fail('upstream_broken', 'upstream_broken', 'the answer has a transfer coding other than chunked');
      return true;
    }
    const bodiless = this.method === 'HEAD' || status === 204 || status === 304;
    const start = `HTTP/1.1 ${status} ${head.reason}\r\n${lines}${dated ? '' : `Date: ${httpDate()}\r\n`}X-Request-Id: ${this.requestId}\r\n`
      + rateLimitFields(this.limitAnswer, status);
    if (bodiless || contentLength >= 0) {
      this.#framing = bodiless ? 'none' : 'length';
      this.#pieces.push(start + this.#connectionLine() + '\r\n');
    } else if (this.minorVersion === 1) {
      this.#framing = 'chunked';
      this.#pieces.push(start + this.#connectionLine() + 'Transfer-Encoding: chunked\r\n\r\n');
    } else {
      this.#framing = 'gather';
      this.#head = start;
      this.#pieces.push('');
    }
    return this.method === 'HEAD';
  }

  protected answerInformational(head: MessageHead): void {
    // RFC 9110 15.2: never to an HTTP/1.0 client. 100 is answered by ourselves.
    if (this.minorVersion === 0 || head.status === 100) return;
    const { lines } = answerLines(head, false);
    this.connection.write(`HTTP/1.1 ${head.status} ${head.reason}\r\n${lines}\r\n`);
  }

  protected answerBody(chunk: Buffer | string): boolean {
    if (this.#framing === 'chunked') this.#pieces.push(chunk.length.toString(16) + '\r\n', chunk, '\r\n');
    else this.#pieces.push(chunk);
    if (this.#framing === 'gather' && (this.#gathered += chunk.length) > GATHER_BYTES) {
      this.#framing = 'close';
      this.keepAlive = false;
      this.unframed = true;
      this.#pieces[0] = this.#head + this.#connectionLine() + '\r\n';
    }
    return true;
  }

  protected answerEnd(trailers: string[] | null): void {
    if (this.#framing === 'chunked') this.#pieces.push(lastChunk(trailers, this.#responseHopNames, null));
    else if (this.#framing === 'close') this.#keepLast();
    else if (this.#framing === 'gather') this.#pieces[0] = `${this.#head}Content-Length: ${this.#gathered}\r\n${this.#connectionLine()}\r\n`;
    this.answering = true;
  }

  protected answerFlush(): boolean {
    if (this.#framing === 'gather') return true;
    // informational answers went by themselves
    if (this.#pieces.length === 0) return !this.connection.socket.writableNeedDrain;
    // A head whose answer has no body is its last piece; llhttp tells the end in the same read.
    this.answering = true;
    return this.#write();
  }

  protected answerDiscard(): void {
    this.#pieces.length = 0;
    this.#framing = 'none';
    this.bytesOut = 0;
  }

  letGo(cut: boolean): void {
    const { connection } = this;
    try {
      if (!connection.socket.destroyed) {
        if (cut) connection.socket.resetAndDestroy();
        else this.#write();
      }
      connection.onReleased(this);
    } catch (error) {
      // Whatever it is: the connection must not stay behind.
      connection.destroy();
      throw error;
    }
  }

  /** What was gathered in vain goes ahead of the last read, so that no more than that is held. */
  #keepLast(): void {
    const last = this.#pieces.pop();
    if (last === undefined) return;
    if (this.#pieces.length > 0) this.#write();
    this.#pieces.push(last);
  }

  #connectionLine(): string {
    if (!this.keepAlive || (this.connection.isDraining && this.connection.isLast(this))) {
      this.keepAlive = false;
      return 'Connection: close\r\n';
    }
    return this.minorVersion === 0 ? 'Connection: keep-alive\r\n' : '';
  }

  /** One write for all pieces where that is cheaper. False: the client is slow. */
  #write(): boolean {
    const pieces = this.#pieces;
    const { connection } = this;
    let more = true;
    if (pieces.length === 1) more = connection.write(pieces[0] as string | Buffer);
    else if (pieces.length > 1) {
      let length = 0;
      for (const piece of pieces) length += piece.length;
      if (length <= COPY_BYTES) more = connection.write(joined(pieces));
      else {
        connection.socket.cork();
        for (const piece of pieces) more = connection.write(piece);
        connection.socket.uncork();
      }
    }
    pieces.length = 0;
    return more;
  }
}

function joined(pieces: readonly (string | Buffer)[]): string {
  let text = '';
  for (const piece of pieces) text += typeof piece === 'string' ? piece : piece.latin1Slice();
  return text;
}
