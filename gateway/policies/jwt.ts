import { decodeJwt, decodeProtectedHeader, errors, jwtVerify, type CryptoKey, type JWTPayload, type JWTVerifyOptions } from 'jose';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { JwtConfig } from '../config/schema.js';
import type { CompiledApp } from '../config/snapshot.js';
import { durationMs } from '../config/units.js';
import type { Reason } from '../events/refusals.js';
import { isCompactForm } from './compact-form.js';
import { RecentCache } from './recent-cache.js';
import { KeysUnavailable, type IdentityLog, type KeyPicker } from './remote-key-sets.js';
import { exponentFault } from './rsa-exponent.js';

/** What a verified token says. */
export interface TokenIdentity {
  readonly app: CompiledApp;
  /** Header name and value by turns for the upstream; shared by all requests with this token: not to be changed. */
  readonly claimHeaders: string[] | null;
  /** Until when the verification is remembered: the token's `exp`, or five minutes. ms since the epoch. */
  readonly untilMs: number;
}

/** Why a token is refused, in the event's terms. */
export const TOKEN_FAULTS = [
  'malformed_token', 'unknown_issuer', 'wrong_algorithm', 'no_expiry', 'expired', 'not_yet_valid', 'wrong_audience', 'unknown_kid', 'bad_signature', 'keys_unavailable',
] as const satisfies readonly Reason[];
export type TokenFault = (typeof TOKEN_FAULTS)[number];

/** Entries before the older half goes, and the longest token kept: together at most 16 MiB. */
const CACHED_TOKENS = 2048;
const MAX_CACHED_LENGTH = 4096;
const REMEMBER_MS = 300_000;
/** Keys tried for a token without `kid`. */
const MAX_KEYS_TRIED = 16;
const LOG_EVERY_MS = 10_000;

/** One app's way to verify: one algorithm, its keys, its claims. */
class TokenApp {
  readonly app: CompiledApp;
  readonly #config: JwtConfig;
  readonly #keys: Uint8Array | KeyPicker;
  readonly #issuer: string;
  readonly #leewayMs: number;

  constructor(app: CompiledApp, config: JwtConfig, issuer: string, keys: Uint8Array | KeyPicker) {
    this.app = app;
    this.#config = config;
    this.#keys = keys;
    this.#issuer = issuer;
    this.#leewayMs = durationMs(config.leeway);
  }

  /** What can be seen without a key; spares the signature's cost. */
  faultBeforeVerifying(algorithm: unknown, payload: JWTPayload, nowMs: number): TokenFault | null {
    if (algorithm !== this.#config.algorithm) return 'wrong_algorithm';
    // JSON's 1e400 is Infinity here, and would never end
    if (typeof payload.exp !== 'number' || !Number.isFinite(payload.exp)) return 'no_expiry';
    return payload.exp * 1000 + this.#leewayMs <= nowMs ? 'expired' : null;
  }

  /** Rejects with a JOSEError, or with what the key's source rejects with. */
  async verify(token: string, nowMs: number): Promise<TokenIdentity> {
    const payload = await this.#verifiedPayload(token, {
      algorithms: [this.#config.algorithm],
      issuer: this.#issuer,
      requiredClaims: ['exp'],
      clockTolerance: this.#leewayMs / 1000,
      currentDate: new Date(nowMs),
      ...(this.#config.audience === undefined ? {} : { audience: this.#config.audience }),
    });
    return { app: this.app, claimHeaders: claimHeaders(this.#config.claims, payload), untilMs: Math.min((payload.exp as number) * 1000, nowMs + REMEMBER_MS) };
  }

  async #verifiedPayload(token: string, options: JWTVerifyOptions): Promise<JWTPayload> {
    if (this.#keys instanceof Uint8Array) return (await jwtVerify(token, this.#keys, options)).payload;
    try {
      return (await jwtVerify(token, this.#keys, options)).payload;
    } catch (error) {
      if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
      return verifyWithAny(token, error, options);
    }
  }
}

/** A token without `kid` while the set holds several keys, as in a rotation: each is tried. */
async function verifyWithAny(token: string, keys: AsyncIterable<CryptoKey>, options: JWTVerifyOptions): Promise<JWTPayload> {
  let tried = 0;
  for await (const key of keys) {
    if (++tried > MAX_KEYS_TRIED) break;
    if (exponentFault(key) !== null) continue;
    try {
      return (await jwtVerify(token, key, options)).payload;
    } catch (error) {
      if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw error;
    }
  }
  throw new errors.JWSSignatureVerificationFailed();
}

/** Strings, numbers and booleans that a header can carry as they are; all else is left out. */
function claimHeaders(claims: JwtConfig['claims'], payload: JWTPayload): string[] | null {
  const headers: string[] = [];
  for (const [claim, header] of Object.entries(claims)) {
    const value = Object.hasOwn(payload, claim) ? payload[claim] : undefined;
    if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') continue;
    const text = String(value);
    if (/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(text)) headers.push(header, text);
  }
  return headers.length === 0 ? null : headers;
}

/**
 * The tokens of one snapshot's apps. `iss` is read before it is trusted, only to pick the app, whose algorithm, keys and claims then
 * decide. Verified tokens are remembered for the life of the token, five minutes, or of the snapshot: an app removed, or its key
 * changed, ends them. A token that several requests bring at once is verified once.
 */
export class Tokens {
  readonly #byIssuer = new Map<string, TokenApp>();
  readonly #verified = new RecentCache<TokenIdentity>(CACHED_TOKENS);
  readonly #pending = new Map<string, Promise<TokenIdentity | TokenFault>>();
  readonly #log: IdentityLog;
  #loggedAtMs = Number.NEGATIVE_INFINITY;

  constructor(log: IdentityLog) {
    this.#log = log;
  }

  /** Throws TidegateError config_duplicate if another app has the issuer. */
  add(app: CompiledApp, config: JwtConfig, keys: Uint8Array | KeyPicker): void {
    const issuer = config.issuer ?? app.name;
    const other = this.#byIssuer.get(issuer);
    if (other !== undefined) throw new TidegateError('config_duplicate', `app ${app.name}: the same issuer as app ${other.app.name}`);
    this.#byIssuer.set(issuer, new TokenApp(app, config, issuer, keys));
  }

  /** `nowMs` is the time of the request. A Promise only when a signature must be verified. */
  check(token: string, nowMs: number): TokenIdentity | TokenFault | Promise<TokenIdentity | TokenFault> {
    const verified = this.#verified.get(token);
    if (verified !== undefined && nowMs < verified.untilMs) return verified;
    const pending = this.#pending.get(token);
    if (pending !== undefined) return pending;
    if (!isCompactForm(token)) return 'malformed_token';
    let tokenApp: TokenApp | undefined;
    let fault: TokenFault | null;
    try {
      const payload = decodeJwt(token);
      tokenApp = typeof payload.iss === 'string' ? this.#byIssuer.get(payload.iss) : undefined;
      if (tokenApp === undefined) return 'unknown_issuer';
      fault = tokenApp.faultBeforeVerifying(decodeProtectedHeader(token).alg, payload, nowMs);
    } catch {
      return 'malformed_token';
    }
    if (fault !== null) return fault;
    const verification = this.#verify(tokenApp, token, nowMs).finally(() => this.#pending.delete(token));
    this.#pending.set(token, verification);
    return verification;
  }

  async #verify(tokenApp: TokenApp, token: string, nowMs: number): Promise<TokenIdentity | TokenFault> {
    try {
      const identity = await tokenApp.verify(token, nowMs);
      if (token.length <= MAX_CACHED_LENGTH) this.#verified.set(token, identity);
      return identity;
    } catch (error) {
      // Not the token's fault: a key of a remote set that cannot be used. At most one line in ten seconds, whatever clients send.
      if (!(error instanceof errors.JOSEError) && nowMs - this.#loggedAtMs >= LOG_EVERY_MS) {
        this.#loggedAtMs = nowMs;
        this.#log.warn({ app: tokenApp.app.name, err: error }, 'a token could not be verified');
      }
      return faultOf(error);
    }
  }
}

function faultOf(error: unknown): TokenFault {
  if (error instanceof errors.JWTExpired) return 'expired';
  if (error instanceof errors.JWTClaimValidationFailed) return error.claim === 'aud' ? 'wrong_audience' : error.claim === 'nbf' && error.reason === 'check_failed' ? 'not_yet_valid' : 'malformed_token';
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'bad_signature';
  if (error instanceof KeysUnavailable) return 'keys_unavailable';
  if (error instanceof errors.JWKSNoMatchingKey) return 'unknown_kid';
  if (error instanceof errors.JWSInvalid || error instanceof errors.JWTInvalid || error instanceof errors.JOSENotSupported) return 'malformed_token';
  return 'keys_unavailable';
}
