import type { RateLimit } from './limits.js';

/**
 * A token bucket whose tokens are lent to workers.
 *
 *   tokens + outstanding <= burst
 *
 * `outstanding` is what workers hold as far as they have told: never less than what they do hold. So at any moment no more than `burst`
 * units are unspent, and tokens are minted at `qps`: in any window T at most burst + qps * T requests are admitted. Nothing is minted while the bucket
 * and what is out fill it; workers that want more tell what they used with each ask, so under demand it is qps * T at least, too.
 */
export class RateBucket {
  #qps: number;
  #burst: number;
  #tokens: number;
  #atMs: number;
  #outstanding = 0;
  /** Part of the rate that is minted here: all of it, unless nodes share it through a store. */
  #share = 1;
  /** When it last had units to lend (monotonic ms). */
  #lastMs = Number.NEGATIVE_INFINITY;
  readonly #held = new Map<string, number>();

  /** `tokens`: what it begins with. `nowMs`: monotonic. */
  constructor(limit: RateLimit, tokens: number, nowMs: number) {
    this.#qps = limit.qps;
    this.#burst = limit.burst;
    this.#tokens = Math.min(limit.burst, tokens);
    this.#atMs = nowMs;
  }

  get qps(): number { return this.#qps; }
  get burst(): number { return this.#burst; }
  get outstanding(): number { return this.#outstanding; }

  /** Whole units unspent, as far as workers have told: not lent, or with them. */
  get held(): number { return Math.ceil(this.#tokens - 1e-6) + this.#outstanding; }
  get lastGrantMs(): number { return this.#lastMs; }

  heldBy(stream: string): number { return this.#held.get(stream) ?? 0; }
  holders(): Iterable<string> { return this.#held.keys(); }

  /** Answers whether the limit is another than before. */
  configure(limit: RateLimit, nowMs: number): boolean {
    if (limit.qps === this.#qps && limit.burst === this.#burst) return false;
    this.#mint(nowMs);
    // a raised burst is there at once, as it is for who comes new; of a shared one the store says so
    if (this.#share === 1) this.#tokens += Math.max(0, limit.burst - this.#burst);
    this.#qps = limit.qps;
    this.#burst = limit.burst;
    this.#mint(nowMs);
    return true;
  }

  /** More is out than may be: what workers hold must come back. */
  get overdrawn(): boolean { return this.#outstanding > this.#burst; }

  /** Whole units that can be granted now. */
  available(nowMs: number): number {
    this.#mint(nowMs);
    return Math.floor(this.#tokens);
  }

  grant(stream: string, units: number): void {
    this.#lastMs = this.#atMs;
    this.#tokens -= units;
    this.#hold(stream, units);
  }

  used(stream: string, units: number, nowMs: number): void {
    this.#mint(nowMs);
    this.#hold(stream, -Math.min(units, this.heldBy(stream)));
  }

  /**
   * A worker that had no answer made these itself, no faster than its share of `qps`: they are taken off what this bucket minted meanwhile.
   * Answers how many were not there: cut off at the burst, and nobody's; or, of a share, minted by the store.
   */
  made(stream: string, units: number, nowMs: number): number {
    this.#mint(nowMs);
    this.#lastMs = nowMs;
    const short = Math.max(0, units - this.#tokens);
    this.#tokens = Math.max(0, this.#tokens - units);
    this.#hold(stream, units);
    return short;
  }

  giveBack(stream: string, units: number, nowMs: number): void {
    this.#mint(nowMs);
    const back = Math.min(units, this.heldBy(stream));
    this.#hold(stream, -back);
    this.#tokens += back;
    this.#mint(nowMs);
  }

  /** What a stream says it holds, in place of what was thought: used up are those it no longer has. */
  declare(stream: string, units: number, nowMs: number): void {
    this.#mint(nowMs);
    this.#hold(stream, units - this.heldBy(stream));
    this.#mint(nowMs);
  }

  empty(nowMs: number): void {
    this.#mint(nowMs);
    this.#tokens = 0;
  }

  share(share: number, nowMs: number): void {
    this.#mint(nowMs);
    this.#share = share;
  }

  /** Units from the store. */
  credit(units: number, nowMs: number): void {
    this.#mint(nowMs);
    this.#lastMs = nowMs;
    this.#tokens += units;
  }

  /** Takes what is not lent, whole units. */
  takeIdle(nowMs: number): number {
    const units = this.available(nowMs);
    this.#tokens -= units;
    return units;
  }

  /** ms until some tokens are there: what 10 ms mint, so that grants come in batches, if the burst allows it; one at least. */
  waitMs(nowMs: number): number {
    this.#mint(nowMs);
    const batch = Math.max(1, Math.min(this.#qps / 100, this.#burst / 4));
    return Math.max(1, Math.ceil((batch - this.#tokens) * 1000 / (this.#qps * (this.#share === 0 ? 1 : this.#share))));
  }

  #mint(nowMs: number): void {
    const minted = this.#qps * this.#share * Math.max(0, nowMs - this.#atMs) / 1000;
    this.#atMs = Math.max(this.#atMs, nowMs);
    // of a share, what the store gave stays, and what is made fills up to the share of the burst
    const most = this.#share === 1 ? Number.POSITIVE_INFINITY : Math.max(this.#tokens, this.#share === 0 ? 0 : Math.max(1, this.#burst * this.#share) - this.#outstanding);
    this.#tokens = Math.max(0, Math.min(this.#burst - this.#outstanding, most, this.#tokens + minted));
  }

  #hold(stream: string, units: number): void {
    const held = this.heldBy(stream) + units;
    this.#outstanding += units;
    if (held > 0) this.#held.set(stream, held);
    else this.#held.delete(stream);
  }
}
