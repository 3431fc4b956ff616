/**
 * Time limits without a timer a request: everything that can run late registers once in its life and keeps its deadline in a field; a
 * sweep every 100 ms calls those that are past it. Resolution is that tick; setting a deadline is one store.
 */

export interface Deadlined {
  /** Monotonic ms (`monotonicMs()`); Infinity: none. */
  deadlineMs: number;
  /** Place in the register; kept by Deadlines. */
  deadlineSlot: number;
  onDeadline(nowMs: number): void;
}

/** Monotonic milliseconds, fractional. */
export const monotonicMs = (): number => performance.now();

export class Deadlines {
  readonly #entries: Deadlined[] = [];
  #timer: NodeJS.Timeout | null = null;

  add(entry: Deadlined): void {
    entry.deadlineSlot = this.#entries.length;
    this.#entries.push(entry);
    if (this.#timer === null) {
      this.#timer = setInterval(() => { this.sweep(monotonicMs()); }, 100);
      this.#timer.unref();
    }
  }

  remove(entry: Deadlined): void {
    const slot = entry.deadlineSlot;
    if (slot < 0) return;
    entry.deadlineSlot = -1;
    const last = this.#entries.pop() as Deadlined;
    if (last !== entry) {
      this.#entries[slot] = last;
      last.deadlineSlot = slot;
    }
    if (this.#entries.length === 0 && this.#timer !== null) {
      clearInterval(this.#timer);
      this.#timer = null;
    }
  }

  /** Downwards, because an entry that is removed is replaced by the last one, which has been seen already. */
  sweep(nowMs: number): void {
    for (let i = this.#entries.length - 1; i >= 0; i--) {
      const entry = this.#entries[i];
      if (entry !== undefined && entry.deadlineMs <= nowMs) entry.onDeadline(nowMs);
    }
  }

  get size(): number {
    return this.#entries.length;
  }
}
