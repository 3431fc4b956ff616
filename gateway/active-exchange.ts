/**
 * A request under way, from the first byte to the release of its answer. The listener's subclass speaks to the client; this half speaks
 * to the pipeline, the upstream and the record. One object a request, of one fixed shape; the event is encoded straight from it.
 */
import type { ErrorCode } from '../errors/codes.js';
import type { CompiledApp, CompiledRoute, Snapshot } from './config/snapshot.js';
import { monotonicMs } from './deadlines.js';
import { KINDS, METHODS, type EventFacts, type Method } from './events/event.js';
import { OUTCOMES, type Outcome } from './events/outcomes.js';
import type { LimitAnswer, PolicyExchange, Refusal } from './exchange.js';
import { lastChunk } from './http1/fields.js';
import type { MessageHead } from './http1/message-parser.js';
import type { Pipeline } from './pipeline.js';
import type { Target } from './upstream/target.js';
import type { TargetAddress } from './upstream/target-address.js';
import type { AttemptFailure, UpstreamConnection, UpstreamSink } from './upstream/upstream-connection.js';

/** After this long an answer under way writes its row (`requests` 1); the rest of it follows as an interim row. ms. */
export const INTERIM_AFTER_MS = 10_000;

/** Body bytes taken from the client before an upstream connection takes them; past this the client is not read. */
const EARLY_BODY_BYTES = 64 * 1024;

/** Methods that may be sent again on another connection without harm (RFC 9110 9.2.2). */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

export abstract class ActiveExchange implements PolicyExchange, EventFacts, UpstreamSink {
  readonly pipeline: Pipeline;
  readonly ordinal: number;
  /** Monotonic ms of the request's first byte. */
  readonly beganMs: number;

  // -- what was asked
  snapshot: Snapshot;
  method = '';
  path = '';
  query = '';
  host = '';
  /** The Host field as received. */
  authority = '';
  rawHeaders: readonly string[] = [];
  clientAddress = '';
  /** The peer is a trusted proxy: its X-Forwarded-* fields are believed. */
  peerTrusted = false;
  /** The request announces a body. */
  hasBody = false;
  expectContinue = false;
  /** The whole request has been read from the client. */
  requestComplete = false;

  // -- what was decided
  route: CompiledRoute;
  app: CompiledApp | null = null;
  credential: 'none' | 'api_key' | 'jwt' = 'none';
  claimHeaders: string[] | null = null;
  limitAnswer: LimitAnswer | null = null;
  quotaKey: string | null = null;
  /** Set before the pipeline sees it: what the listener itself found wrong. */
  preRefusal: Refusal | null = null;

  // -- the upstream
  target: Target | null = null;
  attempts = 0;
  #tried: Target[] | null = null;
  #lastFailure: AttemptFailure | null = null;
  #waiting = false;
  #connection: UpstreamConnection | null = null;
  #bodySent = false;
  #requestSent = false;
  #earlyBody: Buffer[] | null = null;
  #earlyBytes = 0;
  #trailers: string[] | null = null;
  #upstreamBeganMs = 0;
  #upstreamPaused = false;

  // -- what happened
  timeMs = 0;
  durationUs = 0;
  upstreamUs = 0;
  bytesIn = 0;
  bytesOut = 0;
  status = 0;
  methodId = 0;
  protocolId = 0;
  outcomeId = 0;
  kindId: number = KINDS.request;
  requests: 0 | 1 = 1;
  counted: 0 | 1 = 0;
  billable: 0 | 1 = 0;
  traceId = '';
  client = '';
  recordedPath = '';
  /** The answer's head has gone out, or is held back for good. */
  answering = false;
  /** The last row is written: nothing more may be. */
  recorded = false;
  /** It passed every policy. */
  admitted = false;
  /** Only closing marks the end of its answer (HTTP/1.0 without a length). */
  unframed = false;
  /** Monotonic ms; Infinity until it is let through. */
  totalDeadlineMs = Number.POSITIVE_INFINITY;
  /** The answer had begun when it failed: it must not look whole. */
  #cut = false;
  /** Bytes already counted by an interim row. */
  #bytesInRecorded = 0;
  #bytesOutRecorded = 0;

  constructor(pipeline: Pipeline) {
    this.pipeline = pipeline;
    this.snapshot = pipeline.snapshot;
    this.route = this.snapshot.noRoute;
    this.ordinal = pipeline.recorder.nextOrdinal();
    this.beganMs = monotonicMs();
  }

  get versionLabel(): Uint8Array { return this.snapshot.versionLabel; }
  get routeLabel(): Uint8Array { return this.route.label; }
  get appLabel(): Uint8Array { return this.app === null ? this.pipeline.noLabel : this.app.label; }
  get appName(): string { return this.app === null ? '' : this.app.name; }
  get targetLabel(): Uint8Array { return this.target === null ? this.pipeline.noLabel : this.target.label; }
  get requestId(): string { return this.pipeline.requestId(this.ordinal); }

  setMethod(method: string): void {
    this.method = method;
    this.methodId = METHODS[method as Method] ?? METHODS.other;
  }

  // -- the client's side, by the listener -----------------------------------------------------------------------

  /** An answer of the gateway's own: a problem. */
  protected abstract answerProblem(status: number, code: ErrorCode, detail: string): void;
  /** Begins the answer; `hasBody` false: HEAD, 204, 304. `contentLength` -1: not known. */
  protected abstract answerHead(head: MessageHead): boolean;
  protected abstract answerInformational(head: MessageHead): void;
  /** False: the client is slow, wait for `onClientDrain`. */
  protected abstract answerBody(chunk: Buffer): boolean;
  /** The last piece is in hand, and is held until `release`. */
  protected abstract answerEnd(trailers: string[] | null): void;
  /** What can go now goes. */
  protected abstract answerFlush(): boolean;
  /** Gives up an answer not begun, so that another can be made. */
  protected abstract answerDiscard(): void;
  protected abstract sendContinue(): void;
  protected abstract pauseClient(): void;
  protected abstract resumeClient(): void;
  /** Lets the held piece go; `truncated`: the answer was cut upstream, so the connection is reset, never ended cleanly. */
  abstract letGo(truncated: boolean): void;
  /** It is let through: `totalDeadlineMs` holds from now on. */
  abstract onAdmitted(): void;
  /** The client's address as the privacy setting keeps it. */
  abstract recordedClient(): string;
  /** Writes head and fields for the upstream. */
  protected abstract upstreamHead(address: TargetAddress): string;
  /** The body goes upstream in chunks. */
  protected abstract get chunkedUpstream(): boolean;

  // -- the way in: called by the pipeline -----------------------------------------------------------------------

  refuse(refusal: Refusal): void {
    const { code, outcome, detail } = refusal;
    this.fail(outcome, code, detail);
  }

  /** Ends the exchange with a problem of our own; if the answer has begun, cuts it. */
  fail(outcome: Outcome, code: ErrorCode, detail: string): void {
    if (this.recorded) return;
    this.#dropUpstream();
    if (this.answering) {
      this.#cut = true;
      this.record(outcome);
      return;
    }
    this.answerDiscard();
    this.answerProblem(this.pipeline.problemStatus(code), code, detail);
    this.record(outcome);
  }

  /** Tries the next target. */
  attempt(): void {
    const service = this.route.service;
    const target = service.targets.pick(monotonicMs(), this.#tried);
    if (target === null) {
      if (this.attempts === 0) this.fail('no_healthy_target', 'no_healthy_target', `every target of ${service.name} is out`);
      else this.fail('upstream_unavailable', 'upstream_unavailable', `no target of ${service.name} could be reached`);
      return;
    }
    if (this.#lastFailure !== null) this.pipeline.metrics.retry(service.name, this.#lastFailure);
    this.attempts++;
    this.target = target;
    this.#waiting = true;
    target.acquire(this);
  }

  // -- the client's body ----------------------------------------------------------------------------------------

  onClientBody(chunk: Buffer): void {
    this.bytesIn += chunk.length;
    if (this.recorded || this.preRefusal !== null) return;
    const connection = this.#connection;
    if (connection === null) {
      (this.#earlyBody ??= []).push(chunk);
      this.#earlyBytes += chunk.length;
      if (this.#earlyBytes > EARLY_BODY_BYTES) this.pauseClient();
      return;
    }
    if (!this.#sendBody(connection, chunk)) this.pauseClient();
  }

  onClientEnd(trailers: string[] | null): void {
    this.requestComplete = true;
    this.#trailers = trailers;
    const connection = this.#connection;
    if (connection !== null && !this.#requestSent) this.#endRequest(connection);
  }

  /** The client is gone before its answer's end. */
  onClientGone(): void {
    if (this.recorded) return;
    this.#dropUpstream();
    if (!this.answering) this.status = 0;
    this.record('client_aborted');
  }

  onClientDrain(): void {
    if (!this.#upstreamPaused) return;
    this.#upstreamPaused = false;
    this.#connection?.resume();
  }

  // -- UpstreamSink ---------------------------------------------------------------------------------------------

  sendRequest(connection: UpstreamConnection): void {
    this.#waiting = false;
    this.#connection = connection;
    this.#requestSent = false;
    this.#upstreamBeganMs = monotonicMs();
    const head = this.upstreamHead(connection.target.address);
    if (!this.hasBody) {
      connection.write(head);
      this.#requestSent = true;
      connection.requestEnded();
      return;
    }
    if (this.expectContinue) {
      this.expectContinue = false;
      this.sendContinue();
    }
    connection.cork();
    let more = connection.write(head);
    if (this.#earlyBody !== null) {
      for (const chunk of this.#earlyBody) more = this.#sendBody(connection, chunk);
      this.#earlyBody = null;
      this.#earlyBytes = 0;
    }
    if (this.requestComplete) this.#endRequest(connection);
    connection.uncork();
    if (more && !this.requestComplete) this.resumeClient();
  }

  onRequestDrain(): void {
    if (!this.recorded) this.resumeClient();
  }

  onAnswerInformational(head: MessageHead): void {
    if (!this.recorded && !this.answering) this.answerInformational(head);
  }

  onAnswerHead(head: MessageHead): boolean {
    this.status = head.status;
    return this.answerHead(head);
  }

  onAnswerBody(chunk: Buffer): void {
    if (this.recorded) return;
    this.bytesOut += chunk.length;
    this.answerBody(chunk);
  }

  onAnswerEnd(trailers: string[] | null): void {
    if (this.recorded) return;
    this.upstreamUs += Math.round((monotonicMs() - this.#upstreamBeganMs) * 1000);
    this.#connection = null;
    this.answerEnd(trailers);
    this.record(this.unframed ? 'unframed' : 'answered');
  }

  onAnswerRead(): void {
    if (this.recorded || this.#connection === null) return;
    if (!this.answerFlush() && !this.#upstreamPaused) {
      this.#upstreamPaused = true;
      this.#connection.pause();
    }
  }

  onAttemptFailed(failure: AttemptFailure, detail: string): void {
    const connection = this.#connection;
    this.#connection = null;
    this.#waiting = false;
    if (this.recorded) return;
    if (connection !== null) this.upstreamUs += Math.round((monotonicMs() - this.#upstreamBeganMs) * 1000);
    switch (failure) {
      case 'refused':
      case 'connect_timeout':
        this.pipeline.log.debug({ target: this.target?.url, failure, detail, request_id: this.requestId }, 'attempt failed');
        (this.#tried ??= []).push(this.target as Target);
        this.#lastFailure = failure;
        this.attempt();
        return;
      case 'stale':
        // The upstream closed a kept connection as we wrote on it. Only what may be repeated, and is whole in hand, goes again.
        if (IDEMPOTENT.has(this.method) && !this.#bodySent && !this.answering && this.attempts < 3) {
          this.#lastFailure = failure;
          this.attempt();
          return;
        }
        this.fail('upstream_broken', 'upstream_broken', 'the upstream closed the connection before it answered');
        return;
      case 'broken':
        this.fail('upstream_broken', 'upstream_broken', detail);
        return;
      case 'timeout':
        this.fail('upstream_timeout', 'upstream_timeout', `the upstream gave ${this.answering ? 'nothing more' : 'no answer'} in time`);
        return;
    }
  }

  // -- the record -----------------------------------------------------------------------------------------------

  /** Writes the row; the held piece goes when it is in the spool. The last thing that happens to an exchange but its release. */
  record(ended: Outcome): void {
    // A client that breaks or holds back its own body after the upstream was given the request has called it, and left.
    const outcome = this.#upstreamBeganMs > 0 && (ended === 'malformed_request' || ended === 'request_timeout') ? 'client_aborted' : ended;
    this.recorded = true;
    const route = this.route;
    const id = OUTCOMES[outcome].id;
    this.outcomeId = id;
    const interim = this.kindId === KINDS.interim;
    // A later row carries its own time: what it adds belongs to no day that may be closed by now.
    if (interim) this.timeMs = Date.now();
    this.#measure();
    if (!interim && this.admitted) {
      this.counted = route.service.counted[id] as 0 | 1;
      this.billable = route.service.billable[id] as 0 | 1;
    }
    this.pipeline.onRecorded(this, interim);
  }

  /** Called each sweep by the listener: an answer that streams for long is counted now, not when it ends. */
  recordInterim(nowMs: number): void {
    if (this.recorded || !this.answering || this.kindId !== KINDS.request || nowMs - this.beganMs < INTERIM_AFTER_MS) return;
    const id = OUTCOMES.answered.id;
    this.outcomeId = id;
    this.counted = this.route.service.counted[id] as 0 | 1;
    this.billable = this.route.service.billable[id] as 0 | 1;
    this.#measure();
    this.pipeline.onInterim(this);
    this.#bytesInRecorded += this.bytesIn;
    this.#bytesOutRecorded += this.bytesOut;
    this.bytesIn = 0;
    this.bytesOut = 0;
    this.kindId = KINDS.interim;
    this.requests = 0;
    this.counted = 0;
    this.billable = 0;
  }

  get totalBytesIn(): number { return this.#bytesInRecorded + this.bytesIn; }
  get totalBytesOut(): number { return this.#bytesOutRecorded + this.bytesOut; }

  /** Held by the recorder: the row is in the spool. */
  release(): void {
    this.pipeline.onWritten(this);
    this.letGo(this.#cut);
  }

  #measure(): void {
    const nowMs = monotonicMs();
    this.durationUs = Math.max(0, Math.round((nowMs - this.beganMs) * 1000));
    if (this.timeMs === 0) this.timeMs = Date.now();
  }

  #sendBody(connection: UpstreamConnection, chunk: Buffer): boolean {
    this.#bodySent = true;
    if (!this.chunkedUpstream) return connection.write(chunk);
    connection.write(chunk.length.toString(16) + '\r\n');
    connection.write(chunk);
    return connection.write('\r\n');
  }

  #endRequest(connection: UpstreamConnection): void {
    this.#requestSent = true;
    if (this.chunkedUpstream) connection.write(lastChunk(this.#trailers, this.snapshot.identityFields));
    connection.requestEnded();
  }

  /** Lets the upstream go: a request given up aborts it. */
  #dropUpstream(): void {
    if (this.#waiting) {
      this.#waiting = false;
      this.target?.cancel(this);
    }
    const connection = this.#connection;
    if (connection === null) return;
    this.#connection = null;
    this.upstreamUs += Math.round((monotonicMs() - this.#upstreamBeganMs) * 1000);
    connection.abandon();
  }
}
