/**
 * One connection to a target: one request at a time on it, answers parsed as they come. It goes back to its pool only when the request
 * was wholly sent, the answer wholly read, nothing came behind it, and the upstream keeps it open.
 */
import net from 'node:net';
import tls from 'node:tls';
import { monotonicMs, type Deadlined, type Deadlines } from '../deadlines.js';
import { MessageParser, type MessageHandler, type MessageHead } from '../http1/message-parser.js';
import { DirectWriter, readDirect, sharedRead } from '../http1/plain-socket.js';
import type { TargetAddress } from './target-address.js';

/** Head of an answer: status line and fields together, bytes. */
const MAX_ANSWER_HEAD = 64 * 1024;
/** llhttp goes by either. */
const CONNECTION = /^(?:proxy-)?connection$/i;

/**
 * Why an attempt failed. `refused` and `connect_timeout`: nothing was sent, another target may be tried. `stale`: a pooled connection
 * died before a byte of the answer; the request may have been taken. `broken`: the answer was invalid or cut. `timeout`: it did not come.
 */
export type AttemptFailure = 'refused' | 'connect_timeout' | 'stale' | 'broken' | 'timeout';

/** The target, as its connections see it. */
export interface ConnectionOwner {
  readonly address: TargetAddress;
  readonly headersTimeoutMs: number;
  readonly idleTimeoutMs: number;
  onConnected(connection: UpstreamConnection): void;
  /** It has served a request, and may serve another. */
  onIdle(connection: UpstreamConnection): void;
  onConnectFailed(failure: AttemptFailure, detail: string): void;
  onGone(connection: UpstreamConnection, wasConnected: boolean): void;
}

/** The side that made the request. */
export interface UpstreamSink {
  /** Writes the head, and what is there of the body, on the connection. */
  sendRequest(connection: UpstreamConnection): void;
  onAnswerInformational(head: MessageHead): void;
  /** Answers true if the answer has no body whatever its head says (HEAD). */
  onAnswerHead(head: MessageHead): boolean;
  onAnswerBody(chunk: Buffer | string): void;
  onAnswerEnd(trailers: string[] | null): void;
  /** All that one read brought has been told. */
  onAnswerRead(): void;
  /** The connection takes body again. */
  onRequestDrain(): void;
  onAttemptFailed(failure: AttemptFailure, detail: string): void;
}

export class UpstreamConnection implements MessageHandler, Deadlined {
  deadlineMs = Number.POSITIVE_INFINITY;
  deadlineSlot = -1;
  readonly target: ConnectionOwner;
  readonly #deadlines: Deadlines;
  readonly #socket: net.Socket;
  readonly #parser: MessageParser;
  #sink: UpstreamSink | null = null;
  /** From when it is connected. */
  #writer: DirectWriter | null = null;
  #connected = false;
  #served = 0;
  #requestEnded = false;
  #answerBegun = false;
  #answerEnded = false;
  #informational = false;
  #reusable = false;
  #surplus = false;
  #gone = false;

  constructor(target: ConnectionOwner, deadlines: Deadlines, connectTimeoutMs: number) {
    this.target = target;
    this.#deadlines = deadlines;
    this.#parser = new MessageParser('response', this, MAX_ANSWER_HEAD);
    const { address } = target;
    const onRead = (bytes: Buffer, count: number): void => { this.#read(bytes, count); };
    const socket = address.tls
      ? tls.connect({ host: address.host, port: address.port, ALPNProtocols: ['http/1.1'], ...(net.isIP(address.host) === 0 ? { servername: address.host } : {}) })
      : net.connect({ host: address.host, port: address.port, noDelay: true, onread: sharedRead(onRead) });
    if (address.tls) socket.setNoDelay(true);
    this.#socket = socket;
    this.deadlineMs = monotonicMs() + connectTimeoutMs;
    deadlines.add(this);
    socket.once(address.tls ? 'secureConnect' : 'connect', () => {
      this.#connected = true;
      this.#writer = new DirectWriter(socket);
      if (!address.tls) readDirect(socket, onRead);
      this.deadlineMs = Number.POSITIVE_INFINITY;
      target.onConnected(this);
    });
    if (address.tls) socket.on('data', (chunk: Buffer) => { onRead(chunk, chunk.length); });
    socket.on('end', () => { this.#ended(); });
    socket.on('drain', () => {
      if (this.#requestEnded) return;
      // An answer that has begun meanwhile is held to its idle time.
      this.deadlineMs = this.#answerBegun ? monotonicMs() + target.idleTimeoutMs : Number.POSITIVE_INFINITY;
      this.#sink?.onRequestDrain();
    });
    socket.on('error', (error: NodeJS.ErrnoException) => { this.#fail(this.#connected ? 'broken' : 'refused', error.code ?? error.message); });
    socket.on('close', () => { this.#fail(this.#connected ? 'broken' : 'refused', 'closed'); });
  }

  /** True if it has carried a request before: its upstream may be closing it just now. */
  get isReused(): boolean {
    return this.#served > 1;
  }

  /** Gives it a request. Only when connected and idle. */
  start(sink: UpstreamSink): void {
    this.#sink = sink;
    this.#served++;
    this.#requestEnded = false;
    this.#answerBegun = false;
    this.#answerEnded = false;
    this.#reusable = false;
    sink.sendRequest(this);
  }

  /** False: wait for onRequestDrain before more. */
  write(bytes: Buffer | string): boolean {
    const more = (this.#writer as DirectWriter).write(bytes);
    if (!more) this.deadlineMs = monotonicMs() + this.target.idleTimeoutMs;
    return more;
  }

  cork(): void {
    this.#socket.cork();
  }

  uncork(): void {
    this.#socket.uncork();
  }

  /** The request is wholly written: the answer's head is due within the headers time-out. */
  requestEnded(): void {
    this.#requestEnded = true;
    // while nothing is read, the answer may lie there already
    if (!this.#answerBegun && !this.#socket.isPaused()) this.deadlineMs = monotonicMs() + this.target.headersTimeoutMs;
  }

  /** The reader downstream is slow: stop reading, and do not hold the upstream to its idle time. */
  pause(): void {
    this.#socket.pause();
    this.deadlineMs = Number.POSITIVE_INFINITY;
  }

  resume(): void {
    if (this.#gone) return;
    this.#socket.resume();
    const { idleTimeoutMs, headersTimeoutMs } = this.target;
    // paused by informational answers, it is held to what it was before
    this.deadlineMs = this.#answerBegun ? monotonicMs() + idleTimeoutMs : this.#requestEnded ? monotonicMs() + headersTimeoutMs : Number.POSITIVE_INFINITY;
  }

  /** Ends it without telling the sink: the request is given up, or the pool lets it go. */
  abandon(): void {
    this.#sink = null;
    this.#destroy();
  }

  onDeadline(): void {
    this.#fail(this.#connected ? 'timeout' : 'connect_timeout', this.#connected ? 'no answer in time' : 'no connection in time');
  }

  #read(bytes: Buffer, count: number): void {
    if (this.#gone) return;
    if (this.#sink === null) {
      // Bytes nobody asked for, on an idle connection.
      this.#destroy();
      return;
    }
    const taken = this.#parser.takeWhole(bytes, 0, count);
    const result = taken === count ? 0 : this.#parser.execute(bytes.subarray(taken, count));
    if (typeof result !== 'number' || taken + result < count) this.#surplus = true;
    const sink = this.#sink as UpstreamSink | null;
    if (sink !== null && !this.#answerEnded && this.#surplus) {
      this.#fail('broken', typeof result === 'number' ? 'bytes that belong to no answer' : `invalid answer: ${result.reason}`);
      return;
    }
    if (this.#answerBegun && !this.#answerEnded && !this.#socket.isPaused()) this.deadlineMs = monotonicMs() + this.target.idleTimeoutMs;
    sink?.onAnswerRead();
    if (this.#answerEnded) this.#finishAnswer();
  }

  /** The answer is read: back to the pool, or away. */
  #finishAnswer(): void {
    this.#sink = null;
    this.deadlineMs = Number.POSITIVE_INFINITY;
    if (this.#gone) return;
    const { isEmpty } = this.#writer as DirectWriter;
    // answered before all of the request was out: what another would ask stood behind the rest
    if (this.#surplus || !this.#reusable || !this.#requestEnded || !isEmpty || this.#socket.isPaused()) this.#destroy();
    else this.target.onIdle(this);
  }

  #ended(): void {
    if (this.#gone) return;
    if (this.#sink === null || !this.#answerBegun) {
      this.#fail('broken', 'closed before an answer');
      return;
    }
    const error = this.#parser.finish();
    if (error !== null || !this.#answerEnded) {
      this.#fail('broken', 'cut before the end of its answer');
      return;
    }
    const sink = this.#sink as UpstreamSink | null;
    this.#reusable = false;
    sink?.onAnswerRead();
    this.#finishAnswer();
  }

  #fail(failure: AttemptFailure, detail: string): void {
    if (this.#gone) return;
    const sink = this.#sink;
    const stale = failure === 'broken' && this.isReused && !this.#answerBegun;
    this.#sink = null;
    const wasConnected = this.#connected;
    this.#destroy();
    if (!wasConnected) this.target.onConnectFailed(failure === 'refused' ? 'refused' : 'connect_timeout', detail);
    else sink?.onAttemptFailed(stale ? 'stale' : failure, detail);
  }

  #destroy(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#deadlines.remove(this);
    this.#parser.close();
    this.#socket.destroy();
    this.target.onGone(this, this.#connected);
  }

  // -- MessageHandler: called by the parser ---------------------------------------------------------------------

  onMessageBegin(): void {
    if (this.#answerEnded) this.#surplus = true;
  }

  onHead(head: MessageHead): boolean {
    if (this.#answerEnded || this.#sink === null) return true;
    if (head.status >= 100 && head.status < 200) {
      this.#informational = true;
      // 101 was never asked for: Upgrade is not sent on.
      if (head.status === 101) this.#surplus = true;
      else this.#sink.onAnswerInformational(head);
      return true;
    }
    if (head.status < 100) {
      this.#surplus = true;
      return true;
    }
    this.#answerBegun = true;
    this.#reusable = head.keepAlive;
    return this.#sink.onAnswerHead(head);
  }

  onBody(chunk: Buffer | string): void {
    if (!this.#answerEnded) this.#sink?.onAnswerBody(chunk);
  }

  onMessageComplete(trailers: string[] | null): void {
    if (this.#informational) {
      this.#informational = false;
      return;
    }
    if (this.#answerEnded || this.#surplus) return;
    this.#answerEnded = true;
    // llhttp takes nothing behind trailers that say close, and does not tell
    if (trailers?.some((name, i) => i % 2 === 0 && CONNECTION.test(name)) === true) this.#reusable = false;
    this.#sink?.onAnswerEnd(trailers);
  }
}
