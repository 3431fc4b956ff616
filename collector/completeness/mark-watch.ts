/**
 * How long a stream's events were known to be written, and whether they are stored: marks as they were seen, with the time at which this process
 * saw them first. Marks move each second, so the newest alone cannot tell.
 */
interface Seen { readonly seq: number; readonly atMs: number }

interface Watched {
  /** The mark that is waited for: later ones have their own time. Null: all that is marked is stored. */
  behind: Seen | null;
  newestSeq: number;
  /** Marks that are not due yet, oldest first. */
  readonly recent: Seen[];
  dueSeq: number;
}

/** From the mark to the store an event takes seconds; with what a judgement may be late, this flags what is missing within a minute. */
export const DUE_AFTER_MS = 40_000;

export class MarkWatch {
  readonly #streams = new Map<string, Watched>();

  /** The stream's mark is there. @param steadyMs of a clock that is never set */
  marked(stream: string, markSeq: number, steadyMs: number): void {
    const watched = this.#of(stream);
    watched.newestSeq = markSeq;
    if ((watched.recent.at(-1)?.seq ?? watched.dueSeq) < markSeq) watched.recent.push({ seq: markSeq, atMs: steadyMs });
    while (watched.recent[0] !== undefined && steadyMs - watched.recent[0].atMs >= DUE_AFTER_MS) watched.dueSeq = watched.recent.shift()?.seq ?? watched.dueSeq;
  }

  /**
   * All that the mark speaks of is stored, but for what comes from `pendingSeq` on; null: all of it.
   * @returns since when it is known that something is not, ms since the epoch; null: all is
   */
  reached(stream: string, pendingSeq: number | null, nowMs: number): number | null {
    const watched = this.#of(stream);
    if (pendingSeq === null) watched.behind = null;
    else if (watched.behind === null || pendingSeq > watched.behind.seq) watched.behind = { seq: watched.newestSeq, atMs: nowMs };
    return watched.behind?.atMs ?? null;
  }

  /** The newest mark that has been known for so long that all up to it should be stored; -1: none. */
  dueSeq(stream: string): number {
    return this.#streams.get(stream)?.dueSeq ?? -1;
  }

  /** Forgets all others. */
  keep(streams: ReadonlySet<string>): void {
    for (const stream of this.#streams.keys()) if (!streams.has(stream)) this.#streams.delete(stream);
  }

  #of(stream: string): Watched {
    let watched = this.#streams.get(stream);
    if (watched === undefined) this.#streams.set(stream, watched = { behind: null, newestSeq: -1, recent: [], dueSeq: -1 });
    return watched;
  }
}
