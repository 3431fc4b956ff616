/**
 * Picks the next range from the spool: frames of all streams, from where each was left, bounded in rows and bytes. Within the range rows lie stream
 * by stream in the order of seq.
 *
 * What is stored already is left out, judged by the coverage as of the range's start: a frame that holds nothing new is skipped, one that holds
 * some is taken and its known rows are filtered by the INSERT. A stream's part ends where its seqs would go back.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ROW_VERSION, type RowVersion } from '../../../gateway/events/event.js';
import { FRAME_HEADER_BYTES } from '../../../gateway/events/frame.js';
import { readFrames, type UnreadableItem } from '../../../gateway/events/read-segment.js';
import type { SpooledStream } from '../../../gateway/events/spool.js';
import { MOST_IMPORTED_DAYS, StreamPicker, together, type PickedRows, type RangeLimits, type SeqRunOfStream } from '../picked-rows.js';
import type { SeqSet } from '../seq-set.js';
import type { Place, Span } from './manifest.js';

export interface PickedRange extends PickedRows {
  readonly spans: readonly Span[];
  readonly unreadable: readonly { readonly source: SpooledStream; readonly item: UnreadableItem }[];
  /** True: the end of every stream was reached; false: there is more to pick at once. */
  readonly caughtUp: boolean;
  /** Streams that are sealed and read to their end. */
  readonly finished: ReadonlySet<string>;
}

/** The event loop also serves reports: it is let go after so many frames, about a megabyte. */
const ITEMS_A_TURN = 256;

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
  const days = new Set<number>();
  for (const source of streams) {
    const part = new StreamPart(source, placeOf(source.stream), stored(source.stream));
    await part.read(share, days, limits.days ?? MOST_IMPORTED_DAYS);
    parts.push(part);
  }
  return {
    spans: parts.map(({ source, from, to }) => ({ stream: source.stream, from, to })),
    ...together(parts.map(({ picker }) => picker)),
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
  readonly picker: StreamPicker;
  readonly unreadable: UnreadableItem[] = [];
  ended = false;
  finished = false;
  to: Place;

  constructor(source: SpooledStream, from: Place, stored: SeqSet) {
    this.source = source;
    this.from = from;
    this.to = from;
    this.picker = new StreamPicker(source.stream, stored);
  }

  /** @param days of imported rows in the range so far; they grow to `mostDays` */
  async read(share: RangeLimits, days: Set<number>, mostDays: number): Promise<void> {
    const { picker } = this;
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
        const { firstSeq, count, rows } = item;
        if (firstSeq < picker.end || picker.rows >= share.rows || bytes >= share.bytes) return;
        const day = picker.importedDay(rows);
        if (day !== null && !days.has(day) && days.size >= mostDays) return;
        if (day !== null) days.add(day);
        bytes += rows.length;
        picker.take(firstSeq, count, rows);
        this.to = { ...item.next, seq: Math.max(this.to.seq, firstSeq + count) };
      } else {
        this.unreadable.push(item);
        this.to = { ...item.next, seq: this.to.seq };
      }
    }
  }
}

/** The rows of a range again, as they lay in its staging file. Null: the spool does not hold them any more. @param version of those rows */
export function readAgain(streamDir: string, span: Span, repeats: readonly SeqRunOfStream[], version: RowVersion): Buffer[] | null {
  const { from, to, stream } = span;
  const skipped = new Set(repeats.filter((run) => run.stream === stream).map((run) => run.first));
  const pieces: Buffer[] = [];
  for (const item of readFrames(streamDir, from)) {
    if (item.kind === 'end') break;
    if (item.at.segment > to.segment || (item.at.segment === to.segment && item.at.offset >= to.offset)) return pieces;
    // the program that had begun the range did not know frames of later versions
    if (item.kind === 'frame' && item.version <= version && !skipped.has(item.firstSeq)) pieces.push(version === ROW_VERSION ? item.rows : item.frame.subarray(FRAME_HEADER_BYTES));
    if (item.next.segment === to.segment && item.next.offset === to.offset) return pieces;
  }
  return pieces.length > 0 ? pieces : null;
}
