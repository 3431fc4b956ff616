/**
 * A bounded cache by string: two Maps, the young and the old. A full young one becomes the old, and the old one is forgotten; what is read
 * from the old moves to the young. So what is in use stays, at one or two Map look-ups a read, without a linked list to keep.
 * Holds `limit` to twice `limit` entries.
 */
export class RecentCache<V extends object | true> {
  readonly #limit: number;
  #young = new Map<string, V>();
  #old = new Map<string, V>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#young.size + this.#old.size;
  }

  get(key: string): V | undefined {
    const value = this.#young.get(key);
    if (value !== undefined) return value;
    const old = this.#old.get(key);
    if (old !== undefined) this.set(key, old);
    return old;
  }

  delete(key: string): void {
    this.#young.delete(key);
    this.#old.delete(key);
  }

  set(key: string, value: V): void {
    // A copy of its own: a slice of a request's head would keep the whole head alive.
    this.#young.set(Buffer.from(key, 'utf8').toString('utf8'), value);
    if (this.#young.size < this.#limit) return;
    this.#old = this.#young;
    this.#young = new Map();
  }
}
