/** Who shares limits, as far as this node knows: what the registry in Redis said last, remembered for a while so that a wipe does not make it forget. */

/** A node that was silent for this long is not alive. */
export const ALIVE_MS = 10_000;

export class KnownNodes {
  readonly #self: string;
  readonly #listed: () => readonly string[];
  readonly #seen = new Map<string, number>();

  /** `listed`: names of the nodes that the configuration says there are. */
  constructor(self: string, listed: () => readonly string[]) {
    this.#self = self;
    this.#listed = listed;
  }

  /** `ids`: alive now. Answers whether any is new. */
  take(ids: readonly string[], nowMs: number): void {
    for (const id of ids) this.#seen.set(id, nowMs);
    for (const [id, seenMs] of this.#seen) if (nowMs - seenMs > ALIVE_MS) this.#seen.delete(id);
  }

  get others(): string[] { return [...this.#seen.keys()].filter((id) => id !== this.#self); }

  get count(): number { return Math.max(this.others.length + 1, this.#listed().length); }

  /** Who has to declare itself before anything is granted anew. */
  get expected(): string {
    return [this.#self, ...this.others, ...this.#listed().map((name) => `@${name}`)].join(' ');
  }
}
