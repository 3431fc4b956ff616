/**
 * One stream on its way to Kafka: what of its segments has been acknowledged, and what goes next.
 *
 * Frames go in order, until more waits than goes in a round or two: after an outage. From then on pieces come in turn from the oldest and
 * from the newest segment that has any, so that what is recorded now is not behind hours of what was recorded then; the two meet in the middle.
 */
import { unlinkSync } from 'node:fs';
import { firstSeqOf } from '../read-segment.js';
import type { SegmentFile } from '../segment.js';
import type { SpooledStream } from '../spool.js';
import { SegmentPieces, type Piece, type PieceLimits } from './segment-pieces.js';
import type { Acked } from './ship-note.js';

export interface ShipmentLimits extends PieceLimits {
  /** A smaller piece goes when its first frame has waited this long, ms. */
  readonly ageMs: number;
  /** More bytes than this waiting are a backlog. */
  readonly backlogBytes: number;
}

export class StreamShipment {
  readonly stream: string;
  readonly #limits: ShipmentLimits;
  /** By segment: bytes from its start. */
  readonly #acked = new Map<number, number>();
  readonly #firstSeqs = new Map<number, number>();
  #source: SpooledStream;
  /** Open for this round, by segment. */
  #pieces = new Map<number, SegmentPieces>();
  #fromNewest = false;
  #backlog = false;
  #taken = false;
  /** The mark as of the look before; -1: none. */
  #markBefore = -1;
  /** Once these bytes of each segment are acknowledged, all up to the mark is: it was read before they were looked at. */
  #goal: { readonly mark: number; readonly bytes: ReadonlyMap<number, number> } | null = null;
  #shippedSeq = -1;
  /** Since when (monotonic ms) something has waited; null: nothing does. */
  #waitingSinceMs: number | null = null;

  constructor(source: SpooledStream, acked: Acked, limits: ShipmentLimits) {
    this.stream = source.stream;
    this.#limits = limits;
    this.#source = source;
    for (const [segment, bytes] of Object.entries(acked)) this.#acked.set(Number(segment), bytes);
  }

  get source(): SpooledStream { return this.#source; }

  get acked(): Record<string, number> {
    return Object.fromEntries([...this.#acked].sort(([a], [b]) => a - b));
  }

  /** All that was written up to it is acknowledged; -1: not known of any. */
  get shippedSeq(): number { return this.#shippedSeq; }

  /** A segment that only a newer program can read, if one was met in this round. */
  get newerSegment(): { readonly segment: number; readonly version: number } | null {
    for (const [segment, { newerVersion }] of this.#pieces) if (newerVersion > 0) return { segment, version: newerVersion };
    return null;
  }

  /** Bytes that wait, as of the last look. */
  get waitingBytes(): number {
    return this.#source.segments.reduce((sum, file) => sum + this.#waitingIn(file), 0);
  }

  /** The oldest segment in which something waits; null: none. */
  get oldestWaiting(): { readonly file: SegmentFile; readonly offset: number } | null {
    const file = this.#source.segments.find((segment) => this.#waitingIn(segment) > 0);
    return file === undefined ? null : { file, offset: this.#acked.get(file.index) ?? 0 };
  }

  /** All that was there at the last look has been acknowledged, and no more will come. */
  get finished(): boolean {
    return this.#source.state !== null && this.#source.state.seal !== null && this.waitingBytes === 0;
  }

  /** Begins a round with the stream as it is now. */
  look(source: SpooledStream, nowMs: number): void {
    this.#source = source;
    this.#goal ??= { mark: this.#markBefore, bytes: new Map(source.segments.map(({ index, bytes }) => [index, bytes])) };
    this.#markBefore = source.state?.lastSeq ?? -1;
    const present = new Set(source.segments.map(({ index }) => index));
    for (const index of this.#acked.keys()) if (!present.has(index)) this.#acked.delete(index);
    for (const index of this.#firstSeqs.keys()) if (!present.has(index)) this.#firstSeqs.delete(index);
    this.#backlog = this.waitingBytes > this.#limits.backlogBytes;
    this.#waitingSinceMs = this.waitingBytes === 0 ? null : this.#waitingSinceMs ?? nowMs;
  }

  /**
   * The next piece; null: nothing goes now. Throws what the file system says.
   * @param all also what could wait for more
   */
  take(nowMs: number, all: boolean): Piece | null {
    const due = all || (this.#waitingSinceMs !== null && nowMs - this.#waitingSinceMs >= this.#limits.ageMs);
    this.#fromNewest = this.#backlog && !this.#fromNewest;
    const segments = this.#fromNewest ? this.#source.segments.toReversed() : this.#source.segments;
    for (const file of segments) {
      const piece = this.#open(file)?.take(this.#limits, due) ?? null;
      if (piece === null) continue;
      this.#taken = true;
      return piece;
    }
    return null;
  }

  /** The pieces taken since `look` have been acknowledged, or (false) have not: then they will be taken again. */
  settle(acknowledged: boolean, nowMs: number): void {
    for (const [index, pieces] of this.#pieces) {
      if (acknowledged) this.#acked.set(index, pieces.at);
      pieces.close();
    }
    this.#pieces = new Map();
    this.#reachGoal();
    const taken = this.#taken;
    this.#taken = false;
    // what is left of a living stream's end came while this round was on
    if (acknowledged && taken && !this.#backlog) this.#waitingSinceMs = this.waitingBytes === 0 ? null : nowMs;
  }

  /**
   * Deletes segments that are wholly acknowledged and get no more. Of a living stream only those up to its mark: what lies beyond it
   * the ledger may still have to count, should the worker die; a sealed stream is settled with the ledger before it is sealed.
   */
  deleteSegments(): number {
    const { segments, state } = this.#source;
    if (state === null) return 0;
    let deleted = 0;
    for (const [i, file] of segments.entries()) {
      if (this.#waitingIn(file) > 0) continue;
      const next = segments[i + 1];
      if (state.seal === null && (next === undefined || this.#firstSeq(next) - 1 > state.lastSeq)) continue;
      unlinkSync(file.path);
      deleted++;
    }
    return deleted;
  }

  #reachGoal(): void {
    if (this.#goal === null) return;
    const present = new Set(this.#source.segments.map(({ index }) => index));
    for (const [index, bytes] of this.#goal.bytes) if (present.has(index) && (this.#acked.get(index) ?? 0) < bytes) return;
    this.#shippedSeq = Math.max(this.#shippedSeq, this.#goal.mark);
    this.#goal = null;
  }

  #waitingIn(file: SegmentFile): number {
    return Math.max(0, file.bytes - (this.#acked.get(file.index) ?? 0));
  }

  #open(file: SegmentFile): SegmentPieces | null {
    const open = this.#pieces.get(file.index);
    if (open !== undefined) return open;
    if (this.#waitingIn(file) === 0) return null;
    const { segments, state } = this.#source;
    const final = (state !== null && state.seal !== null) || file !== segments.at(-1);
    const pieces = new SegmentPieces(file, this.stream, this.#acked.get(file.index) ?? 0, final);
    this.#pieces.set(file.index, pieces);
    return pieces;
  }

  /** Infinity: no frame in it yet. */
  #firstSeq(file: SegmentFile): number {
    const known = this.#firstSeqs.get(file.index);
    if (known !== undefined) return known;
    const first = firstSeqOf(file, this.stream);
    if (first === -1) return Number.POSITIVE_INFINITY;
    this.#firstSeqs.set(file.index, first);
    return first;
  }
}
