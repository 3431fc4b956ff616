/** Which seqs of which stream are stored, as the coverage says; kept up by whoever inserts. */
import type { Store } from '../store/store.js';
import type { SeqRunOfStream } from './picked-rows.js';
import { SeqSet } from './seq-set.js';

interface EdgeRow { readonly stream: string; readonly edge: number; readonly delta: number }

export class StoredSeqs {
  readonly #sets = new Map<string, SeqSet>();

  get streams(): number {
    return this.#sets.size;
  }

  of(stream: string): SeqSet {
    let set = this.#sets.get(stream);
    if (set === undefined) this.#sets.set(stream, set = new SeqSet());
    return set;
  }

  /** False: nothing is known of the stream, and `meet` would read it. */
  has(stream: string): boolean {
    return this.#sets.has(stream);
  }

  add(runs: readonly SeqRunOfStream[]): void {
    for (const { stream, first, last } of runs) this.of(stream).add(first, last);
  }

  clear(): void {
    this.#sets.clear();
  }

  forget(stream: string): void {
    this.#sets.delete(stream);
  }

  /** Reads the coverage of all streams, in place of what was known. @throws store_failed */
  async loadAll(store: Store): Promise<void> {
    this.#sets.clear();
    await this.#load(store, '');
  }

  /** Reads the coverage of those that are not known yet. @throws store_failed */
  async meet(store: Store, streams: Iterable<string>): Promise<void> {
    const met = [...new Set(streams)].filter((stream) => !this.#sets.has(stream));
    if (met.length === 0) return;
    await this.#load(store, `WHERE coverage.stream IN (${met.map((stream) => `0x${stream}`).join(', ')})`);
    for (const stream of met) this.of(stream);
  }

  async #load(store: Store, where: string): Promise<void> {
    const edges = await store.query<EdgeRow>(
      `SELECT leftPad(lower(hex(stream)), 16, '0') AS stream, edge, sum(delta) AS delta FROM tidegate.coverage AS coverage ${where}
       GROUP BY coverage.stream, edge HAVING delta != 0 ORDER BY coverage.stream, edge`);
    let open = 0;
    let first = 0;
    for (const { stream, edge, delta } of edges) {
      if (open === 0) first = edge;
      open += delta;
      if (open === 0) this.of(stream).add(first, edge - 1);
    }
  }
}
