/**
 * What the spool holds that is not stored yet: read off the spool and the collector's places each time it is asked for, so that it is as true while
 * storing fails, or before this process has stored anything, as it is while all goes well.
 */
import { statSync } from 'node:fs';
import { readDrops } from '../../../gateway/events/drop-page.js';
import { IMPORT_WORKER } from '../../../gateway/events/event.js';
import { firstRow } from '../../../gateway/events/read-rows.js';
import { readFrames } from '../../../gateway/events/read-segment.js';
import { scanStreams, type SpooledStream } from '../../../gateway/events/spool.js';
import type { Collect } from './collect.js';
import type { Place } from './manifest.js';

export class Pending {
  readonly #collect: Pick<Collect, 'place' | 'finished'>;
  #asOfMs: number;

  /** Looks at the spool as it is now: an earlier collector may have left anything unread. */
  constructor(spoolDir: string, collect: Pick<Collect, 'place' | 'finished'>) {
    this.#collect = collect;
    const nowMs = Date.now();
    this.#asOfMs = this.#oldest(nowMs, scanStreams(spoolDir));
  }

  /** ms since the epoch: everything recorded before it is stored. */
  get asOfMs(): number {
    return this.#asOfMs;
  }

  /**
   * A step over these streams has ended well.
   * @param lookedMs from before the spool was looked at
   * @param caughtUp the step has come to the end of each stream
   */
  stepped(streams: readonly SpooledStream[], lookedMs: number, caughtUp: boolean): void {
    const behind = caughtUp ? streams.filter((source) => this.#marksMore(source)) : streams;
    // not the later of the two where all is stored: the clock may have been set back
    this.#asOfMs = behind.length === 0 ? lookedMs : Math.max(this.#asOfMs, this.#oldest(lookedMs, behind));
  }

  /**
   * ms since the epoch, and no later than it was: since when events of the stream are recorded that are not stored. Null: none are, or it is an imported log, of which
   * nobody was promised to see anything by a time.
   * Rows are written in the order in which their requests end, so what follows the first unread row was recorded after that one's end.
   */
  sinceMs(source: SpooledStream): number | null {
    if (this.#collect.finished.has(source.stream) || isImport(source)) return null;
    return firstUnreadMs(source, this.#collect.place(source.stream)) ?? (this.#marksMore(source) ? openedMs(source) : null);
  }

  /** The mark of a living stream is beyond what is stored, or tallied as dropped. Of a sealed one its end says what is missing. */
  #marksMore({ stream, dir, state }: SpooledStream): boolean {
    if (state === null || state.seal !== null || isImport({ state }) || this.#collect.place(stream).seq > state.lastSeq) return false;
    return (readDrops(dir)?.lastSeq ?? -1) < state.lastSeq;
  }

  #oldest(nowMs: number, streams: readonly SpooledStream[]): number {
    return streams.reduce((oldest, source) => Math.min(oldest, this.sinceMs(source) ?? nowMs), nowMs);
  }
}

const isImport = ({ state }: Pick<SpooledStream, 'state'>): boolean => state?.worker === IMPORT_WORKER;

/** From the stream's state, or, where that is not readable, from its directory. */
export function openedMs({ dir, state }: SpooledStream): number {
  return state === null ? statSync(dir, { throwIfNoEntry: false })?.birthtimeMs ?? 0 : Date.parse(state.openedAt);
}

/** When the first request of which the row is not read ended; of damage that no sound frame follows, only that it came after the opening. Null: all is read. */
function firstUnreadMs(source: SpooledStream, place: Place): number | null {
  let unread = false;
  for (const item of readFrames(source.dir, place)) {
    if (item.kind === 'frame') {
      const { timeMs, durationUs } = firstRow(item.rows);
      return Math.floor(timeMs + durationUs / 1000);
    }
    if (item.kind !== 'end') unread = true;
  }
  return unread ? openedMs(source) : null;
}
