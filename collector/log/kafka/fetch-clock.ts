/**
 * Up to when everything in the partitions of this collector is stored. kafkajs fetches from a broker again only when all that it fetched before was worked
 * through; so at the beginning of a fetch all is stored that was there at the beginning of the one before, unless that one was cut short.
 */
interface Fetched {
  startedMs: number;
  /** Null: not known. */
  doneMs: number | null;
  cut: boolean;
}

export class FetchClock {
  readonly #brokers = new Map<string, Fetched>();

  /** A fetch from a broker begins. */
  fetches(broker: number | string, nowMs: number): void {
    const known = this.#brokers.get(String(broker));
    const doneMs = known === undefined ? null : known.cut ? known.doneMs : known.startedMs;
    this.#brokers.set(String(broker), { startedMs: nowMs, doneMs, cut: false });
  }

  /** A batch of a fetch. @param toTheEnd it reaches to the partition's end, as of that fetch */
  takes(toTheEnd: boolean): void {
    // which broker it came from is not said
    if (!toTheEnd) for (const fetched of this.#brokers.values()) fetched.cut = true;
  }

  /** Partitions were dealt out anew. */
  forget(): void {
    this.#brokers.clear();
  }

  /** ms since the epoch; null: not known yet, for nobody has come to the end of all of them. */
  caughtUpMs(): number | null {
    let caughtUp: number | null = null;
    for (const { doneMs } of this.#brokers.values()) {
      if (doneMs === null) return null;
      caughtUp = Math.min(caughtUp ?? doneMs, doneMs);
    }
    return caughtUp;
  }
}
