import type { RouteConfig } from '../config/schema.js';
import { refusal, type Policy, type PolicyExchange, type Refusal } from '../exchange.js';
import type { Reason, RefusedBy } from '../events/refusals.js';
import type { IdentityIndex } from './identity-index.js';
import { TOKEN_FAULTS, type TokenFault, type TokenIdentity } from './jwt.js';

type Method = RouteConfig['authentication'][number];

const wrong = (detail: string, by: RefusedBy, reason: Reason): Refusal => refusal('unauthenticated', 'unauthenticated', detail, by, reason);
const NOTHING_SHOWN = wrong('Send an API key in X-Api-Key, or a key or token in Authorization: Bearer.', 'authentication', 'no_credential');
const SHOWN_TWICE = wrong('Send one credential of a kind only.', 'authentication', 'two_credentials');
const WRONG_KEY = wrong('The API key is not valid.', 'api_key', 'unknown_key');
const REPORTS_KEY = wrong('The API key is for reports, not for requests: its scopes lack traffic.', 'api_key', 'key_for_reports');
/** The client learns no more of a token than that it has expired; the rest is the operator's. */
const WRONG_TOKENS = Object.fromEntries(TOKEN_FAULTS.map((fault) => [fault, wrong(fault === 'expired' ? 'The token has expired.' : 'The token is not valid.', 'jwt', fault)])) as Readonly<Record<TokenFault, Refusal>>;

/**
 * Finds the app by what the request shows: an API key (X-Api-Key, or a bearer without exactly two dots) or a JWT (a bearer with two).
 * `methods` are tried in their order; the first that knows the app decides. Two credentials of one kind, or two Authorization fields,
 * are refused: which one another hop would take is not known. Other schemes (Basic) are the upstream's own and not looked at.
 * Null for an open route, where nobody asks.
 */
export function authenticationPolicy(methods: readonly Method[], identities: IdentityIndex): Policy | null {
  if (methods.length === 0) return null;
  const authentication = new Authentication(methods, identities);
  return (exchange) => authentication.check(exchange);
}

class Authentication {
  readonly #methods: readonly Method[];
  readonly #identities: IdentityIndex;

  constructor(methods: readonly Method[], identities: IdentityIndex) {
    this.#methods = methods;
    this.#identities = identities;
  }

  check(exchange: PolicyExchange): Refusal | null | Promise<Refusal | null> {
    const { rawHeaders } = exchange;
    let key: string | null = null;
    let token: string | null = null;
    let authorizations = 0;
    for (let i = 0; i < rawHeaders.length; i += 2) {
      const name = rawHeaders[i] as string;
      if (name.length === 9) {
        if (name !== 'X-Api-Key' && name.toLowerCase() !== 'x-api-key') continue;
        if (key !== null) return SHOWN_TWICE;
        key = rawHeaders[i + 1] as string;
      } else if (name.length === 13) {
        if (name !== 'Authorization' && name.toLowerCase() !== 'authorization') continue;
        if (++authorizations > 1) return SHOWN_TWICE;
        const bearer = bearerOf(rawHeaders[i + 1] as string);
        if (bearer === null) continue;
        if (hasTwoDots(bearer)) {
          token = bearer;
        } else {
          if (key !== null) return SHOWN_TWICE;
          key = bearer;
        }
      }
    }
    return this.#attempt(exchange, 0, key, token, NOTHING_SHOWN);
  }

  /** Tries the methods from `from` on; `why` is what was wrong so far. */
  #attempt(exchange: PolicyExchange, from: number, key: string | null, token: string | null, why: Refusal): Refusal | null | Promise<Refusal | null> {
    for (let i = from; i < this.#methods.length; i++) {
      if (this.#methods[i] === 'api_key') {
        if (key === null) continue;
        const app = this.#identities.apiKeys.find(key);
        if (app !== null) {
          exchange.app = app;
          exchange.credential = 'api_key';
          return null;
        }
        why = this.#identities.apiKeys.isKey(key) ? REPORTS_KEY : WRONG_KEY;
      } else {
        if (token === null) continue;
        const result = this.#identities.tokens.check(token, exchange.timeMs);
        if (result instanceof Promise) {
          return result.then((settled) => (typeof settled === 'string' ? this.#attempt(exchange, i + 1, key, token, WRONG_TOKENS[settled]) : admit(exchange, settled)));
        }
        if (typeof result !== 'string') return admit(exchange, result);
        why = WRONG_TOKENS[result];
      }
    }
    return why;
  }
}

function admit(exchange: PolicyExchange, { app, claimHeaders }: TokenIdentity): null {
  exchange.app = app;
  exchange.credential = 'jwt';
  exchange.claimHeaders = claimHeaders;
  return null;
}

/** What follows `Bearer ` (in any case), or null. */
function bearerOf(authorization: string): string | null {
  if (authorization.length < 8 || authorization.charCodeAt(6) !== 0x20) return null;
  if (!authorization.startsWith('Bearer') && authorization.slice(0, 6).toLowerCase() !== 'bearer') return null;
  let start = 7;
  while (authorization.charCodeAt(start) === 0x20) start++;
  return start === authorization.length ? null : authorization.slice(start);
}

function hasTwoDots(text: string): boolean {
  const first = text.indexOf('.');
  if (first === -1) return false;
  const second = text.indexOf('.', first + 1);
  return second !== -1 && text.indexOf('.', second + 1) === -1;
}
