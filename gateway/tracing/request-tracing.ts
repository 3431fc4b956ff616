/** What the configuration says of tracing, ready for the request path: one to a snapshot, or none. */
import type { Config } from '../config/schema.js';
import { durationMs } from '../config/units.js';
import type { ExchangeFacts } from '../exchange-facts.js';
import { RequestTrace } from './request-trace.js';
import { readContext, type TraceFormats } from './trace-context.js';

/** What a worker knows of `tracing`: not where spans go, nor with which credential. */
export type TracingRules = Omit<Config['tracing'], 'otlp' | 'service_name'>;

/** Digits at an id's end that its sampling is decided by, as OpenTelemetry's consistent samplers do (they take 56 bits, a double holds 52). */
const RANDOM_FROM = 19;
const RANDOM_VALUES = 2 ** 52;

export class RequestTracing {
  /** What is written for the upstream beside traceparent. */
  readonly b3: boolean;
  readonly b3multi: boolean;
  /** Requests that end as errors are exported always. */
  readonly errors: boolean;
  /** Those that took longer, too; Infinity: none for that. */
  readonly slowerThanUs: number;
  readonly #formats: TraceFormats;
  readonly #continues: TracingRules['continue'];
  /** Ids from here on are sampled. */
  readonly #threshold: number;

  constructor({ ratio, propagation, always, continue: continues }: TracingRules) {
    this.b3 = propagation.includes('b3');
    this.b3multi = propagation.includes('b3multi');
    this.errors = always.errors;
    this.slowerThanUs = always.slower_than === undefined ? Number.POSITIVE_INFINITY : durationMs(always.slower_than) * 1000;
    this.#formats = { w3c: propagation.includes('tracecontext'), b3: this.b3 || this.b3multi };
    this.#continues = continues;
    this.#threshold = Math.round((1 - ratio) * RANDOM_VALUES);
  }

  /** Whether a request is exported may turn out at its end, so that what it does is noted. */
  get looksAtTails(): boolean { return this.errors || this.slowerThanUs !== Number.POSITIVE_INFINITY; }

  begin({ rawHeaders, hopNames, peerTrusted }: ExchangeFacts): RequestTrace {
    const follows = this.#continues === 'anyone' || (this.#continues === 'trusted_proxies' && peerTrusted);
    return new RequestTrace(this, follows ? readContext(rawHeaders, hopNames, this.#formats) : null);
  }

  isWithinRatio(traceId: string): boolean {
    return Number.parseInt(traceId.slice(RANDOM_FROM), 16) >= this.#threshold;
  }
}
