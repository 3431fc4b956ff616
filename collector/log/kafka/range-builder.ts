/**
 * Builds a range of one partition from its messages, in their order, until its bounds are reached. What it makes of the same messages with the same
 * seqs known is the same always, so a range that is found as an intent is built by the same code: bounded by the intent's end alone, and knowing
 * what the intent leaves out in place of the coverage.
 */
import { decodeChunk, type ReceivedMessage, type StreamFacts } from '../../../gateway/events/chunk.js';
import { ROW_VERSION, type RowVersion } from '../../../gateway/events/event.js';
import { MOST_IMPORTED_DAYS, StreamPicker, together, type PickedRows, type RangeLimits, type SeqRunOfStream } from '../picked-rows.js';
import { SeqSet, type SeqRun } from '../seq-set.js';
import { intentFits, type Intent } from './intent.js';

export interface LogMessage extends ReceivedMessage {
  readonly offset: number;
}

export interface Poison {
  readonly message: LogMessage;
  /** 16 zeros: the key is no stream. */
  readonly stream: string;
  readonly reason: string;
  readonly detail: string;
}

export interface StatedFacts {
  readonly facts: StreamFacts;
  /** Of the message that says so. */
  readonly offset: number;
}

export class RangeBuilder {
  readonly from: number;
  readonly version: RowVersion;
  /** Where the range ends, as things are. */
  to: number;
  readonly poison: Poison[] = [];
  readonly #limits: RangeLimits;
  readonly #storedOf: (stream: string) => SeqSet;
  readonly #pickers = new Map<string, StreamPicker>();
  readonly #out = new Map<string, SeqSet>();
  readonly #states = new Map<string, StatedFacts>();
  /** Of imported rows. */
  readonly #days = new Set<number>();
  /** A message that no intent can speak of stands alone, in a range without rows. */
  #alone = false;

  /** @param storedOf seqs of a stream that are stored, as of the range's start @param version of its rows */
  constructor(from: number, limits: RangeLimits, storedOf: (stream: string) => SeqSet, version: RowVersion = ROW_VERSION) {
    this.version = version;
    this.from = from;
    this.to = from;
    this.#limits = limits;
    this.#storedOf = storedOf;
  }

  /** Builds an intent's range again: messages up to its end are taken, whatever the limits are now. */
  static again({ from, out, version }: Pick<Intent, 'from' | 'out' | 'version'>): RangeBuilder {
    const known = new Map<string, SeqSet>();
    for (const { stream, first, last } of out) known.set(stream, known.get(stream) ?? new SeqSet()).get(stream)?.add(first, last);
    return new RangeBuilder(from, { rows: Number.POSITIVE_INFINITY, bytes: Number.POSITIVE_INFINITY, days: Number.POSITIVE_INFINITY }, (stream) => known.get(stream) ?? new SeqSet(), version);
  }

  /** False: the range is full; the message is for the next. Messages come without gaps, but for what the log has lost. */
  add(message: LogMessage): boolean {
    if (this.#alone) return false;
    const chunk = decodeChunk(message, this.version);
    const stream = chunk.stream ?? '0'.repeat(16);
    if (chunk.kind !== 'state') {
      const { frames } = chunk;
      if (this.rows > 0 && (this.rows >= this.#limits.rows || this.bytes >= this.#limits.bytes)) return false;
      const days = this.#newDays(stream, frames);
      if (this.rows > 0 && this.#days.size + days.size > (this.#limits.days ?? MOST_IMPORTED_DAYS)) return false;
      const out = this.#outWith(stream, frames);
      if (out !== null) {
        const fits = intentFits(runsOf(new Map([...this.#out, [stream, out]])));
        if (!fits && this.to > this.from) return false;
        if (!fits) {
          this.#alone = true;
          this.#putAside(message, stream, 'fragmented', 'too many of its rows are stored, with others between them');
          return true;
        }
        this.#out.set(stream, out);
      }
      const picker = this.#picker(stream);
      for (const day of days) this.#days.add(day);
      let overlaps = false;
      for (const { firstSeq, count, rows } of frames) overlaps = !picker.take(firstSeq, count, rows) || overlaps;
      if (chunk.kind === 'unreadable') this.#putAside(message, stream, chunk.reason, chunk.detail);
      else if (overlaps) this.#putAside(message, stream, 'overlap', 'a frame shares rows with another, and is not the same');
    } else {
      this.#states.set(stream, { facts: chunk.facts, offset: message.offset });
    }
    this.to = message.offset + 1;
    return true;
  }

  get rows(): number {
    let rows = 0;
    for (const picker of this.#pickers.values()) rows += picker.rows;
    return rows;
  }

  get bytes(): number {
    let bytes = 0;
    for (const picker of this.#pickers.values()) bytes += picker.bytes;
    return bytes;
  }

  /** The newest of each stream. */
  get states(): readonly StatedFacts[] {
    return [...this.#states.values()];
  }

  /** Seqs of its frames that were stored before it. */
  get out(): SeqRunOfStream[] {
    return runsOf(this.#out);
  }

  picked(): PickedRows {
    return together([...this.#pickers.values()], this.version);
  }

  /** Days of imported rows that the range does not have yet. Of one message they are few: a segment of an import has no more than a range. */
  #newDays(stream: string, frames: readonly { readonly rows: Buffer }[]): Set<number> {
    const picker = this.#picker(stream);
    const days = frames.flatMap(({ rows }) => picker.importedDay(rows) ?? []);
    return new Set(days.filter((day) => !this.#days.has(day)));
  }

  #picker(stream: string): StreamPicker {
    let picker = this.#pickers.get(stream);
    if (picker === undefined) this.#pickers.set(stream, picker = new StreamPicker(stream, this.#storedOf(stream)));
    return picker;
  }

  /** Null: none of the frames' rows is stored. */
  #outWith(stream: string, frames: readonly { readonly firstSeq: number; readonly count: number }[]): SeqSet | null {
    const stored = this.#storedOf(stream);
    const known = frames.flatMap(({ firstSeq, count }) => stored.within(firstSeq, firstSeq + count - 1));
    return known.length === 0 ? null : new SeqSet([...this.#out.get(stream)?.runs ?? [], ...known]);
  }

  #putAside(message: LogMessage, stream: string, reason: string, detail: string): void {
    this.poison.push({ message, stream, reason, detail });
    this.to = message.offset + 1;
  }
}

function runsOf(sets: ReadonlyMap<string, { readonly runs: readonly SeqRun[] }>): SeqRunOfStream[] {
  return [...sets].flatMap(([stream, { runs }]) => runs.map((run) => ({ stream, ...run })));
}
