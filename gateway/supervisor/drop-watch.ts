/** Whether events are being dropped for want of room, by what workers tell each second: why a node that goes on serving should be looked at. */
import type { DropReason } from '../events/drop-page.js';

/** Since the node's start. */
export interface RecordingCounts {
  readonly recorded: number;
  /** By reason. */
  readonly dropped: ReadonlyMap<string, number>;
}

const WANT_OF_ROOM: readonly (readonly [DropReason, string])[] = [
  ['spool_full', 'requests are answered and not recorded, because the spool is as large as event_log.spool.max_bytes allows (spool_full)'],
  ['disk_full', 'requests are answered and not recorded, because the disk of the spool is full (spool_write_failed)'],
];

export class DropWatch {
  #last: RecordingCounts | null = null;
  #dropping: ReadonlySet<DropReason> = new Set();

  /** A node without requests is as it was: that nothing is dropped does not say that there is room. */
  look(now: RecordingCounts): void {
    const last = this.#last;
    this.#last = now;
    if (last === null) return;
    const grown = WANT_OF_ROOM.map(([reason]) => reason).filter((reason) => (now.dropped.get(reason) ?? 0) > (last.dropped.get(reason) ?? 0));
    if (grown.length > 0 || now.recorded > last.recorded) this.#dropping = new Set(grown);
  }

  /** Empty: none is dropped for that. */
  get reasons(): readonly string[] {
    return WANT_OF_ROOM.filter(([reason]) => this.#dropping.has(reason)).map(([, words]) => words);
  }
}
