/**
 * The one table of terms by which an event, the log and docs/reference/outcomes.md say who refused a request, and why: columns `refused_by` and `reason`. Neither is told to the client: what
 * is wrong with a credential helps whoever guesses. A term is never used for something else than it was before.
 */
import { encodeLabels, type Label } from './labels.js';

/** Policies, and the look for a route. */
export const REFUSED_BY = {
  ip_list: 'A list of addresses: the gateway\'s, the service\'s or the app\'s.',
  client_ip: 'The limit of one address.',
  authentication: 'The look for a credential that the route takes.',
  api_key: 'The API key.',
  jwt: 'The JWT.',
  authorisation: 'The app\'s list of services.',
  rate_limit: 'A QPS limit.',
  daily_quota: 'The app\'s QPD.',
  routing: 'The table of routes.',
} as const;
export type RefusedBy = keyof typeof REFUSED_BY;

export const REASONS = {
  no_credential: 'authentication: nothing was sent that the route takes.',
  two_credentials: 'authentication: two keys, two tokens or two Authorization fields.',
  unknown_key: 'api_key: no app has this key, or it was revoked.',
  key_for_reports: 'api_key: it is an app\'s, but its scopes lack `traffic`.',
  malformed_token: 'jwt: three parts that are no JWT, or one with something that is not supported.',
  unknown_issuer: 'jwt: no app has this `iss`, or there is none.',
  wrong_algorithm: 'jwt: not the app\'s one algorithm.',
  no_expiry: 'jwt: no `exp`, or one that is no time.',
  expired: 'jwt: `exp` is past, the leeway too.',
  not_yet_valid: 'jwt: `nbf` is to come.',
  wrong_audience: 'jwt: `aud` is not, or does not name, the app\'s `audience`.',
  unknown_kid: 'jwt: no key of the set has this `kid`, or fits a token without one.',
  bad_signature: 'jwt: signed by another key, or altered.',
  keys_unavailable: 'jwt: the keys could not be fetched, or the key must not be used; the log says which.',
  no_route: 'routing: no route matches host, path and headers.',
  method_not_allowed: 'routing: the path has routes of other methods only.',
} as const;
export type Reason = keyof typeof REASONS;

/** Of a request that was let through, and of one of which the outcome says all. */
export const NOT_REFUSED: Label = encodeLabels('', '');
