/**
 * Up to when everything in the partitions of this collector is stored. Kafka is asked where each partition ends; once all before that is stored, it is stored
 * as of an asking before it. Fetches tell nothing of the kind: of a broker that has died or stands still they end, too, without having read anything.
 *
 * A broker that stood still answers, when it goes on, for a moment as the leader it was (measured: for 0.3 s), and what another took meanwhile is not in its answer.
 * It had not answered while it stood. So an answer speaks for the last asking that was answered a second before it was asked itself.
 */
interface Asking {
  /** When, and when it was answered; ms since the epoch. */
  readonly atMs: number;
  readonly answeredMs: number;
}

interface Read {
  /** All before this offset is stored. */
  next: number;
  /** When it was asked, and what is to be stored until then; null: nothing is waited for. */
  waits: { readonly atMs: number; readonly end: number } | null;
  /** Since when the end is said to be lower than what is waited for; null: it is not. */
  lowerSinceMs: number | null;
  /** Null: not known. */
  doneMs: number | null;
  /** Those that may be spoken for yet, the oldest first. */
  readonly askings: Asking[];
}

const SPEAKS_FOR_MS = 1000;
/** A lower end than was said before, or than is read, is believed when it has been said for so long. */
export const LOWER_FOR_MS = 10_000;

export class ReadThrough {
  readonly #partitions = new Map<number, Read>();

  /** Partitions were dealt out anew. @param next offset at which each is read on */
  begin(next: ReadonlyMap<number, number>): void {
    this.#partitions.clear();
    for (const [partition, offset] of next) this.#partitions.set(partition, { next: offset, waits: null, lowerSinceMs: null, doneMs: null, askings: [] });
  }

  /** Where the partitions are read on. */
  get nexts(): ReadonlyMap<number, number> {
    return new Map([...this.#partitions].map(([partition, { next }]) => [partition, next]));
  }

  /** A partition's end, as it was answered. */
  ends(partition: number, end: number, asking: Asking): void {
    const read = this.#partitions.get(partition);
    if (read === undefined) return;
    const spokenFor = spokenForBy(read.askings, asking);
    if (spokenFor === null) return;
    const { atMs } = asking;
    // one that is waited for is reached some time, however fast the log grows; unless it went back
    if (read.waits === null) {
      read.waits = { atMs: spokenFor, end };
    } else if (end >= read.waits.end) {
      read.lowerSinceMs = null;
    } else {
      read.lowerSinceMs ??= atMs;
      if (atMs - read.lowerSinceMs < LOWER_FOR_MS) return;
      read.waits = { atMs: spokenFor, end };
      read.lowerSinceMs = null;
    }
    settle(read);
  }

  /** All before the offset is stored. */
  stored(partition: number, next: number): void {
    const read = this.#partitions.get(partition);
    if (read === undefined) return;
    read.next = Math.max(read.next, next);
    settle(read);
  }

  /** ms since the epoch; null: not known yet of all of these, or there are none. */
  asOfMs(partitions: readonly number[]): number | null {
    let asOf: number | null = null;
    for (const partition of partitions) {
      const doneMs = this.#partitions.get(partition)?.doneMs ?? null;
      if (doneMs === null) return null;
      asOf = Math.min(asOf ?? doneMs, doneMs);
    }
    return asOf;
  }
}

/** When the last asking was that this one speaks for; null: none. Forgets those before it, and keeps this one. */
function spokenForBy(askings: Asking[], asking: Asking): number | null {
  const isBefore = (other: Asking | undefined): boolean => other !== undefined && other.answeredMs <= asking.atMs - SPEAKS_FOR_MS;
  while (isBefore(askings[1])) askings.shift();
  askings.push(asking);
  return isBefore(askings[0]) ? (askings[0] as Asking).atMs : null;
}

function settle(read: Read): void {
  if (read.waits === null || read.next < read.waits.end) return;
  read.doneMs = read.waits.atMs;
  read.waits = null;
  read.lowerSinceMs = null;
}
