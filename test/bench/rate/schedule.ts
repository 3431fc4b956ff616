/** When requests are due: evenly within each step, whatever the answers do. */

export interface RateStep {
  /** Requests a second. */
  readonly rate: number;
  readonly seconds: number;
}

interface PlacedStep {
  readonly everyMs: number;
  /** Its first request, and when that is due. */
  readonly first: number;
  readonly startMs: number;
  /** One past its last request. */
  readonly end: number;
}

export class Schedule {
  readonly #startMs: number;
  readonly #steps: readonly PlacedStep[];
  /** Of all requests. */
  readonly count: number;
  /** When the last step is over. */
  readonly endMs: number;

  /** @param startMs of the first request, on the clock of performance.now() */
  constructor(startMs: number, steps: readonly RateStep[]) {
    this.#startMs = startMs;
    let first = 0;
    let atMs = startMs;
    this.#steps = steps.map(({ rate, seconds }) => {
      const count = Math.max(1, Math.round(rate * seconds));
      const step = { everyMs: 1000 / rate, first, startMs: atMs, end: first + count };
      first += count;
      atMs += seconds * 1000;
      return step;
    });
    this.count = first;
    this.endMs = atMs;
  }

  /** From the number, and not from the request before: an error would add up. */
  dueMs(number: number): number {
    const { startMs, first, everyMs } = this.#steps[this.stepOf(number)] as PlacedStep;
    return startMs + (number - first) * everyMs;
  }

  /** How many are due by then. */
  dueBy(nowMs: number): number {
    if (nowMs < this.#startMs) return 0;
    const { startMs, first, end, everyMs } = this.#steps[this.stepAt(nowMs)] as PlacedStep;
    return Math.min(end, first + Math.floor((nowMs - startMs) / everyMs) + 1);
  }

  /** To which step the request belongs; the last: it is beyond the end. */
  stepOf(number: number): number {
    const step = this.#steps.findIndex(({ end }) => number < end);
    return step === -1 ? this.#steps.length - 1 : step;
  }

  /** Which step the moment lies in; the last: it is later. */
  stepAt(nowMs: number): number {
    const next = this.#steps.findIndex(({ startMs }) => nowMs < startMs);
    return next === -1 ? this.#steps.length - 1 : Math.max(0, next - 1);
  }

  /** The requests of a step: from, and up to without it. */
  requestsOf(step: number): readonly [first: number, end: number] {
    const { first, end } = this.#steps[step] as PlacedStep;
    return [first, end];
  }
}

/** A clock that all threads share: performance.now() begins with each of them. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
