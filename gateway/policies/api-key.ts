import { hash, timingSafeEqual } from 'node:crypto';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { CompiledApp } from '../config/snapshot.js';
import { RecentCache } from './recent-cache.js';

interface KeyEntry {
  readonly app: CompiledApp;
  readonly keyId: string;
  /** Hexadecimal SHA-256 of the key, as configured. */
  readonly sha256: string;
  /** False: it is a key, but not for this scope. */
  readonly inScope: boolean;
}

/** Longer values are refused unread: `keys new` makes some 30 characters. */
const MAX_KEY_LENGTH = 512;
/** Entries of each cache before the older half goes. */
const CACHED_KEYS = 16_384;

/**
 * The API keys of one snapshot. A key is looked up by its SHA-256 and then compared in constant time: 2 to 4 us, against 50 ns for one
 * that was seen before. So keys seen are kept, known and unknown ones apart (a flood of wrong keys must not push out the good ones), for
 * as long as the snapshot lives: a revoked key ends with the next one. The cache's own comparison is no oracle: V8 compares the characters
 * of two strings only when their randomly seeded hashes agree, and a guess that shares a prefix with a key shares no hash.
 */
export class ApiKeys {
  readonly #byHash = new Map<string, KeyEntry>();
  readonly #known = new RecentCache<KeyEntry>(CACHED_KEYS);
  readonly #unknown = new RecentCache<true>(CACHED_KEYS);

  get size(): number {
    return this.#byHash.size;
  }

  /** Throws TidegateError config_duplicate if another key of the scope has the same hash. */
  add(app: CompiledApp, keyId: string, sha256: string, inScope: boolean): void {
    const other = this.#byHash.get(sha256);
    if (other !== undefined) {
      if (!inScope) return;
      if (other.inScope) throw new TidegateError('config_duplicate', `app ${app.name}, key ${keyId}: the same key as app ${other.app.name}, key ${other.keyId}`);
    }
    this.#byHash.set(sha256, { app, keyId, sha256, inScope });
  }

  /** The app that the key belongs to; null: it is none, or not one for this scope. */
  find(key: string): CompiledApp | null {
    const entry = this.#entry(key);
    return entry !== null && entry.inScope ? entry.app : null;
  }

  /** Whether it is a key of any app, for any scope. */
  isKey(text: string): boolean {
    return this.#entry(text) !== null;
  }

  #entry(key: string): KeyEntry | null {
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    if (key.length > MAX_KEY_LENGTH || this.#unknown.get(key) !== undefined) return null;
    const digest = hash('sha256', key, 'buffer');
    const entry = this.#byHash.get(digest.toString('hex'));
    if (entry === undefined || !timingSafeEqual(digest, Buffer.from(entry.sha256, 'hex'))) {
      this.#unknown.set(key, true);
      return null;
    }
    this.#known.set(key, entry);
    return entry;
  }
}
