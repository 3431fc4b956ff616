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

  heldBy(stream: string): number { return this.#held.get(stream) ?? 0; }
  holders(): Iterable<string> { return this.#held.keys(); }

  /** Answers whether the limit is another than before. */
  configure(limit: RateLimit, nowMs: number): boolean {
    if (limit.qps === this.#qps && limit.burst === this.#burst) return false;
    this.#mint(nowMs);
    // a raised burst is there at once, as it is for who comes new
    this.#tokens += Math.max(0, limit.burst - this.#burst);
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
    this.#tokens -= units;
    this.#hold(stream, units);
  }

  used(stream: string, units: number, nowMs: number): void {
    this.#mint(nowMs);
    this.#hold(stream, -Math.min(units, this.heldBy(stream)));
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

  /** ms until some tokens are there: what 10 ms mint, so that grants come in batches, if the burst allows it; one at least. */
  waitMs(nowMs: number): number {
    this.#mint(nowMs);
    const batch = Math.max(1, Math.min(this.#qps / 100, this.#burst / 4));
    return Math.max(1, Math.ceil((batch - this.#tokens) * 1000 / this.#qps));
  }

  #mint(nowMs: number): void {
    const minted = this.#qps * Math.max(0, nowMs - this.#atMs) / 1000;
    this.#atMs = Math.max(this.#atMs, nowMs);
    this.#tokens = Math.max(0, Math.min(this.#burst - this.#outstanding, this.#tokens + minted));
  }

  #hold(stream: string, units: number): void {
    const held = this.heldBy(stream) + units;
    this.#outstanding += units;
    if (held > 0) this.#held.set(stream, held);
    else this.#held.delete(stream);
  }
}
