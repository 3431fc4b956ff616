/** What is known of streams whose log is Kafka: their nodes say it in messages, the collectors note it in the store, and any collector can judge by that. */
import { REPORT_SETTINGS } from '../reports/report-store.js';
import type { Store } from '../store/store.js';
import { edgesOf } from './completeness.js';
import { MarkWatch } from './mark-watch.js';
import { coverageOf, type LiveFacts, type StreamFacts } from './stream-coverage.js';

interface StreamRow {
  readonly stream: string;
  readonly node: string;
  readonly instance: string;
  readonly worker: number;
  readonly opened: number;
  readonly marked: number;
  readonly last_seq: number;
  readonly shipped_seq: number | null;
}

export class StoredStreams {
  readonly #store: Store;
  readonly #marks = new MarkWatch();

  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Those that live: of one that is sealed, the store's notes say all there is.
   * @param steadyMs of a clock that is never set: marks grow old by it
   * @throws store_failed
   */
  async facts(nowMs: number, steadyMs = performance.now()): Promise<readonly StreamFacts[]> {
    const rows = await this.#store.query<StreamRow>(
      `SELECT leftPad(lower(hex(stream)), 16, '0') AS stream, node, instance, worker, toUnixTimestamp64Milli(opened_at) AS opened, toUnixTimestamp64Milli(marked_at) AS marked, last_seq, shipped_seq
       FROM tidegate.streams AS streams FINAL WHERE log != '' AND sealed_at IS NULL ORDER BY opened_at, streams.stream
       ${REPORT_SETTINGS}`);
    const drops = await this.#store.query<{ stream: string; app: string; count: number; first: number; last: number }>(
      `SELECT leftPad(lower(hex(stream)), 16, '0') AS stream, app, count, toUnixTimestamp64Milli(first) AS first, toUnixTimestamp64Milli(last) AS last
       FROM tidegate.drops AS drops FINAL WHERE drops.stream IN (SELECT stream FROM tidegate.streams FINAL WHERE log != '' AND sealed_at IS NULL)
       ${REPORT_SETTINGS}`);
    const edges = await edgesOf(this.#store, rows.map(({ stream }) => stream));
    this.#marks.keep(new Set(rows.map(({ stream }) => stream)));
    return rows.map(({ stream, node, instance, worker, opened, marked, last_seq: lastSeq, shipped_seq: shippedSeq }) => {
      const dropped = drops.filter((drop) => drop.stream === stream).map(({ app, count, first, last }) => ({ app, count, firstMs: first, lastMs: last }));
      this.#marks.marked(stream, lastSeq, steadyMs);
      const live: LiveFacts = { markedMs: marked, finished: false, behindSinceMs: null, behindKnownMs: null, dueSeq: shippedSeq ?? this.#marks.dueSeq(stream) };
      const known: StreamFacts = { stream, node, instance, worker, openedMs: opened, sealedMs: null, lastSeq, proven: true, drops: dropped, live };
      const { stored, pending } = coverageOf(known, edges.get(stream) ?? []);
      // what was dropped has a seq and no row; which seqs these are is not said, only how many
      const whole = stored + dropped.reduce((sum, { count }) => sum + count, 0) > lastSeq;
      const waits = whole ? null : pending;
      return { ...known, live: { ...live, behindSinceMs: waits?.sinceMs ?? null, behindKnownMs: this.#marks.reached(stream, waits?.seq ?? null, nowMs) } };
    });
  }
}
