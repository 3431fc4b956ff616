/** When requests of a fixed rate are due: evenly, whatever the answers do. */

export class Schedule {
  readonly #startMs: number;
  readonly #everyMs: number;
  /** Of all requests. */
  readonly count: number;

  /** @param startMs of the first request, on the clock of performance.now() */
  constructor(startMs: number, rate: number, seconds: number) {
    this.#startMs = startMs;
    this.#everyMs = 1000 / rate;
    this.count = Math.max(1, Math.round(rate * seconds));
  }

  /** From the number, and not from the request before: an error would add up. */
  dueMs(number: number): number {
    return this.#startMs + number * this.#everyMs;
  }

  /** How many are due by then. */
  dueBy(nowMs: number): number {
    if (nowMs < this.#startMs) return 0;
    return Math.min(this.count, Math.floor((nowMs - this.#startMs) / this.#everyMs) + 1);
  }
}

/** A clock that all threads share: performance.now() begins with each of them. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
