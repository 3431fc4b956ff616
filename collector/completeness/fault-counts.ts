/**
 * Events missing and stored twice, as counters: each judgement says how many there are in its days, which falls when a day goes out of sight or
 * late events come; the totals only rise. They begin at 0 with the process, and its first judgement counts what it finds: a gap that came
 * about while no collector ran must show as an increase too.
 */
import type { StreamCompleteness } from './completeness.js';

type Judged = Pick<StreamCompleteness, 'stream' | 'missing' | 'twice'>;

export class FaultCounts {
  #streams: ReadonlyMap<string, Judged> = new Map();
  #missingTotal = 0;
  #twiceTotal = 0;

  /** As last judged. */
  get missing(): number { return sum(this.#streams, 'missing'); }
  get twice(): number { return sum(this.#streams, 'twice'); }
  get missingTotal(): number { return this.#missingTotal; }
  get twiceTotal(): number { return this.#twiceTotal; }

  /** True: there are more than there were. By stream: one that goes out of sight must not hide another's. */
  take(judged: readonly Judged[]): boolean {
    const before = this.#missingTotal + this.#twiceTotal;
    for (const { stream, missing, twice } of judged) {
      const last = this.#streams.get(stream);
      this.#missingTotal += Math.max(0, missing - (last?.missing ?? 0));
      this.#twiceTotal += Math.max(0, twice - (last?.twice ?? 0));
    }
    this.#streams = new Map(judged.map((stream) => [stream.stream, stream]));
    return this.#missingTotal + this.#twiceTotal > before;
  }
}

function sum(streams: ReadonlyMap<string, Judged>, what: 'missing' | 'twice'): number {
  let total = 0;
  for (const stream of streams.values()) total += stream[what];
  return total;
}
