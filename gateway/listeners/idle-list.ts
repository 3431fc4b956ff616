/** A connection in an IdleList. It keeps its own links: to enter and to leave costs four of them, and no look-up. */
export interface Idler<T> {
  idleBefore: T | null;
  idleAfter: T | null;
  isInIdleList: boolean;
}

/**
 * Connections that serve no request, the longest idle first: under pressure it gives way to whoever connects.
 *
 *     first <-> … <-> last
 */
export class IdleList<T extends Idler<T>> {
  #first: T | null = null;
  #last: T | null = null;

  get first(): T | null { return this.#first; }

  /** It is idle from now on; one that is in the list already has been idle all the time. */
  add(idler: T): void {
    if (idler.isInIdleList) return;
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
