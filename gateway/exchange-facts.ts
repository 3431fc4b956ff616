/**
 * What is known of a request: what was asked, what was decided, what happened. Policies see and set it, and its row is encoded straight
 * from it; what makes it happen is in active-exchange.ts.
 */
import type { CompiledApp, CompiledRoute, Snapshot } from './config/snapshot.js';
import { monotonicMs } from './deadlines.js';
import { KINDS, METHODS, PROTOCOLS, type EventFacts, type Method } from './events/event.js';
import type { Label } from './events/labels.js';
import { NOT_REFUSED } from './events/refusals.js';
import type { LimitAnswer, PolicyExchange, Refusal } from './exchange.js';
import type { Pipeline } from './pipeline.js';
import type { RequestTrace } from './tracing/request-trace.js';
import type { Target } from './upstream/target.js';

export abstract class ExchangeFacts implements PolicyExchange, EventFacts {
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
  /** Fields that Connection names, lower case: they end here; null: none. */
  hopNames: Set<string> | null = null;
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
  refusalLabel: Label = NOT_REFUSED;
  /** For the Allow field of a 405; '': it is none. */
  allow = '';
  target: Target | null = null;
  attempts = 0;

  // -- what happened
  timeMs = 0;
  durationUs = 0;
  upstreamUs = 0;
  bytesIn = 0;
  bytesOut = 0;
  status = 0;
  methodId = 0;
  /** Of a request whose head never came whole, too: it is taken for what is spoken here. */
  protocolId: number = PROTOCOLS['http/1.1'];
  outcomeId = 0;
  kindId: number = KINDS.request;
  requests: 0 | 1 = 1;
  counted: 0 | 1 = 0;
  billable: 0 | 1 = 0;
  /** Of the event: '' where the trace is not sampled. */
  traceId = '';
  /** Null: nothing is traced. */
  trace: RequestTrace | null = null;
  /** The answer's head has gone out, or is held back for good. */
  answering = false;
  /** Its end is decided and its last row handed in, which may not be in the spool yet; nothing may follow. */
  ended = false;
  /** It passed every policy. */
  admitted = false;
  /** Only closing marks the end of its answer (HTTP/1.0 without a length). */
  unframed = false;
  /** Monotonic ms; Infinity until it is let through. */
  totalDeadlineMs = Number.POSITIVE_INFINITY;
  #requestId: string | null = null;
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

  get versionLabel(): Label { return this.snapshot.versionLabel; }
  get routeLabel(): Label { return this.route.label; }
  get appLabel(): Label { return this.app === null ? this.pipeline.noLabel : this.app.label; }
  get appName(): string { return this.app === null ? '' : this.app.name; }
  get targetLabel(): Label { return this.target === null ? this.pipeline.noLabel : this.target.label; }
  /** The client's address as the privacy setting keeps it. */
  abstract get client(): string;
  get recordedPath(): string { return this.route.recordPath ?? this.path; }
  get requestId(): string { return this.#requestId ??= this.pipeline.requestId(this.ordinal); }
  /** What a log line about it is found by; the trace as the event has it, so that the line leads to one that is exported. */
  get logNames(): { readonly request_id: string; readonly trace_id?: string } {
    return { request_id: this.requestId, ...(this.traceId === '' ? {} : { trace_id: this.traceId }) };
  }

  setMethod(method: string): void {
    this.method = method;
    this.methodId = METHODS[method as Method] ?? METHODS.other;
  }

  get totalBytesIn(): number { return this.#bytesInRecorded + this.bytesIn; }
  get totalBytesOut(): number { return this.#bytesOutRecorded + this.bytesOut; }

  protected measure(): void {
    const nowMs = monotonicMs();
    this.durationUs = Math.max(0, Math.round((nowMs - this.beganMs) * 1000));
    if (this.timeMs === 0) this.timeMs = Date.now();
  }

  /** Its row is written while it goes on: what comes from now on is an interim row's. */
  protected beginInterim(): void {
    this.#bytesInRecorded += this.bytesIn;
    this.#bytesOutRecorded += this.bytesOut;
    this.bytesIn = 0;
    this.bytesOut = 0;
    this.kindId = KINDS.interim;
    this.requests = 0;
    this.counted = 0;
    this.billable = 0;
  }
}
