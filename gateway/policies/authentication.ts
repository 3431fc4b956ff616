import type { RouteConfig } from '../config/schema.js';
import type { Policy, PolicyExchange, Refusal } from '../exchange.js';
import type { IdentityIndex } from './identity-index.js';
import type { TokenFault, TokenIdentity } from './jwt.js';

type Method = RouteConfig['authentication'][number];

const refusal = (detail: string): Refusal => ({ code: 'unauthenticated', outcome: 'unauthenticated', detail });
const NOTHING_SHOWN = refusal('Send an API key in X-Api-Key, or a key or token in Authorization: Bearer.');
const SHOWN_TWICE = refusal('Send one credential of a kind only.');
const WRONG_KEY = refusal('The API key is not valid.');
const REPORTS_KEY = refusal('The API key is for reports, not for requests: its scopes lack traffic.');
const WRONG_TOKEN = refusal('The token is not valid.');
const EXPIRED_TOKEN = refusal('The token has expired.');

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
          return result.then((settled) => admitted(exchange, settled) ? null : this.#attempt(exchange, i + 1, key, token, tokenRefusal(settled)));
        }
        if (admitted(exchange, result)) return null;
        why = tokenRefusal(result);
      }
    }
    return why;
  }
}

function admitted(exchange: PolicyExchange, result: TokenIdentity | TokenFault): boolean {
  if (typeof result === 'string') return false;
  exchange.app = result.app;
  exchange.credential = 'jwt';
  exchange.claimHeaders = result.claimHeaders;
  return true;
}

const tokenRefusal = (fault: TokenIdentity | TokenFault): Refusal => (fault === 'expired' ? EXPIRED_TOKEN : WRONG_TOKEN);

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
