/**
 * A request under way, from the first byte to the release of its answer. What is known of it is in exchange-facts.ts; this part speaks to
 * the pipeline, the upstream and the record, the listener's subclass to the client. One object a request, of one fixed shape.
 */
import type { ErrorCode } from '../errors/codes.js';
import { monotonicMs } from './deadlines.js';
import { KINDS } from './events/event.js';
import { OUTCOMES, type Outcome } from './events/outcomes.js';
import type { Refusal } from './exchange.js';
import { ExchangeFacts } from './exchange-facts.js';
import { lastChunk } from './http1/fields.js';
import type { MessageHead } from './http1/message-parser.js';
import type { Target } from './upstream/target.js';
import type { TargetAddress } from './upstream/target-address.js';
import type { AttemptFailure, UpstreamConnection, UpstreamSink } from './upstream/upstream-connection.js';

/** After this long an answer under way writes its row (`requests` 1); the rest of it follows as an interim row. ms. */
export const INTERIM_AFTER_MS = 10_000;

/** Body bytes taken from the client before an upstream connection takes them; past this the client is not read. */
const EARLY_BODY_BYTES = 64 * 1024;

/** Methods that may be sent again on another connection without harm (RFC 9110 9.2.2). */
const IDEMPOTENT = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

export abstract class ActiveExchange extends ExchangeFacts implements UpstreamSink {
  #tried: Target[] | null = null;
  #lastFailure: AttemptFailure | null = null;
  #waiting = false;
  #connection: UpstreamConnection | null = null;
  #bodySent = false;
  #requestSent = false;
  #earlyBody: (Buffer | string)[] | null = null;
  #earlyBytes = 0;
  #trailers: string[] | null = null;
  #upstreamBeganMs = 0;
  #upstreamPaused = false;
  /** The answer had begun when it failed: it must not look whole. */
  #cut = false;

  // -- the client's side, by the listener -----------------------------------------------------------------------

  /** An answer of the gateway's own: a problem. */
  protected abstract answerProblem(code: ErrorCode, detail: string): void;
  /** Begins the answer; `hasBody` false: HEAD, 204, 304. `contentLength` -1: not known. */
  protected abstract answerHead(head: MessageHead): boolean;
  protected abstract answerInformational(head: MessageHead): void;
  /** False: the client is slow, wait for `onClientDrain`. */
  protected abstract answerBody(chunk: Buffer | string): boolean;
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
  /** Writes head and fields for the upstream. */
  protected abstract upstreamHead(address: TargetAddress): string;
  /** The body goes upstream in chunks. */
  protected abstract get chunkedUpstream(): boolean;

  // -- the way in: called by the pipeline -----------------------------------------------------------------------

  refuse(refusal: Refusal): void {
    const { code, outcome, detail } = refusal;
    if (!this.ended) {
      this.refusalLabel = refusal.label;
      if (outcome === 'unauthenticated') this.pipeline.wrongCredentials.note(this, refusal);
    }
    this.fail(outcome, code, detail);
  }

  /** Ends the exchange with a problem of our own; if the answer has begun, cuts it. */
  fail(outcome: Outcome, code: ErrorCode, detail: string): void {
    if (this.ended) return;
    this.#dropUpstream();
    if (this.answering) {
      this.#cut = true;
      this.end(outcome);
      return;
    }
    this.answerDiscard();
    this.answerProblem(code, detail);
    this.end(outcome);
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
    if (this.trace !== null) this.trace.attemptBegins(target.url);
    this.#waiting = true;
    target.acquire(this);
  }

  /** An upstream was given the request, or the beginning of it. */
  get wasSent(): boolean { return this.#upstreamBeganMs > 0; }

  /** What upstreams have taken of it until now, the attempt under way included. */
  get upstreamSoFarUs(): number {
    return this.upstreamUs + (this.#connection === null ? 0 : Math.round((monotonicMs() - this.#upstreamBeganMs) * 1000));
  }

  /** The upstream has what there is of the request; the rest is the client's to send. */
  get waitsForClient(): boolean { return this.#connection !== null && !this.#requestSent; }

  // -- the client's body ----------------------------------------------------------------------------------------

  onClientBody(chunk: Buffer | string): void {
    this.bytesIn += chunk.length;
    if (this.ended || this.preRefusal !== null) return;
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
    if (this.ended) return;
    this.#dropUpstream();
    if (!this.answering) this.status = 0;
    this.end('client_aborted');
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
    if (!this.ended) this.resumeClient();
  }

  onAnswerInformational(head: MessageHead): void {
    if (!this.ended && !this.answering) this.answerInformational(head);
  }

  onAnswerHead(head: MessageHead): boolean {
    this.status = head.status;
    if (this.trace !== null) this.trace.answered(head.status);
    return this.answerHead(head);
  }

  onAnswerBody(chunk: Buffer | string): void {
    if (this.ended) return;
    this.bytesOut += chunk.length;
    this.answerBody(chunk);
  }

  onAnswerEnd(trailers: string[] | null): void {
    if (this.ended) return;
    this.upstreamUs += Math.round((monotonicMs() - this.#upstreamBeganMs) * 1000);
    this.#connection = null;
    if (this.trace !== null) this.trace.attemptEnds('');
    this.answerEnd(trailers);
    this.end(this.unframed ? 'unframed' : 'answered');
  }

  onAnswerRead(): void {
    if (this.ended || this.#connection === null) return;
    if (!this.answerFlush() && !this.#upstreamPaused) {
      this.#upstreamPaused = true;
      this.#connection.pause();
    }
  }

  onAttemptFailed(failure: AttemptFailure, detail: string): void {
    const connection = this.#connection;
    this.#connection = null;
    this.#waiting = false;
    if (this.ended) return;
    if (connection !== null) this.upstreamUs += Math.round((monotonicMs() - this.#upstreamBeganMs) * 1000);
    if (this.trace !== null) this.trace.attemptEnds(failure);
    switch (failure) {
      case 'refused':
      case 'connect_timeout':
        this.pipeline.log.debug({ target: this.target?.url, failure, detail, ...this.logNames }, 'attempt failed');
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

  /** Decides how it ended and hands its last row in; the held piece goes when that is in the spool (`release`). */
  end(how: Outcome): void {
    // A client that breaks or holds back its own body after the upstream was given the request has called it, and given it up.
    const outcome = this.wasSent && (how === 'malformed_request' || how === 'request_timeout') ? 'client_aborted' : how;
    this.ended = true;
    const route = this.route;
    const id = OUTCOMES[outcome].id;
    this.outcomeId = id;
    const interim = this.kindId === KINDS.interim;
    // A later row carries its own time: what it adds belongs to no day that may be closed by now.
    if (interim) this.timeMs = Date.now();
    this.measure();
    if (!interim && this.admitted) {
      this.counted = route.service.counted[id] as 0 | 1;
      this.billable = this.#billable(id);
    }
    this.pipeline.onEnded(this, interim);
  }

  /** Called each sweep by the listener: an answer that streams for long is counted now, not when it ends. */
  recordInterim(nowMs: number): void {
    if (this.ended || !this.answering || this.kindId !== KINDS.request || nowMs - this.beganMs < INTERIM_AFTER_MS) return;
    const id = OUTCOMES.answered.id;
    this.outcomeId = id;
    this.counted = this.route.service.counted[id] as 0 | 1;
    this.billable = this.#billable(id);
    this.measure();
    this.pipeline.onInterim(this);
    this.beginInterim();
  }

  #billable(outcomeId: number): 0 | 1 {
    const { billable, billableStatuses } = this.route.service;
    return ((billable[outcomeId] as number) & (billableStatuses[this.status] as number)) as 0 | 1;
  }

  /** Held by the recorder: the row is in the spool. */
  release(): void {
    this.pipeline.onWritten(this);
    this.letGo(this.#cut);
  }

  #sendBody(connection: UpstreamConnection, chunk: Buffer | string): boolean {
    this.#bodySent = true;
    if (!this.chunkedUpstream) return connection.write(chunk);
    connection.write(chunk.length.toString(16) + '\r\n');
    connection.write(chunk);
    return connection.write('\r\n');
  }

  #endRequest(connection: UpstreamConnection): void {
    this.#requestSent = true;
    if (this.chunkedUpstream) connection.write(lastChunk(this.#trailers, this.hopNames, this.snapshot.identityFields));
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
