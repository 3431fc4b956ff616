/**
 * One client connection: requests parsed as they come, answered one after another. A pipelined request is dispatched only when the
 * answer ahead of it has been let go; until then, and while an upstream takes no more of a body, what is read stays unparsed, and beyond 16 KB of it the
 * client is not read: a connection can make us hold these, one read more (64 KB), and the requests of one piece (unparsed-bytes.ts).
 */
import type { Socket } from 'node:net';
import { monotonicMs, type Deadlined } from '../../deadlines.js';
import { INTERIM_AFTER_MS } from '../../active-exchange.js';
import { KINDS } from '../../events/event.js';
import { refusal, type Refusal } from '../../exchange.js';
import { DirectWriter, readShared } from '../../http1/plain-socket.js';
import { MessageParser, type MessageHandler, type MessageHead, type ParserError } from '../../http1/message-parser.js';
import type { Pipeline } from '../../pipeline.js';
import { clientAddress } from '../../routing/forwarded.js';
import type { Idler } from '../idle-list.js';
import { HttpExchange } from './http-exchange.js';
import type { HttpListener } from './http-listener.js';
import { OtherProtocol } from './other-protocol.js';
import type { RecordedClient } from './recorded-client.js';
import { BODY_TOO_LARGE, RequestHead, refusalOfParserError, TOO_MANY_TRAILERS, VERSION } from './request-head.js';
import { TakingWatch } from './taking-watch.js';
import { PIECE_BYTES, UnparsedBytes } from './unparsed-bytes.js';

const SLOW_REQUEST = refusal('request_timeout', 'request_timeout', 'the request did not arrive in time');

const DRAINED = refusal('draining', 'draining', 'the node shut down before the request was answered');

/** After our end, how long the client may still send before it is cut: closing at once would reset, and lose, the answer. ms. */
const LINGER_MS = 2000;
/** Of a body that nobody wants any more, at most this much is read to keep the connection. Bytes. */
const DISCARD_BYTES = 1024 * 1024;
/** The most that is read at once. */
const READ_BYTES = 64 * 1024;

export class HttpConnection implements MessageHandler, Deadlined, Idler<HttpConnection> {
  deadlineMs = Number.POSITIVE_INFINITY;
  deadlineSlot = -1;
  idleBefore: HttpConnection | null = null;
  idleAfter: HttpConnection | null = null;
  isInIdleList = false;
  idleSinceMs = 0;
  readonly socket: Socket;
  readonly pipeline: Pipeline;
  /** Without `::ffff:`. */
  readonly peerAddress: string;
  readonly #listener: HttpListener;
  readonly #parser: MessageParser;
  readonly #writer: DirectWriter;
  readonly #parts = new RequestHead();
  /** Dispatched, and not yet let go. */
  #current: HttpExchange | null = null;
  /** Being read. */
  #receiving: HttpExchange | null = null;
  readonly #queue: HttpExchange[] = [];
  #phaseDeadlineMs: number;
  readonly #taking = new TakingWatch();
  readonly #unparsed = new UnparsedBytes();
  readonly #otherProtocol = new OtherProtocol();
  #parsing = false;
  #headRead = false;
  /** Read of a head that is not whole. */
  #headBytes = 0;
  #bodyHeld = false;
  #reading = true;
  /** No request is read any more: what still comes is thrown away. */
  #deaf = false;
  #closing = false;
  #discarded = 0;
  /** Of the bytes received, those before this may begin requests; null: all. Set by the first answer that is made while draining. */
  #requestsEnd: number | null = null;
  #recordedClientOf = '';
  #recordedClient = '';
  /** Made once a connection: a hash takes longer than all else that is noted of a request. */
  #recordedClientBy: RecordedClient | null = null;

  constructor(listener: HttpListener, socket: Socket, peerAddress: string) {
    this.#listener = listener;
    this.pipeline = listener.pipeline;
    this.socket = socket;
    this.peerAddress = peerAddress;
    this.#parser = new MessageParser('request', this, listener.settings.headBytes);
    // A connection that never says a word has the time of a head.
    this.#phaseDeadlineMs = monotonicMs() + listener.settings.headTimeoutMs;
    this.arm();
    listener.deadlines.add(this);
    readShared(socket, (bytes, count) => { this.#read(bytes, count); });
    this.#writer = new DirectWriter(socket);
    socket.on('end', () => { this.#clientEnded(); });
    socket.on('drain', () => { this.#drained(); });
    // 'close' follows and decides.
    socket.on('error', () => {});
    socket.on('close', () => { this.#closed(); });
  }

  get isDraining(): boolean { return this.#listener.isDraining; }
  /** The request that is being served; null: none. */
  get served(): HttpExchange | null { return this.#current; }
  get isIdle(): boolean { return this.#current === null && this.#receiving === null && this.#queue.length === 0; }

  /**
   * While draining: nothing that was read waits behind `exchange`. What is read after the first answer that asks begins no request any
   * more, so that a client that pipelines without end comes to one.
   */
  isLast(exchange: HttpExchange): boolean {
    const { socket } = this;
    if (this.#requestsEnd === null) {
      this.#requestsEnd = socket.bytesRead - socket.readableLength;
      this.#pace();
    }
    return this.#queue.length === 0 && (this.#receiving === null || this.#receiving === exchange)
      && this.#unparsed.isEmpty && socket.bytesRead - socket.readableLength >= this.#requestsEnd;
  }

  /** False: the client is slow; `onClientDrain` follows. */
  write(bytes: string | Buffer): boolean {
    const more = this.#writer.write(bytes);
    if (!more) this.#expectDrain();
    return more;
  }

  /** The upstream takes no more of the body, or takes it again. */
  holdBody(held: boolean): void {
    if (this.#bodyHeld === held) return;
    this.#bodyHeld = held;
    // While we don't read, the client is not late.
    this.#phaseDeadlineMs = held || this.#receiving === null ? Number.POSITIVE_INFINITY : monotonicMs() + this.#listener.settings.bodyTimeoutMs;
    this.arm();
    this.#updateReading();
  }

  recordedClient(address: string): string {
    const { recordedClient } = this.pipeline.snapshot;
    if (address !== this.#recordedClientOf || recordedClient !== this.#recordedClientBy) {
      // of its own: what a trusted proxy says of it is a piece of a request's head
      this.#recordedClientOf = Buffer.from(address, 'latin1').latin1Slice();
      this.#recordedClientBy = recordedClient;
      this.#recordedClient = recordedClient(this.#recordedClientOf);
    }
    return this.#recordedClient;
  }

  /** The earliest of what can run late. */
  arm(): void {
    let deadline = this.#phaseDeadlineMs < this.#taking.deadlineMs ? this.#phaseDeadlineMs : this.#taking.deadlineMs;
    const current = this.#current;
    if (current !== null) {
      if (current.totalDeadlineMs < deadline) deadline = current.totalDeadlineMs;
      const interim = current.kindId === KINDS.request && !current.ended ? current.beganMs + INTERIM_AFTER_MS : Number.POSITIVE_INFINITY;
      if (interim < deadline) deadline = interim;
    }
    this.deadlineMs = deadline;
  }

  onDeadline(nowMs: number): void {
    if (this.#taking.deadlineMs <= nowMs && !this.#taking.goesOn(this.socket, nowMs, this.#listener.settings.writeTimeoutMs)) {
      this.socket.destroy();
      return;
    }
    const current = this.#current;
    if (current !== null && !current.ended) {
      if (current.totalDeadlineMs <= nowMs) {
        if (current.answering && this.socket.writableNeedDrain) {
          // the answer waits for the client, and not for the upstream: the client is gone for us, and must not take what it has for the whole
          this.socket.resetAndDestroy();
          return;
        }
        const ofClient = current.waitsForClient && !this.#bodyHeld;
        current.keepAlive = current.requestComplete && current.keepAlive;
        if (ofClient) current.fail('request_timeout', 'request_timeout', 'the body did not arrive within the service\'s total time-out');
        else current.fail('upstream_timeout', 'upstream_timeout', 'the exchange took longer than the service\'s total time-out');
        return;
      }
      current.recordInterim(nowMs);
    }
    if (this.#phaseDeadlineMs <= nowMs) {
      this.#late();
      return;
    }
    this.arm();
    // Not due for an interim row yet (nothing answered): look again at the next second.
    if (this.deadlineMs <= nowMs) this.deadlineMs = nowMs + 1000;
  }

  /** Told at shutdown. An idle connection is closed once it has been quiet for a moment; a busy one after its last answer (isLast). */
  drain(): void {
    if (this.isIdle && !this.#deaf) this.#phaseDeadlineMs = Math.min(this.#phaseDeadlineMs, monotonicMs() + this.#listener.drainQuietMs);
    this.arm();
  }

  /** The drain took too long: what is under way is answered 503, or cut if its answer has begun; then the connection closes. */
  giveUp(): void {
    const current = this.#current;
    if (current === null) {
      this.socket.destroy();
      return;
    }
    current.keepAlive = false;
    if (!current.ended) current.refuse(DRAINED);
  }

  destroy(): void {
    this.socket.destroy();
  }

  /** The answer is let go: the next request's turn. */
  onReleased(exchange: HttpExchange): void {
    if (this.#current !== exchange) return;
    this.#current = null;
    this.#bodyHeld = false;
    if (this.socket.destroyed) return;
    if (!exchange.keepAlive) {
      this.#closeGently();
      return;
    }
    if (!exchange.requestComplete) {
      // The rest of a body that nobody wants: read on for a while, so that the connection can be used again.
      this.#discarded = 0;
      this.#phaseDeadlineMs = monotonicMs() + this.#listener.settings.bodyTimeoutMs;
      this.arm();
      this.#updateReading();
      return;
    }
    this.#next();
  }

  // -- MessageHandler -------------------------------------------------------------------------------------------

  onMessageBegin(): void {
    if (this.#deaf) return;
    this.#receiving = new HttpExchange(this);
    this.#headRead = false;
    if (this.#isFree) {
      this.#phaseDeadlineMs = this.#receiving.beganMs + this.#listener.settings.headTimeoutMs;
      this.arm();
    }
  }

  onHead(head: MessageHead): boolean {
    const exchange = this.#receiving;
    if (exchange === null) return false;
    this.#headRead = true;
    const { settings } = this.#listener;
    const refusal = this.#parts.read(head, settings.headLimits) ?? (this.#otherProtocol.isOf(head) ? VERSION : null);
    exchange.takeHead(head, this.#parts);
    this.#parts.forgetTarget();
    const { trustedProxies } = this.pipeline.snapshot;
    exchange.clientAddress = this.peerAddress;
    if (trustedProxies !== null && trustedProxies.contains(this.peerAddress)) {
      exchange.peerTrusted = true;
      exchange.clientAddress = clientAddress(this.peerAddress, head.pairs, trustedProxies);
    }
    if (refusal !== null) this.#refuseHead(exchange, refusal);
    else if (this.#parts.contentLength > settings.bodyBytes) this.#refuseHead(exchange, BODY_TOO_LARGE);
    this.#takeTurn(exchange);
    return false;
  }

  onBody(chunk: Buffer | string): void {
    const exchange = this.#receiving;
    if (exchange === null || this.#deaf) return;
    if (exchange.totalBytesIn + chunk.length > this.#listener.settings.bodyBytes && exchange.preRefusal === null) {
      this.#refuseBody(exchange, BODY_TOO_LARGE);
      return;
    }
    exchange.onClientBody(chunk);
    if (exchange.ended && this.#current !== exchange) {
      this.#discarded += chunk.length;
      if (this.#discarded > DISCARD_BYTES) this.#closeGently();
    }
    if (!this.#bodyHeld && this.#current === exchange) this.#phaseDeadlineMs = monotonicMs() + this.#listener.settings.bodyTimeoutMs;
    if (this.#current === null) this.arm();
  }

  onMessageComplete(trailers: string[] | null): void {
    const exchange = this.#receiving;
    if (exchange === null) return;
    this.#receiving = null;
    if (trailers !== null && trailers.length > this.#listener.settings.headLimits.fields * 2 && !this.#deaf) {
      this.#refuseBody(exchange, TOO_MANY_TRAILERS);
      return;
    }
    if (exchange === this.#current || exchange.ended) this.#phaseDeadlineMs = Number.POSITIVE_INFINITY;
    exchange.onClientEnd(trailers);
    if (!exchange.keepAlive) this.#deaf = true;
    if (this.#current === null && exchange.ended) this.#next();
    else this.arm();
  }

  // -- reading --------------------------------------------------------------------------------------------------

  #read(bytes: Buffer, count: number): void {
    if (this.#deaf) return;
    if (this.#requestsEnd !== null && this.socket.bytesRead - this.socket.readableLength - count >= this.#requestsEnd) {
      if (this.#receiving === null) return;
      this.#receiving.keepAlive = false;
    }
    if (count <= PIECE_BYTES && this.#unparsed.isEmpty && this.#takesMore) this.#parse(bytes, count);
    else this.#unparsed.keep(bytes.subarray(0, count));
    this.#updateReading();
    this.#unparsed.own();
  }

  /** Each message that is wholly there; of others each head by itself, and each body, or what is there of it. */
  #parse(bytes: Buffer, count: number): void {
    for (let at = 0; at < count && !this.#deaf;) {
      const taken = this.#parser.takeWhole(bytes, at, count);
      at += taken === 0 ? this.#parsePart(bytes.subarray(at, count)) : taken;
    }
    if (this.#current === null && this.#queue.length > 0) this.#next();
  }

  /** Answers how much of `rest` that was. */
  #parsePart(rest: Buffer): number {
    const isBody = this.#receiving !== null && this.#headRead;
    const bodyLeft = this.#bodyBytesLeft;
    const end = bodyLeft > 0 ? bodyLeft : isBody ? this.#otherProtocol.bodyEnd(rest) : this.#otherProtocol.headEnd(rest);
    const part = end < rest.length ? rest.subarray(0, end) : rest;
    if (bodyLeft > 0) {
      this.#execute(part);
      return part.length;
    }
    this.#otherProtocol.look(part, !isBody);
    this.#execute(part);
    const headPending = this.#receiving !== null && !this.#headRead;
    this.#otherProtocol.parsed(headPending, this.#receiving !== null && this.#bodyBytesLeft <= 0);
    this.#boundHead(headPending ? part.length : 0);
    return part.length;
  }

  /** The parser counts a head's bytes, but for the spaces in its request line. @param pendingBytes read of a head that is not whole */
  #boundHead(pendingBytes: number): void {
    this.#headBytes = pendingBytes === 0 ? 0 : this.#headBytes + pendingBytes;
    if (this.#headBytes <= this.#listener.settings.headBytes + READ_BYTES) return;
    this.#parserFailed(Object.assign(new Error('the head is too large'), { code: 'HPE_HEADER_OVERFLOW', reason: 'Header overflow', bytesParsed: 0 }));
  }

  #execute(piece: Buffer): void {
    const result = this.#parser.execute(piece);
    if (typeof result !== 'number') this.#parserFailed(result);
    else if (result < piece.length) this.#deaf = true;
  }

  #parseOn(): void {
    this.#parsing = true;
    while (!this.#unparsed.isEmpty && !this.#deaf && this.#takesMore) {
      const piece = this.#unparsed.take(this.#bodyBytesLeft);
      this.#parse(piece, piece.length);
    }
    this.#parsing = false;
    if (this.#deaf) this.#unparsed.drop();
  }

  /** Of the body being read, as its Content-Length says. */
  get #bodyBytesLeft(): number {
    return this.#receiving !== null && this.#headRead ? this.#parts.contentLength - this.#receiving.totalBytesIn : 0;
  }

  #parserFailed(error: ParserError): void {
    // What comes after a last request is nobody's.
    if (this.#deaf) return;
    this.#deaf = true;
    if (error.code === 'HPE_CLOSED_CONNECTION') {
      // its trailers said that it was the last
      if (this.isIdle) this.#closeGently();
      return;
    }
    const refusal = refusalOfParserError(error.code, error.reason);
    const exchange = this.#receiving ?? new HttpExchange(this);
    this.#receiving = null;
    exchange.keepAlive = false;
    if (exchange.ended) {
      // Answered before its body's end: what is wrong with the rest ends the connection and nothing else.
      if (this.#current === null) this.#closeGently();
      return;
    }
    if (this.#headRead && (exchange === this.#current || this.#queue.includes(exchange))) {
      // The head was good and the body is not.
      if (exchange === this.#current && !exchange.ended) exchange.refuse(refusal);
      else exchange.preRefusal = refusal;
      return;
    }
    exchange.clientAddress = this.peerAddress;
    exchange.preRefusal = refusal;
    this.#takeTurn(exchange);
  }

  #refuseHead(exchange: HttpExchange, refusal: Refusal): void {
    exchange.preRefusal = refusal;
    exchange.keepAlive = false;
    this.#deaf = true;
  }

  /** The head was good, and the rest is more than a limit allows. */
  #refuseBody(exchange: HttpExchange, refusal: Refusal): void {
    this.#deaf = true;
    exchange.keepAlive = false;
    if (exchange.ended) {
      if (this.#current === null) this.#closeGently();
    } else if (exchange === this.#current) exchange.refuse(refusal);
    else exchange.preRefusal = refusal;
  }

  /** Nothing waits for its turn, or for an upstream that takes no more. */
  get #takesMore(): boolean {
    return !this.#bodyHeld && this.#queue.length === 0 && (this.#receiving === null || this.#current === null || this.#receiving === this.#current);
  }

  #updateReading(): void {
    if (!this.#unparsed.isEmpty && !this.#parsing) this.#parseOn();
    this.#pace();
  }

  /** Reads as far ahead as it may. */
  #pace(): void {
    // while draining, what comes now ends a request that was begun before, or is nobody's: not before that one's turn
    const read = this.#requestsEnd === null ? !this.#unparsed.isFull : this.#unparsed.isEmpty && this.#takesMore;
    if (read === this.#reading || this.socket.destroyed) return;
    this.#reading = read;
    if (read) this.socket.resume();
    else this.socket.pause();
  }

  // -- turns ----------------------------------------------------------------------------------------------------

  /** No request is ahead of the one being read, and the client takes its answers: else one could make us hold answers without end. */
  get #isFree(): boolean {
    return this.#current === null && this.#queue.length === 0 && !this.socket.writableNeedDrain;
  }

  #takeTurn(exchange: HttpExchange): void {
    this.#listener.onServing(this);
    // While draining, whether it is the last is known only when the piece is parsed; a refusal would be made before.
    if (this.#isFree && !this.isDraining) {
      this.#start(exchange);
      return;
    }
    this.#queue.push(exchange);
    if (this.#current === null) {
      this.#phaseDeadlineMs = Number.POSITIVE_INFINITY;
      this.arm();
    }
  }

  #start(exchange: HttpExchange): void {
    this.#current = exchange;
    this.#phaseDeadlineMs = exchange.requestComplete || !exchange.hasBody
      ? Number.POSITIVE_INFINITY : monotonicMs() + this.#listener.settings.bodyTimeoutMs;
    if (!this.#listener.answersHealth(exchange)) this.pipeline.dispatch(exchange);
    this.arm();
  }

  #next(): void {
    if (this.#queue.length > 0) {
      if (this.socket.writableNeedDrain) {
        this.#phaseDeadlineMs = Number.POSITIVE_INFINITY;
        this.arm();
        return;
      }
      this.#start(this.#queue.shift() as HttpExchange);
      this.#updateReading();
      return;
    }
    if (this.#deaf) {
      this.#closeGently();
      return;
    }
    const nowMs = monotonicMs();
    // also with a part of a head: who sends no more of it holds a place as others do
    this.#listener.onIdle(this, nowMs);
    const { settings } = this.#listener;
    if (this.#receiving === null) {
      const quiet = this.isDraining ? this.#listener.drainQuietMs : settings.keepAliveTimeoutMs;
      this.#phaseDeadlineMs = nowMs + quiet;
    } else {
      // It was not read while the answer ahead was under way: its time begins now.
      this.#phaseDeadlineMs = nowMs + settings.headTimeoutMs;
    }
    this.arm();
    this.#updateReading();
  }

  #late(): void {
    const current = this.#current;
    if (current !== null) {
      current.keepAlive = false;
      if (current.ended) {
        this.socket.destroy();
        return;
      }
      this.#deaf = true;
      current.fail('request_timeout', 'request_timeout', SLOW_REQUEST.detail);
      return;
    }
    const receiving = this.#receiving;
    if (receiving !== null && !receiving.ended && !this.#deaf) {
      this.#deaf = true;
      this.#receiving = null;
      receiving.keepAlive = false;
      receiving.clientAddress = this.peerAddress;
      receiving.preRefusal = SLOW_REQUEST;
      this.#start(receiving);
      return;
    }
    if (this.#closing || receiving !== null) this.socket.destroy();
    else this.#closeGently();
  }

  /** Our side ends; what the client still sends is read and thrown away, for a moment. */
  #closeGently(): void {
    this.#deaf = true;
    if (this.#closing) return;
    this.#closing = true;
    this.#phaseDeadlineMs = Number.POSITIVE_INFINITY;
    this.#expectDrain();
    this.arm();
    this.#reading = true;
    this.socket.resume();
    // What a slow client has not taken yet has the time of a write; only then does the lingering begin.
    this.socket.end(() => {
      this.#taking.end();
      this.#phaseDeadlineMs = monotonicMs() + LINGER_MS;
      this.arm();
    });
  }

  #expectDrain(): void {
    if (this.#taking.begin(this.socket, monotonicMs(), this.#listener.settings.writeTimeoutMs)) this.arm();
  }

  #drained(): void {
    if (this.#closing) return;
    this.#taking.end();
    this.arm();
    if (this.#current !== null) this.#current.onClientDrain();
    else if (this.#queue.length > 0) this.#next();
  }

  /** The client has ended its side: as nginx does, that ends what it has not got yet. */
  #clientEnded(): void {
    const current = this.#current;
    if (current === null && this.#queue.length === 0) this.#closeGently();
    else if (current !== null && current.ended) {
      // Its answer is on the way, and is the last.
      current.keepAlive = false;
    } else this.socket.destroy();
  }

  #closed(): void {
    this.#deaf = true;
    this.#listener.deadlines.remove(this);
    this.#parser.close();
    this.#unparsed.drop();
    const begun = [this.#current, ...this.#queue, this.#receiving];
    this.#current = null;
    this.#queue.length = 0;
    this.#receiving = null;
    for (const exchange of begun) {
      if (exchange === null || exchange.ended) continue;
      if (this.#listener.gaveUp) exchange.end('draining');
      else exchange.onClientGone();
    }
    this.#listener.onClosed(this);
  }
}
