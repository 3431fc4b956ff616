/**
 * Picks the next range from the spool: frames of all streams, from where each was left, bounded in rows and bytes. Within the range rows lie stream
 * by stream in the order of seq.
 *
 * What is stored already is left out, judged by the coverage as of the range's start: a frame that holds nothing new is skipped, one that holds
 * some is taken and its known rows are filtered by the INSERT. A stream's part ends where its seqs would go back.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { readFrames, type FrameItem, type UnreadableItem } from '../../gateway/events/read-segment.js';
import { decodeRow, RowCursor } from '../../gateway/events/read-rows.js';
import type { SpooledStream } from '../../gateway/events/spool.js';
import type { Place, SeqRunOfStream, Span } from './manifest.js';
import { SeqSet } from './seq-set.js';

export interface RangeLimits {
  readonly rows: number;
  readonly bytes: number;
}

export interface PickedRange {
  readonly spans: readonly Span[];
  /** Rows as they lie in the frames. */
  readonly pieces: readonly Buffer[];
  readonly rows: number;
  /** New seqs in it. */
  readonly runs: readonly SeqRunOfStream[];
  readonly repeats: readonly SeqRunOfStream[];
  readonly leaveOut: readonly SeqRunOfStream[];
  /** Rows a second of each stream that has rows in it. */
  readonly paces: readonly { readonly stream: string; readonly rowsASecond: number }[];
  readonly unreadable: readonly { readonly source: SpooledStream; readonly item: UnreadableItem }[];
  /** True: the end of every stream was reached; false: there is more to pick at once. */
  readonly caughtUp: boolean;
  /** Streams that are sealed and read to their end. */
  readonly finished: ReadonlySet<string>;
}

/** The event loop also serves reports: it is let go after so many frames, about a megabyte. */
const ITEMS_A_TURN = 256;

/** More is a clock that was set. */
const MOST_ROWS_A_SECOND = 1_000_000;

export const START: Place = { segment: 0, offset: 0, seq: 0 };

export async function pickRange(
  streams: readonly SpooledStream[],
  placeOf: (stream: string) => Place,
  stored: (stream: string) => SeqSet,
  limits: RangeLimits,
): Promise<PickedRange> {
  const unread = streams.filter((source) => hasUnread(source, placeOf(source.stream))).length;
  const share: RangeLimits = { rows: Math.ceil(limits.rows / Math.max(1, unread)), bytes: Math.ceil(limits.bytes / Math.max(1, unread)) };
  const parts: StreamPart[] = [];
  for (const source of streams) {
    const part = new StreamPart(source, placeOf(source.stream));
    await part.read(stored(source.stream), share);
    parts.push(part);
  }
  return {
    spans: parts.map(({ source, from, to }) => ({ stream: source.stream, from, to })),
    pieces: parts.flatMap((part) => part.pieces),
    rows: parts.reduce((sum, part) => sum + part.rows, 0),
    runs: parts.flatMap((part) => part.runs),
    repeats: parts.flatMap((part) => part.repeats),
    leaveOut: parts.flatMap((part) => part.leaveOut),
    paces: parts.filter((part) => part.rows > 0).map((part) => ({ stream: part.source.stream, rowsASecond: part.rowsASecond })),
    unreadable: parts.flatMap((part) => part.unreadable.map((item) => ({ source: part.source, item }))),
    caughtUp: parts.every((part) => part.ended),
    finished: new Set(parts.filter((part) => part.finished).map((part) => part.source.stream)),
  };
}

/** Only to share the bounds out: what it says is looked at again. */
function hasUnread(source: SpooledStream, place: Place): boolean {
  return source.segments.some(({ index, bytes }) => index > place.segment || (index === place.segment && bytes > place.offset));
}

class StreamPart {
  readonly source: SpooledStream;
  readonly from: Place;
  readonly pieces: Buffer[] = [];
  readonly repeats: SeqRunOfStream[] = [];
  readonly leaveOut: SeqRunOfStream[] = [];
  readonly unreadable: UnreadableItem[] = [];
  rows = 0;
  ended = false;
  finished = false;
  to: Place;
  readonly #new = new SeqSet();

  constructor(source: SpooledStream, from: Place) {
    this.source = source;
    this.from = from;
    this.to = from;
  }

  async read(stored: SeqSet, share: RangeLimits): Promise<void> {
    let bytes = 0;
    let items = 0;
    for (const item of readFrames(this.source.dir, this.from)) {
      if (++items % ITEMS_A_TURN === 0) await nextTurn();
      if (item.kind === 'end') {
        this.ended = true;
        this.finished = item.sealed;
        this.to = { ...item.at, seq: this.to.seq };
        return;
      }
      if (item.kind === 'frame') {
        const { firstSeq, count } = item;
        if (firstSeq < this.#new.end || this.rows >= share.rows || bytes >= share.bytes) return;
        bytes += item.rows.length;
        this.#take(item, stored.within(firstSeq, firstSeq + count - 1));
      } else {
        this.unreadable.push(item);
        this.to = { ...item.next, seq: this.to.seq };
      }
    }
  }

  get runs(): SeqRunOfStream[] {
    return this.#new.runs.map((run) => ({ stream: this.source.stream, ...run }));
  }

  /** From the ends of the first and of the last frame's first requests; 0: too little to tell. */
  get rowsASecond(): number {
    const [first, last] = [this.pieces[0], this.pieces.at(-1)];
    if (first === undefined || last === undefined) return 0;
    const [a, b] = [decodeRow(new RowCursor(first)), decodeRow(new RowCursor(last))];
    const seconds = (b.timeMs - a.timeMs) / 1000 + (b.durationUs - a.durationUs) / 1e6;
    const pace = Math.round((b.seq - a.seq) / seconds);
    return pace > 0 && pace <= MOST_ROWS_A_SECOND ? pace : 0;
  }

  #take(item: FrameItem, known: readonly { first: number; last: number }[]): void {
    const { stream } = this.source;
    const first = item.firstSeq;
    const last = first + item.count - 1;
    const place = { ...item.next, seq: Math.max(this.to.seq, last + 1) };
    this.to = place;
    const whole = known.some((run) => run.first === first && run.last === last);
    if (whole) {
      this.repeats.push({ stream, first, last });
      return;
    }
    for (const run of known) this.leaveOut.push({ stream, ...run });
    this.pieces.push(item.rows);
    this.rows += item.count;
    let next = first;
    for (const run of [...known, { first: last + 1, last: last + 1 }]) {
      if (run.first > next) this.#new.add(next, run.first - 1);
      next = run.last + 1;
    }
  }
}

/** The rows of a range again, as they lay in its staging file. Null: the spool does not hold them any more. */
export function readAgain(streamDir: string, span: Span, repeats: readonly SeqRunOfStream[]): Buffer[] | null {
  const { from, to, stream } = span;
  const skipped = new Set(repeats.filter((run) => run.stream === stream).map((run) => run.first));
  const pieces: Buffer[] = [];
  for (const item of readFrames(streamDir, from)) {
    if (item.kind === 'end') break;
    if (item.at.segment > to.segment || (item.at.segment === to.segment && item.at.offset >= to.offset)) return pieces;
    if (item.kind === 'frame' && !skipped.has(item.firstSeq)) pieces.push(item.rows);
    if (item.next.segment === to.segment && item.next.offset === to.offset) return pieces;
  }
  return pieces.length > 0 ? pieces : null;
}
