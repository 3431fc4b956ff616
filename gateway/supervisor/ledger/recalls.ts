import type { LimitKey } from '../protocol.js';

/** One worker's wish for units of one key (as asked: quotas without day). */
export interface Ask {
  readonly stream: string;
  readonly id: number;
  readonly key: LimitKey;
  readonly want: number;
}

/** Stands among the streams for the store that nodes share. */
export const STORE = '(store)';

/** Units are being looked for: who has not answered yet, and who waits for what comes. */
export interface Recall {
  readonly id: number;
  readonly key: LimitKey;
  readonly missing: Set<string>;
  readonly deadlineMs: number;
  /** Only the store was asked, for what is free. */
  readonly first: boolean;
  /** The worker for which the others were asked, and which was not; null: none. */
  readonly spared: string | null;
  asks: Ask[];
  /** Called when all workers have answered, or the time is over. */
  done: (() => void)[];
}

/** The recalls under way, one a key. A second one takes over who waits for the first. */
export class Recalls {
  readonly #byKey = new Map<LimitKey, Recall>();
  #last = 0;

  of(key: LimitKey): Recall | undefined { return this.#byKey.get(key); }

  all(): Recall[] { return [...this.#byKey.values()]; }

  start(key: LimitKey, missing: Set<string>, deadlineMs: number, first: boolean, spared: string | null): Recall {
    const before = this.#byKey.get(key);
    if (before?.missing.has(STORE) === true) missing.add(STORE);
    const recall: Recall = {
      id: ++this.#last, key, missing, deadlineMs: Math.max(deadlineMs, before?.deadlineMs ?? 0), first: first || before?.first === true, spared,
      asks: before?.asks ?? [], done: before?.done ?? [],
    };
    this.#byKey.set(key, recall);
    return recall;
  }

  byId(id: number): Recall | undefined {
    for (const recall of this.#byKey.values()) if (recall.id === id) return recall;
    return undefined;
  }

  end(recall: Recall): void {
    if (this.#byKey.get(recall.key) === recall) this.#byKey.delete(recall.key);
  }
}
