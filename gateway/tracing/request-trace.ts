/** One request's trace while it runs: its ids, and what its spans will say. Spans are made of it when it has ended, elsewhere. */
import { monotonicMs } from '../deadlines.js';
import { PROTOCOLS } from '../events/event.js';
import { OUTCOMES, type Outcome } from '../events/outcomes.js';
import type { ExchangeFacts } from '../exchange-facts.js';
import { headerValue } from '../exchange.js';
import { randomId } from './random-id.js';
import type { RequestTracing } from './request-tracing.js';
import type { TraceContext } from './trace-context.js';
import type { SampledBy, TracedAttempt, TracedRequest } from './traced-request.js';

/** Texts that clients choose are cut, so that what waits to be exported stays small. */
const MOST_CHARACTERS = 256;
const MOST_PATH = 1024;

const OUTCOME_NAMES = new Map(Object.entries(OUTCOMES).map(([name, { id }]) => [id, name as Outcome]));

interface Attempt {
  readonly spanId: string;
  readonly target: string;
  readonly beganMs: number;
  endedMs: number;
  status: number;
  failure: string;
}

export class RequestTrace {
  readonly #tracing: RequestTracing;
  readonly traceId: string;
  /** Of the server span. */
  readonly #spanId = randomId(8);
  readonly #parentId: string;
  readonly #debug: boolean;
  readonly #state: string;
  /** Decided at its beginning, and told the upstream. */
  readonly sampled: boolean;
  readonly #sampledBy: SampledBy;
  readonly #attempts: Attempt[] = [];

  constructor(tracing: RequestTracing, incoming: TraceContext | null) {
    const continues = incoming !== null && incoming.traceId !== '';
    this.#tracing = tracing;
    this.traceId = continues ? incoming.traceId : randomId(16);
    this.#parentId = incoming?.spanId ?? '';
    this.#debug = incoming?.debug ?? false;
    this.#state = incoming?.state ?? '';
    this.sampled = incoming?.sampled ?? tracing.isWithinRatio(this.traceId);
    this.#sampledBy = incoming?.sampled === true ? 'parent' : 'ratio';
  }

  // -- attempts at upstreams ------------------------------------------------------------------------------------

  attemptBegins(target: string): void {
    if (!this.sampled && !this.#tracing.looksAtTails) return;
    this.#attempts.push({ spanId: randomId(8), target, beganMs: monotonicMs(), endedMs: 0, status: 0, failure: '' });
  }

  answered(status: number): void {
    const attempt = this.#attempts.at(-1);
    if (attempt !== undefined) attempt.status = status;
  }

  attemptEnds(failure: string): void {
    const attempt = this.#attempts.at(-1);
    if (attempt === undefined || attempt.endedMs > 0) return;
    attempt.endedMs = monotonicMs();
    attempt.failure = failure;
  }

  /** B3 fields are ours to write: those of clients go no further. */
  get writesB3(): boolean { return this.#tracing.b3 || this.#tracing.b3multi; }

  /** Lines for the attempt's upstream, each with its CRLF: its parent is the attempt's span, or ours where attempts are not noted. */
  upstreamFields(): string {
    const { traceId, sampled } = this;
    const spanId = this.#attempts.at(-1)?.spanId ?? this.#spanId;
    let lines = `traceparent: 00-${traceId}-${spanId}-${sampled ? '01' : '00'}\r\n`;
    if (this.#state !== '') lines += `tracestate: ${this.#state}\r\n`;
    const { b3, b3multi } = this.#tracing;
    if (b3) lines += `b3: ${traceId}-${spanId}-${this.#debug ? 'd' : sampled ? '1' : '0'}\r\n`;
    // debug stands for sampled: B3 says to send one of them
    if (b3multi) lines += `X-B3-TraceId: ${traceId}\r\nX-B3-SpanId: ${spanId}\r\n${this.#debug ? 'X-B3-Flags: 1' : `X-B3-Sampled: ${sampled ? '1' : '0'}`}\r\n`;
    return lines;
  }

  // -- its end --------------------------------------------------------------------------------------------------

  /** Why it is to be exported, now that it has ended; null: it is not. */
  wantedBy({ outcomeId, status, durationUs }: ExchangeFacts): SampledBy | null {
    if (this.sampled) return this.#sampledBy;
    const { errors, slowerThanUs } = this.#tracing;
    if (errors && (status >= 500 || OUTCOMES[nameOf(outcomeId)].error)) return 'error';
    return durationUs > slowerThanUs ? 'slow' : null;
  }

  /** @param exchange has ended, its duration is measured */
  toTracedRequest(exchange: ExchangeFacts, sampledBy: SampledBy): TracedRequest {
    const { route, beganMs, durationUs } = exchange;
    const outcome = nameOf(exchange.outcomeId);
    // what the request's end cut short
    this.attemptEnds(outcome);
    return {
      traceId: this.traceId, spanId: this.#spanId, parentId: this.#parentId, state: this.#state, sampledBy,
      endMs: Date.now(), durationUs, requestId: exchange.requestId,
      method: exchange.method.slice(0, MOST_CHARACTERS), scheme: 'http', path: route.recordPath === null ? exchange.path.slice(0, MOST_PATH) : '',
      authority: exchange.authority.slice(0, MOST_CHARACTERS), userAgent: (headerValue(exchange.rawHeaders, 'user-agent') ?? '').slice(0, MOST_CHARACTERS),
      protocolVersion: exchange.protocolId === PROTOCOLS['http/1.0'] ? '1.0' : '1.1',
      pattern: route.config?.match.path ?? '', route: route.name, service: route.service.name, app: exchange.appName, configVersion: exchange.snapshot.version,
      status: exchange.status, outcome,
      attempts: this.#attempts.map(({ spanId, target, beganMs: tried, endedMs, status, failure }): TracedAttempt =>
        ({ spanId, target, beganUs: microseconds(tried - beganMs), durationUs: microseconds(endedMs - tried), status, failure })),
    };
  }
}

function microseconds(ms: number): number {
  return Math.max(0, Math.round(ms * 1000));
}

function nameOf(outcomeId: number): Outcome {
  return OUTCOME_NAMES.get(outcomeId) ?? 'internal_error';
}
