/**
 * What the pipeline knows of a request, whatever listener or codec it came by. Policies read and set these fields; nothing here is
 * node's request or response object. One object a request, of one fixed shape; it is also what the event is encoded from.
 */
import type { ErrorCode } from '../errors/codes.js';
import type { CompiledApp, CompiledRoute, Snapshot } from './config/snapshot.js';
import { encodeLabels, type Label } from './events/labels.js';
import type { Outcome } from './events/outcomes.js';
import { NOT_REFUSED, type Reason, type RefusedBy } from './events/refusals.js';

/** Why a request goes no further. Made once, when the module or the snapshot is; `retryAfterSeconds` and quota fields live on the exchange. */
export interface Refusal {
  readonly code: ErrorCode;
  readonly outcome: Outcome;
  /** For the client. */
  readonly detail: string;
  /** For the operator: '' where the outcome says it all. */
  readonly refusedBy: RefusedBy | '';
  readonly reason: Reason | '';
  /** encodeLabels(refusedBy, reason) */
  readonly label: Label;
}

export function refusal(code: ErrorCode, outcome: Outcome, detail: string, refusedBy: Refusal['refusedBy'] = '', reason: Refusal['reason'] = ''): Refusal {
  return { code, outcome, detail, refusedBy, reason, label: refusedBy === '' ? NOT_REFUSED : encodeLabels(refusedBy, reason) };
}

/**
 * One step of the pipeline. Answers `null` to go on, a Refusal to stop, a Promise only when it must wait (a token to verify, a ledger to
 * ask): the usual way through makes none.
 */
export type Policy = (exchange: PolicyExchange) => Refusal | null | Promise<Refusal | null>;

/** The part of the exchange that policies see. */
export interface PolicyExchange {
  /** The configuration this request began with, and finishes on. */
  readonly snapshot: Snapshot;
  readonly method: string;
  /** Normalised path, without the query: the one that was routed, and that goes on. */
  readonly path: string;
  /** `?…` as received, or ''. */
  readonly query: string;
  /** Host without port, lower case. */
  readonly host: string;
  /** Header names and values by turns, as received. */
  readonly rawHeaders: readonly string[];
  /** The address of the client: the peer's, or from the rightmost trusted hop. `::ffff:` is taken off. */
  readonly clientAddress: string;
  readonly route: CompiledRoute;
  /** Set by authentication; null where the route is open. */
  app: CompiledApp | null;
  /** How the app was known: for X-App and for logs. */
  credential: 'none' | 'api_key' | 'jwt';
  /** Headers that go upstream for this request only, name and value by turns (claims); null: none. */
  claimHeaders: string[] | null;
  /** Admission time; a quota policy may move it into its lease's day. ms since the epoch. */
  timeMs: number;
  /** What the last limit said: for RateLimit, RateLimit-Policy and Retry-After; null: no limit spoke. */
  limitAnswer: LimitAnswer | null;
  /** The quota key a unit was taken from, to give it back if the outcome does not count; null: none. */
  quotaKey: string | null;
}

/** For the header fields of draft-ietf-httpapi-ratelimit-headers. */
export interface LimitAnswer {
  /** Policy name: `app-qps`, `app-qpd`, `service-qps`, `client-ip`, … */
  readonly policy: string;
  readonly limit: number;
  /** Window in seconds: 1, or the day's length. */
  readonly windowSeconds: number;
  readonly remaining: number;
  readonly resetSeconds: number;
}

/** Value of the first field named `name` (lower case), or null. */
export function headerValue(rawHeaders: readonly string[], name: string): string | null {
  const length = name.length;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const candidate = rawHeaders[i] as string;
    if (candidate.length === length && (candidate === name || candidate.toLowerCase() === name)) return rawHeaders[i + 1] as string;
  }
  return null;
}
