/**
 * Up to when everything in the partitions of this collector is stored. Kafka is asked where each partition ends; once all before that is stored, it is stored
 * as of an asking before it. Fetches tell nothing of the kind: of a broker that has died or stands still they end, too, without having read anything.
 *
 * A broker that stood still answers, when it goes on, for a moment as the leader it was (measured: for 0.3 s), and what another took meanwhile is not in its answer.
 * It had not answered while it stood. So an answer speaks for the last asking that was answered a second before it was asked itself.
 */
interface Asking {
  /** ms since the epoch */
  readonly atMs: number;
  /** The same, and when it was answered, by a clock that is never set: by one that is set back, nothing would have been answered before. */
  readonly askedMs: number;
  readonly answeredMs: number;
}

interface Answer extends Asking {
  readonly end: number;
}

interface Read {
  /** All before this offset is stored. */
  next: number;
  /** When it was asked, and what is to be stored until then; null: nothing is waited for. */
  waits: Answer | null;
  /** Since when the end is said to be lower than what is waited for, by the clock that is never set; null: it is not. */
  lowerSinceMs: number | null;
  /** The asking as of which it is stored; null: not known. */
  done: Asking | null;
  /** Those that may be spoken for yet, the oldest first. */
  readonly answers: Answer[];
}

const SPEAKS_FOR_MS = 1000;
/** A lower end than was said before, or than is read, is believed when it has been said for so long. */
export const LOWER_FOR_MS = 10_000;

export class ReadThrough {
  readonly #partitions = new Map<number, Read>();

  /** Partitions were dealt out anew. @param next offset at which each is read on */
  begin(next: ReadonlyMap<number, number>): void {
    this.#partitions.clear();
    for (const [partition, offset] of next) this.#partitions.set(partition, { next: offset, waits: null, lowerSinceMs: null, done: null, answers: [] });
  }

  /** Where the partitions are read on. */
  get nexts(): ReadonlyMap<number, number> {
    return new Map([...this.#partitions].map(([partition, { next }]) => [partition, next]));
  }

  /** A partition's end, as it was answered. */
  ends(partition: number, end: number, asking: Asking): void {
    const read = this.#partitions.get(partition);
    if (read === undefined) return;
    const spokenFor = spokenForBy(read.answers, { ...asking, end });
    const { askedMs, answeredMs } = asking;
    // one that is waited for is reached some time, however fast the log grows; unless it went back
    if (read.waits !== null) {
      if (end >= read.waits.end) {
        read.lowerSinceMs = null;
        return;
      }
      // what was asked long ago is said only now
      read.lowerSinceMs ??= answeredMs;
      if (askedMs - read.lowerSinceMs < LOWER_FOR_MS) return;
    }
    // with less than was there at that asking, it does not speak for it
    if (spokenFor === null || end < spokenFor.end) return;
    read.waits = { ...spokenFor, end };
    read.lowerSinceMs = null;
    settle(read);
  }

  /** All before the offset is stored. */
  stored(partition: number, next: number): void {
    const read = this.#partitions.get(partition);
    if (read === undefined) return;
    read.next = Math.max(read.next, next);
    settle(read);
  }

  /** ms since the epoch; null: not known yet of all of these, or there are none. @param steadyMs by a clock that is never set */
  asOfMs(partitions: readonly number[], nowMs = Date.now(), steadyMs = performance.now()): number | null {
    let asOf: number | null = null;
    for (const partition of partitions) {
      const done = this.#partitions.get(partition)?.done ?? null;
      if (done === null) return null;
      // the clock may have been set back since: then that asking was earlier by it
      asOf = Math.min(asOf ?? Number.POSITIVE_INFINITY, done.atMs, Math.ceil(nowMs - (steadyMs - done.askedMs)));
    }
    return asOf;
  }
}

/** The last answer that this one speaks for; null: none. Forgets those before it, and keeps this one. */
function spokenForBy(answers: Answer[], answer: Answer): Answer | null {
  const isBefore = (other: Answer | undefined): other is Answer => other !== undefined && other.answeredMs <= answer.askedMs - SPEAKS_FOR_MS;
  while (isBefore(answers[1])) answers.shift();
  answers.push(answer);
  return isBefore(answers[0]) ? answers[0] : null;
}

function settle(read: Read): void {
  if (read.waits === null || read.next < read.waits.end) return;
  read.done = read.waits;
  read.waits = null;
  read.lowerSinceMs = null;
}
