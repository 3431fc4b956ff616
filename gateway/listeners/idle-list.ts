/** A connection in an IdleList. It keeps its own links: to enter and to leave costs four of them, and no look-up. */
export interface Idler<T> {
  idleBefore: T | null;
  idleAfter: T | null;
  isInIdleList: boolean;
  /** Monotonic, ms. */
  idleSinceMs: number;
  readonly socket: { readonly writableLength: number };
}

/** For so long nobody gives way: who has just connected, or was just answered, is about to send a request. */
export const IDLE_UNDISTURBED_MS = 2000;

/**
 * Connections that serve no request, the longest idle first: under pressure it gives way to whoever connects.
 *
 *     first <-> … <-> last
 */
export class IdleList<T extends Idler<T>> {
  #first: T | null = null;
  #last: T | null = null;

  get first(): T | null { return this.#first; }

  /** Takes the longest idle out of the list, to be closed; null: nobody has been idle for long enough. */
  takeLongest(nowMs: number): T | null {
    for (;;) {
      const longest = this.#first;
      if (longest === null || nowMs - longest.idleSinceMs < IDLE_UNDISTURBED_MS) return null;
      this.remove(longest);
      if (longest.socket.writableLength === 0) return longest;
      // its client is still taking an answer, for which the time-out of writing holds
      this.add(longest, nowMs);
    }
  }

  /** It is idle from now on; one that is in the list already has been idle all the time. */
  add(idler: T, nowMs: number): void {
    if (idler.isInIdleList) return;
    idler.idleSinceMs = nowMs;
    idler.isInIdleList = true;
    idler.idleBefore = this.#last;
    if (this.#last === null) this.#first = idler;
    else this.#last.idleAfter = idler;
    this.#last = idler;
  }

  /** It serves, or is gone. */
  remove(idler: T): void {
    if (!idler.isInIdleList) return;
    idler.isInIdleList = false;
    const { idleBefore, idleAfter } = idler;
    if (idleBefore === null) this.#first = idleAfter;
    else idleBefore.idleAfter = idleAfter;
    if (idleAfter === null) this.#last = idleBefore;
    else idleAfter.idleBefore = idleBefore;
    idler.idleBefore = idler.idleAfter = null;
  }
}
