/**
 * Wrong tokens, by the client's address: who tries texts is stopped before any of them is verified. A text that was good is known by its digest and is asked about no
 * more, so that those who share an address with a guesser, or a proxy that is not trusted, go on.
 */
import { createHash } from 'node:crypto';
import { RateLimiterMemory, type RateLimiterRes } from 'rate-limiter-flexible';
import { TidegateError } from '../../errors/tidegate-error.js';
import { clientNetwork } from '../listeners/http/client-network.js';
import { RecentCache } from '../policies/recent-cache.js';
import type { Origin } from './endpoints.js';

/** Of one address (IPv6: one /64), at both origins together. */
export const WRONG_TOKENS_A_MINUTE = 60;
const WINDOW_S = 60;
/** Digests of texts that were good, before the older half goes. */
const KNOWN = 4096;
/** Addresses counted each for itself within a window; those beyond are counted as one, so that no number of them fills the memory. */
const MAX_CLIENTS = 10_000;
const OTHERS = 'others';
const LOG_EVERY_MS = 10_000;

/** What became of a wrong token: it was verified and is nobody's, or it was not looked at. */
export type WrongTokenResult = 'refused' | 'limited';

export interface WrongTokensOptions {
  readonly count: (origin: Origin, result: WrongTokenResult) => void;
  readonly log: { warn(fields: Readonly<Record<string, unknown>>, message: string): void };
  /** Monotonic, ms. */
  readonly nowMs?: () => number;
  readonly aMinute?: number;
}

export class WrongTokens {
  readonly #options: WrongTokensOptions;
  readonly #nowMs: () => number;
  readonly #limiter: RateLimiterMemory;
  readonly #known = new RecentCache<true>(KNOWN);
  #clients = new Set<string>();
  #clientsSinceMs = Number.NEGATIVE_INFINITY;
  #notLogged = 0;
  #loggedAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: WrongTokensOptions) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? (() => performance.now());
    this.#limiter = new RateLimiterMemory({ points: options.aMinute ?? WRONG_TOKENS_A_MINUTE, duration: WINDOW_S });
  }

  /**
   * What `verify` says of the bearer, where this client may still show one that is not known to be good.
   * @param client its address
   * @throws wrong_tokens_limited
   */
  async verified<T>(origin: Origin, client: string, bearer: string, verify: () => Promise<T | null>): Promise<T | null> {
    // what is good at one origin may be nobody's at the other
    const digest = origin + createHash('sha256').update(bearer).digest('base64');
    const key = this.#keyOf(client);
    const isKnown = this.#known.get(digest) !== undefined;
    // before it is verified, and given back if it is good: however many are shown at once, no more are verified
    if (!isKnown) await this.#spend(origin, client, key);
    const holder = await verify();
    if (holder !== null) {
      if (!isKnown) {
        this.#known.set(digest, true);
        await this.#limiter.reward(key);
      }
      return holder;
    }
    if (isKnown) {
      // revoked, or over
      this.#known.delete(digest);
      await this.#limiter.penalty(key);
    }
    this.#wrong(origin, client, 'refused');
    return null;
  }

  async #spend(origin: Origin, client: string, key: string): Promise<void> {
    try {
      await this.#limiter.consume(key);
    } catch (refused) {
      const { msBeforeNext } = refused as RateLimiterRes;
      this.#wrong(origin, client, 'limited');
      throw new WrongTokensLimitedError(Math.max(1, Math.ceil(msBeforeNext / 1000)));
    }
  }

  #wrong(origin: Origin, client: string, result: WrongTokenResult): void {
    this.#options.count(origin, result);
    this.#notLogged++;
    const nowMs = this.#nowMs();
    if (nowMs - this.#loggedAtMs < LOG_EVERY_MS) return;
    this.#options.log.warn({ code: 'wrong_tokens_limited', origin, peer: client, result, wrong: this.#notLogged }, 'wrong tokens are shown');
    this.#loggedAtMs = nowMs;
    this.#notLogged = 0;
  }

  #keyOf(client: string): string {
    const key = client.includes(':') ? clientNetwork(client, 4) : client;
    const nowMs = this.#nowMs();
    if (nowMs - this.#clientsSinceMs >= WINDOW_S * 1000) {
      this.#clientsSinceMs = nowMs;
      this.#clients = new Set();
    }
    if (this.#clients.size >= MAX_CLIENTS && !this.#clients.has(key)) return OTHERS;
    this.#clients.add(key);
    return key;
  }
}

export class WrongTokensLimitedError extends TidegateError {
  /** Then the client may show another. */
  readonly retryAfterSeconds: number;

  constructor(retryAfterSeconds: number) {
    super('wrong_tokens_limited', `${WRONG_TOKENS_A_MINUTE} wrong tokens a minute are looked at of one address; tokens that were good before are.`);
    this.retryAfterSeconds = retryAfterSeconds;
  }
}
