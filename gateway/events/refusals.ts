/**
 * The one table of terms by which an event, the log and docs/reference/outcomes.md say who refused a request, and why: columns `refused_by` and `reason`. Neither is told to the client: what
 * is wrong with a credential helps whoever guesses. A term is never used for something else than it was before.
 */
import { encodeLabels, type Label } from './labels.js';

/** Policies, and the look for a route. */
export const REFUSED_BY = {
  ip_list: 'An IP list of the gateway, the service or the app.',
  client_ip: 'The rate limit per client address.',
  authentication: 'The search for a credential that the route accepts.',
  api_key: 'The API key.',
  jwt: 'The JWT.',
  authorisation: 'The app\'s list of services.',
  rate_limit: 'A QPS limit.',
  daily_quota: 'The app\'s QPD.',
  routing: 'The route table.',
} as const;
export type RefusedBy = keyof typeof REFUSED_BY;

export const REASONS = {
  no_credential: 'authentication: no credential of a kind that the route accepts.',
  two_credentials: 'authentication: two keys, two tokens or two Authorization fields.',
  unknown_key: 'api_key: no app has this key, or it was revoked.',
  key_for_reports: 'api_key: the key is valid, but its scopes lack `traffic`.',
  malformed_token: 'jwt: not a valid JWT, or one that uses an unsupported feature.',
  unknown_issuer: 'jwt: no app has this `iss`, or there is none.',
  wrong_algorithm: 'jwt: not the app\'s one algorithm.',
  no_expiry: 'jwt: `exp` is missing or not a valid time.',
  expired: 'jwt: `exp` plus the leeway has passed.',
  not_yet_valid: 'jwt: `nbf` is in the future.',
  wrong_audience: 'jwt: `aud` does not match the app\'s `audience`.',
  unknown_kid: 'jwt: no key in the set has this `kid`, or fits a token without one.',
  bad_signature: 'jwt: signed by another key, or altered.',
  keys_unavailable: 'jwt: the keys could not be fetched, or the key may not be used; the log says which.',
  no_route: 'routing: no route matches host, path and headers.',
  method_not_allowed: 'routing: the path has routes for other methods only.',
} as const;
export type Reason = keyof typeof REASONS;

/** Of a request that was let through, and of one of which the outcome says all. */
export const NOT_REFUSED: Label = encodeLabels('', '');
