/** What the reader asks of the store, and notes in it, beside the events themselves. */
import type { Store } from '../../store/store.js';
import { logOf } from './partition-start.js';
import type { StatedFacts } from './range-builder.js';

export interface StoreMoment {
  /** By the store's own clock, ms since the epoch. */
  readonly nowMs: number;
  /** How many inserts there were, at least, told by the numbers of blocks: two moments less each other are the inserts between them. */
  readonly block: number;
}

const STREAM_ROW = 'stream UInt64, node String, instance String, worker UInt16, opened Int64, sealed Nullable(Int64), marked Int64, last_seq Int64, shipped_seq Nullable(Int64), proven Bool, next UInt64';
/** The latest of a stream's notes is the one that counts, and the store's clock may be set back: a seal would be behind what was noted while the stream lived. */
const AFTER_NOTED = "greatest(now64(3, 'UTC'), noted.at + INTERVAL 1 MILLISECOND)";
const DROP_ROW = 'stream UInt64, app String, count UInt64, first Int64, last Int64';

export class LogNotes {
  readonly #store: Store;
  readonly #topic: string;

  constructor(store: Store, topic: string) {
    this.#store = store;
    this.#topic = topic;
  }

  /**
   * On one server a table numbers its blocks in the order in which they come, whatever their partition: the newest of `events` counts what its window remembers. Of a
   * Replicated table each partition has numbers of its own, and they go with it; `coverage` has one partition, and one block an insert.
   * @throws store_failed
   */
  async look(): Promise<StoreMoment> {
    const [row] = await this.#store.query<{ now: number; block: number }>(
      "SELECT toUnixTimestamp64Milli(now64(3)) AS now, max(max_block_number) AS block FROM system.parts WHERE database = 'tidegate' AND active AND "
      + "table = (SELECT if(startsWith(engine, 'Replicated'), 'coverage', 'events') FROM system.tables WHERE database = 'tidegate' AND name = 'events')");
    return { nowMs: row?.now ?? 0, block: row?.block ?? 0 };
  }

  /**
   * Notes what nodes say of their streams. Noted again, nothing changes; and what an owner that stood still says late does not undo what is newer; nor does what
   * a request of before the seal wrote to the log behind it. A supervisor that has just begun knows of less that is shipped than the one before.
   * @throws store_failed
   */
  async states(partition: number, states: readonly StatedFacts[]): Promise<void> {
    if (states.length === 0) return;
    const log = logOf(this.#topic, partition);
    const rows = states.map(({ facts, offset }) => JSON.stringify({
      stream: decimal(facts.stream), node: facts.node, instance: facts.instance, worker: facts.worker, opened: Date.parse(facts.openedAt),
      sealed: facts.seal === null ? null : Date.parse(facts.seal.sealedAt), marked: Date.parse(facts.markedAt), last_seq: facts.seal?.lastSeq ?? facts.lastSeq,
      shipped_seq: facts.shippedSeq ?? null, proven: facts.seal?.proven ?? true, next: offset + 1,
    }));
    const names = states.map(({ facts }) => `0x${facts.stream}`).join(', ');
    const drops = states.flatMap(({ facts: { stream, drops: dropped } }) => dropped.map(({ app, rows: count, firstMs, lastMs }) => JSON.stringify({
      stream: decimal(stream), app: app ?? '(others)', count, first: Math.floor(firstMs), last: Math.floor(lastMs),
    })));
    if (drops.length > 0) {
      await this.#store.command(
        `INSERT INTO tidegate.drops (stream, app, count, first, last, noted_at)
         SELECT said.stream, said.app, said.count, fromUnixTimestamp64Milli(said.first), fromUnixTimestamp64Milli(said.last), ${AFTER_NOTED}
         FROM format(JSONEachRow, '${DROP_ROW}', {rows:String}) AS said
         LEFT JOIN (SELECT stream, app, max(count) AS count, max(noted_at) AS at FROM tidegate.drops WHERE stream IN (${names}) GROUP BY stream, app) AS noted ON said.stream = noted.stream AND said.app = noted.app
         WHERE said.count > noted.count`, { rows: drops.join('\n') });
    }
    await this.#store.command(
      `INSERT INTO tidegate.streams (stream, node, instance, worker, opened_at, sealed_at, marked_at, last_seq, shipped_seq, proven, log, log_next, noted_at)
       SELECT said.stream, said.node, said.instance, said.worker, fromUnixTimestamp64Milli(said.opened), fromUnixTimestamp64Milli(said.sealed), fromUnixTimestamp64Milli(said.marked),
         said.last_seq, if(said.shipped_seq IS NULL, NULL, greatest(assumeNotNull(said.shipped_seq), ifNull(noted.shipped, -1))), said.proven, {log:String}, said.next, ${AFTER_NOTED}
       FROM format(JSONEachRow, '${STREAM_ROW}', {rows:String}) AS said
       LEFT JOIN (SELECT stream, maxIf(log_next, log = {log:String}) AS next, maxIf(shipped_seq, log = {log:String}) AS shipped, countIf(sealed_at IS NOT NULL) AS seals, max(noted_at) AS at FROM tidegate.streams WHERE stream IN (${names}) GROUP BY stream) AS noted ON said.stream = noted.stream
       WHERE said.next > noted.next AND (said.sealed IS NOT NULL OR noted.seals = 0)`, { log, rows: rows.join('\n') });
  }
}

/** JSON has no hexadecimal numbers, and a stream is beyond 2^53. */
const decimal = (stream: string): string => BigInt(`0x${stream}`).toString();
