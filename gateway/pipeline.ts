/**
 * The life of a request, top-down: route, policies in their fixed order, the upstream, the record. It knows exchanges only, so every
 * listener feeds the same one.
 */
import type { AccessLog } from './access-log.js';
import type { ActiveExchange } from './active-exchange.js';
import type { Snapshot } from './config/snapshot.js';
import { monotonicMs } from './deadlines.js';
import { KINDS } from './events/event.js';
import { encodeLabels } from './events/labels.js';
import { formatRequestId } from './events/request-id.js';
import type { Recorder } from './events/recorder.js';
import { refusal, type Refusal } from './exchange.js';
import { normalisePath } from './routing/normalise-path.js';
import type { WorkerMetrics } from './metrics/worker-metrics.js';
import type { RequestTrace } from './tracing/request-trace.js';
import type { RequestTracing } from './tracing/request-tracing.js';
import type { TracedRequest } from './tracing/traced-request.js';
import { WrongCredentials } from './wrong-credentials.js';

export interface PipelineLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

const ROUTE_NOT_FOUND = refusal('route_not_found', 'route_not_found', 'no route matches this host, path, method and headers', 'routing', 'no_route');
const METHOD_NOT_ALLOWED = refusal('method_not_allowed', 'route_not_found', 'this path has routes of other methods only: see the Allow field', 'routing', 'method_not_allowed');
const HIDDEN_PATH = refusal('bad_path', 'malformed_request', 'without its ;parameters the path is another route\'s');
/** A segment's parameters. */
const PARAMETERS = /(?:;|%3B)[^/]*/g;
const POLICY_FAILED = refusal('internal_error', 'internal_error', 'a policy failed');

/** The part of the lease book that the end of a request needs. */
export interface QuotaBook {
  /** A unit was taken for a request that turned out not to count. */
  giveBack(key: string): void;
  /** The counted row of a request that took a unit is in the spool. */
  recorded(key: string): void;
}

/** Takes what is to be seen as spans. */
export interface SpanSink {
  push(request: TracedRequest): void;
}

export interface PipelineParts {
  readonly snapshot: Snapshot;
  readonly recorder: Recorder;
  readonly metrics: WorkerMetrics;
  readonly log: PipelineLog;
  readonly quotas: QuotaBook;
  readonly spans: SpanSink;
}

export class Pipeline {
  /** In force for requests that begin now. Swapped by one assignment. */
  snapshot: Snapshot;
  /** Null: nobody wants lines of requests. */
  accessLog: AccessLog | null = null;
  readonly recorder: Recorder;
  readonly metrics: WorkerMetrics;
  readonly log: PipelineLog;
  readonly wrongCredentials: WrongCredentials;
  readonly noLabel = encodeLabels('');
  readonly #quotas: QuotaBook;
  readonly #spans: SpanSink;
  /** Ended in this turn, and recorded at its end. */
  #ended: ActiveExchange[] = [];
  /** The other list: a release may end an exchange, so a list is never walked while it grows. */
  #spare: ActiveExchange[] = [];

  constructor(parts: PipelineParts) {
    this.snapshot = parts.snapshot;
    this.recorder = parts.recorder;
    this.metrics = parts.metrics;
    this.log = parts.log;
    this.wrongCredentials = new WrongCredentials(parts.log);
    this.#quotas = parts.quotas;
    this.#spans = parts.spans;
    parts.recorder.beforeFrame(() => { this.#recordEnded(); });
  }

  requestId(ordinal: number): string {
    return formatRequestId(this.recorder.stream, ordinal);
  }

  /** Takes a request whose head is read. */
  dispatch(exchange: ActiveExchange): void {
    exchange.timeMs = Date.now();
    const { snapshot } = this;
    if (snapshot.tracing !== null) this.#trace(exchange, snapshot.tracing);
    if (exchange.preRefusal !== null) {
      exchange.refuse(exchange.preRefusal);
      return;
    }
    exchange.snapshot = snapshot;
    exchange.route = snapshot.routes.find(exchange.host, exchange.method, exchange.path, exchange.rawHeaders) ?? snapshot.noRoute;
    if ((exchange.path.includes(';') || exchange.path.includes('%3B')) && !this.#routedAlike(exchange)) {
      exchange.refuse(HIDDEN_PATH);
      return;
    }
    this.#runPolicies(exchange, 0);
  }

  #trace(exchange: ActiveExchange, tracing: RequestTracing): void {
    const trace = tracing.begin(exchange);
    exchange.trace = trace;
    if (trace.sampled) exchange.traceId = trace.traceId;
  }

  /** Some upstreams (servlet containers) drop `;…` from each segment: the path that is left must lead to the same route. */
  #routedAlike({ snapshot, host, method, path, rawHeaders, route }: ActiveExchange): boolean {
    const bare = normalisePath(path.replaceAll(PARAMETERS, ''));
    return bare !== null && (snapshot.routes.find(host, method, bare, rawHeaders) ?? snapshot.noRoute) === route;
  }

  /** From policy number `from` on; comes back here when one had to wait. */
  #runPolicies(exchange: ActiveExchange, from: number): void {
    const { policies } = exchange.route;
    for (let i = from; i < policies.length; i++) {
      let verdict: Refusal | null | Promise<Refusal | null>;
      try {
        verdict = (policies[i] as (typeof policies)[number])(exchange);
      } catch (error) {
        this.#policyFailed(exchange, error);
        return;
      }
      if (verdict === null) continue;
      if (verdict instanceof Promise) {
        this.#resumeAfter(exchange, verdict, i + 1);
        return;
      }
      exchange.refuse(verdict);
      return;
    }
    this.#letThrough(exchange);
  }

  #resumeAfter(exchange: ActiveExchange, verdict: Promise<Refusal | null>, next: number): void {
    verdict.then((refusal) => {
      if (exchange.ended) this.#returnQuota(exchange);
      else if (refusal !== null) exchange.refuse(refusal);
      else this.#runPolicies(exchange, next);
    }, (error: unknown) => { this.#policyFailed(exchange, error); });
  }

  #policyFailed(exchange: ActiveExchange, error: unknown): void {
    this.log.error({ err: error, ...exchange.logNames }, 'a policy failed');
    if (!exchange.ended) exchange.refuse(POLICY_FAILED);
  }

  #letThrough(exchange: ActiveExchange): void {
    if (exchange.route === exchange.snapshot.noRoute) {
      exchange.allow = exchange.snapshot.routes.allowedMethods(exchange.host, exchange.path, exchange.rawHeaders).join(', ');
      exchange.refuse(exchange.allow === '' ? ROUTE_NOT_FOUND : METHOD_NOT_ALLOWED);
      return;
    }
    exchange.admitted = true;
    exchange.totalDeadlineMs = monotonicMs() + exchange.route.service.totalTimeoutMs;
    exchange.onAdmitted();
    exchange.attempt();
  }

  /** The exchange's last row: counted and recorded at the end of the turn, with the body bytes that came until then, and released when the row is in the spool. */
  onEnded(exchange: ActiveExchange, interim: boolean): void {
    if (!interim && exchange.counted === 0) this.#returnQuota(exchange);
    this.#ended.push(exchange);
    this.recorder.endTurn();
  }

  /** A long answer's row, while it goes on. */
  onInterim(exchange: ActiveExchange): void {
    this.metrics.observe(exchange.route.metricsSlot, exchange.methodId, exchange.status, exchange.durationUs, exchange.upstreamSoFarUs, exchange.bytesIn, exchange.bytesOut);
    if (exchange.traceId !== '') this.metrics.exemplify(exchange.route.metricsSlot, exchange.durationUs, exchange.traceId);
    if (exchange.counted === 0) this.#returnQuota(exchange);
    const { quotaKey } = exchange;
    exchange.quotaKey = null;
    this.recorder.record(exchange, { release: () => { if (quotaKey !== null) this.#quotas.recorded(quotaKey); } });
  }

  /** Its last row is in the spool. */
  onWritten(exchange: ActiveExchange): void {
    if (exchange.quotaKey !== null) this.#quotas.recorded(exchange.quotaKey);
    if (this.accessLog !== null) this.accessLog.note(exchange);
  }

  /** First all are counted, then all are recorded: either is done fastest when nothing else comes in between. */
  #recordEnded(): void {
    const ended = this.#ended;
    if (ended.length === 0) return;
    this.#ended = this.#spare;
    for (let i = 0; i < ended.length; i++) this.#count(ended[i] as ActiveExchange);
    for (let i = 0; i < ended.length; i++) {
      const exchange = ended[i] as ActiveExchange;
      this.recorder.record(exchange, exchange);
    }
    ended.length = 0;
    this.#spare = ended;
  }

  #count(exchange: ActiveExchange): void {
    const { metrics } = this;
    const { target, bytesIn, bytesOut } = exchange;
    const { metricsSlot } = exchange.route;
    if (exchange.trace !== null) this.#endTrace(exchange, exchange.trace);
    if (exchange.kindId === KINDS.interim) {
      metrics.addBytes(metricsSlot, bytesIn, bytesOut);
    } else {
      metrics.observe(metricsSlot, exchange.methodId, exchange.status, exchange.durationUs, exchange.upstreamUs, bytesIn, bytesOut);
      if (exchange.traceId !== '') metrics.exemplify(metricsSlot, exchange.durationUs, exchange.traceId);
      if (!exchange.admitted) metrics.refuse(metricsSlot, exchange.outcomeId);
    }
    if (exchange.wasSent && target !== null) metrics.observeUpstream(target.metricsSlot, exchange.upstreamUs);
  }

  /** Before its row is encoded: that it is sampled may turn out only now. */
  #endTrace(exchange: ActiveExchange, trace: RequestTrace): void {
    const sampledBy = trace.wantedBy(exchange);
    if (sampledBy === null) return;
    exchange.traceId = trace.traceId;
    this.#spans.push(trace.toTracedRequest(exchange, sampledBy));
  }

  #returnQuota(exchange: ActiveExchange): void {
    if (exchange.quotaKey === null) return;
    this.#quotas.giveBack(exchange.quotaKey);
    exchange.quotaKey = null;
  }
}
