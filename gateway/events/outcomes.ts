/**
 * The one table of outcomes: how a request ended. For each: is it an error (of the service or the gateway, as SREs count), does it
 * count against the app's daily quota, is it billable. A service may override the last two. The number is the Enum8 value in
 * the spool and the store: never reused, never changed.
 */
export interface OutcomeEntry {
  readonly id: number;
  readonly error: boolean;
  readonly counted: boolean;
  readonly billable: boolean;
  /** True: it passed every policy and was let through to an upstream; only these have a place in latency percentiles. See wasLetThrough(). */
  readonly letThrough: boolean;
  readonly meaning: string;
}

const outcome = (id: number, flags: string, meaning: string): OutcomeEntry => ({
  id, error: flags.includes('e'), counted: flags.includes('c'), billable: flags.includes('b'), letThrough: flags.includes('l'), meaning,
});

export const OUTCOMES = {
  /** `error` is decided by the status: 5xx of the upstream is an error. */
  answered: outcome(1, 'cbl', 'The upstream\'s response was passed on complete.'),
  client_aborted: outcome(2, 'cbl', 'The client disconnected before the end of the response; or, after the upstream had received the request, the client sent an invalid body, exceeded a limit or stalled (answered 400, 408, 413 or 431).'),
  upstream_unavailable: outcome(3, 'el', 'No connection to the upstream could be made.'),
  no_healthy_target: outcome(4, 'el', 'No target was available.'),
  upstream_timeout: outcome(5, 'ecl', 'The upstream did not answer in time.'),
  upstream_broken: outcome(6, 'ecl', 'The upstream\'s response was invalid, or cut off.'),
  malformed_request: outcome(7, '', 'Not valid HTTP, or refused by a limit on its form.'),
  route_not_found: outcome(8, '', 'No route matched; or only routes of other methods, which is answered 405 `method_not_allowed` and has that as its reason.'),
  ip_denied: outcome(9, '', 'The address is on a deny list, or not on the allow list.'),
  unauthenticated: outcome(10, '', 'No valid credential.'),
  forbidden: outcome(11, '', 'The app may not call the service.'),
  rate_limited: outcome(12, '', 'A QPS limit refused it.'),
  quota_exhausted: outcome(13, '', 'The app\'s QPD refused it.'),
  ledger_unavailable: outcome(14, 'e', 'The ledger of limits did not answer in time.'),
  request_timeout: outcome(15, '', 'The request did not arrive in time.'),
  draining: outcome(16, 'e', 'The node, or its worker, was shutting down, and the drain time ended before the response did.'),
  internal_error: outcome(17, 'e', 'The gateway failed.'),
  unframed: outcome(18, 'cbl', 'The upstream\'s response was passed on complete to an HTTP/1.0 client, but only the connection\'s close marks its end: the client cannot tell it from a truncated one.'),
} as const satisfies Record<string, OutcomeEntry>;

export type Outcome = keyof typeof OUTCOMES;

/** A client may leave before the policies are done with its request: it was let through only if an upstream was tried. Column `let_through` of the store. */
export function wasLetThrough(outcome: Outcome, attempts: number): boolean {
  return OUTCOMES[outcome].letThrough && (outcome !== 'client_aborted' || attempts > 0);
}
