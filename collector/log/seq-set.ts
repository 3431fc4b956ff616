/** A set of seqs of one stream, as runs. Usually one run that grows at its end, so that is the quick way. */
export interface SeqRun {
  readonly first: number;
  /** Included. */
  readonly last: number;
}

export class SeqSet {
  /** In order; runs neither overlap nor touch. */
  #runs: SeqRun[] = [];

  constructor(runs: Iterable<SeqRun> = []) {
    for (const { first, last } of runs) this.add(first, last);
  }

  get runs(): readonly SeqRun[] {
    return this.#runs;
  }

  /** One past the last; 0 if empty. */
  get end(): number {
    return (this.#runs.at(-1)?.last ?? -1) + 1;
  }

  add(first: number, last: number): void {
    const tail = this.#runs.at(-1);
    if (tail === undefined || first > tail.last + 1) {
      this.#runs.push({ first, last });
    } else if (first === tail.last + 1) {
      this.#runs[this.#runs.length - 1] = { first: tail.first, last };
    } else {
      const touching = this.#runs.filter((run) => run.first <= last + 1 && run.last >= first - 1);
      const merged = { first: Math.min(first, ...touching.map((run) => run.first)), last: Math.max(last, ...touching.map((run) => run.last)) };
      this.#runs = [...this.#runs.filter((run) => !touching.includes(run)), merged].sort((a, b) => a.first - b.first);
    }
  }

  /** The parts of first to last that are in the set. */
  within(first: number, last: number): SeqRun[] {
    const tail = this.#runs.at(-1);
    if (tail === undefined || first > tail.last) return [];
    return this.#runs.filter((run) => run.first <= last && run.last >= first)
      .map((run) => ({ first: Math.max(first, run.first), last: Math.min(last, run.last) }));
  }
}
