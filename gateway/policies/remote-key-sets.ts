import { createLocalJWKSet, createRemoteJWKSet, errors, type FlattenedJWSInput, type CryptoKey, type JWTHeaderParameters } from 'jose';
import { exponentFault } from './rsa-exponent.js';

/** Where warnings go; pino's shape. */
export interface IdentityLog {
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
}

/** Picks the key for a token by its header; rejects with a JOSEError if there is none. */
export type KeyPicker = (header: JWTHeaderParameters, token: FlattenedJWSInput) => Promise<CryptoKey>;

/** It is not the token's fault: there are no keys, or the one that it names must not be used. */
export class KeysUnavailable extends errors.JWKSNoMatchingKey {}

export interface RemoteKeyTimes {
  /** Longest wait for the answer. */
  readonly timeoutMs: number;
  /** After a fetch, an unknown `kid` starts no other for this long: tokens with invented ones cost the issuer nothing. */
  readonly cooldownMs: number;
  /** Keys older than this are fetched again. */
  readonly maxAgeMs: number;
  /** After a failed fetch none is tried for this long. */
  readonly retryMs: number;
  /** While the issuer is away, its last keys hold this long. */
  readonly staleMs: number;
}

export const REMOTE_KEY_TIMES: RemoteKeyTimes = { timeoutMs: 5000, cooldownMs: 30_000, maxAgeMs: 600_000, retryMs: 5000, staleMs: 3_600_000 };

const UNSOUND_EVERY_MS = 600_000;

/** The keys behind one JWKS URL. jose fetches, caches, shares a fetch under way and follows no redirect; here is what happens while the issuer is away. */
class RemoteKeySet {
  readonly #url: string;
  readonly #times: RemoteKeyTimes;
  readonly #log: IdentityLog;
  readonly #remote: ReturnType<typeof createRemoteJWKSet>;
  #failedAtMs = Number.NEGATIVE_INFINITY;
  #unsoundAtMs = Number.NEGATIVE_INFINITY;
  #goodAtMs = Number.NEGATIVE_INFINITY;

  constructor(url: string, times: RemoteKeyTimes, log: IdentityLog) {
    this.#url = url;
    this.#times = times;
    this.#log = log;
    this.#remote = createRemoteJWKSet(new URL(url), { timeoutDuration: times.timeoutMs, cooldownDuration: times.cooldownMs, cacheMaxAge: times.maxAgeMs });
  }

  readonly pick: KeyPicker = async (header, token) => {
    if (Date.now() - this.#failedAtMs < this.#times.retryMs) return this.#pickStale(header, token);
    try {
      const key = await this.#remote(header, token);
      this.#goodAtMs = Date.now();
      return this.#sound(key);
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) {
        this.#goodAtMs = Date.now();
        throw error;
      }
      const now = Date.now();
      // Requests that shared the failed fetch say it once.
      if (now - this.#failedAtMs >= this.#times.retryMs) {
        this.#failedAtMs = now;
        this.#log.warn({ url: this.#url, err: error }, 'the JWKS cannot be fetched');
      }
      return this.#pickStale(header, token);
    }
  };

  async #pickStale(header: JWTHeaderParameters, token: FlattenedJWSInput): Promise<CryptoKey> {
    const last = this.#remote.jwks();
    if (last === undefined || Date.now() - this.#goodAtMs > this.#times.staleMs) throw new KeysUnavailable('no keys could be fetched');
    return this.#sound(await createLocalJWKSet(last)(header, token));
  }

  /** A key that anybody can sign with is none; told once in ten minutes. */
  #sound(key: CryptoKey): CryptoKey {
    const fault = exponentFault(key);
    if (fault === null) return key;
    const now = Date.now();
    if (now - this.#unsoundAtMs >= UNSOUND_EVERY_MS) {
      this.#unsoundAtMs = now;
      this.#log.warn({ url: this.#url, detail: fault }, 'a key of the JWKS is not used: anybody could sign with it');
    }
    throw new KeysUnavailable(fault);
  }
}

/** The remote key sets of a worker. They outlive snapshots: a reload fetches nothing again. */
export class RemoteKeySets {
  readonly #log: IdentityLog;
  readonly #times: RemoteKeyTimes;
  readonly #byUrl = new Map<string, RemoteKeySet>();

  constructor(log: IdentityLog, times: RemoteKeyTimes = REMOTE_KEY_TIMES) {
    this.#log = log;
    this.#times = times;
  }

  get(url: string): KeyPicker {
    let set = this.#byUrl.get(url);
    if (set === undefined) this.#byUrl.set(url, set = new RemoteKeySet(url, this.#times, this.#log));
    return set.pick;
  }

  /** Forgets the sets that are no longer named. Requests on an older snapshot keep theirs. */
  retain(urls: ReadonlySet<string>): void {
    for (const url of this.#byUrl.keys()) if (!urls.has(url)) this.#byUrl.delete(url);
  }
}
