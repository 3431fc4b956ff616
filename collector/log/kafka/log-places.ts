/**
 * How far each partition of the topic is stored. Whoever reads a partition says it in the store, and every collector reads there what the others say: so each of
 * several speaks for the whole log, and a partition of which nobody says anything holds it back.
 *
 * What is said stays true whoever reads the partition later, so a word that comes late does no harm. The newest counts, not the furthest: a clock may be set back.
 */
import type { Store } from '../../store/store.js';
import type { LogPart } from '../event-log.js';
import { logOf } from './partition-start.js';

/** Rows of a table of one row a partition: one small insert and one small query, however many events there are. */
const SHARE_EVERY_MS = 1000;

/** What this collector knows itself. */
export interface OwnPlace {
  /** That it reads, and whose end it has come to. */
  readonly partitions: readonly number[];
  /** ms since the epoch: all that had reached them before is stored. */
  readonly asOfMs: number;
}

export class LogPlaces {
  readonly #store: Store;
  readonly #topic: string;
  readonly #nowMs: () => number;
  #noted: ReadonlyMap<number, number> = new Map();
  /** Of the topic; null: Kafka has not been asked yet. */
  #count: number | null = null;
  #sharedMs = Number.NEGATIVE_INFINITY;

  /** @param nowMs a clock that is never set */
  constructor(store: Store, topic: string, nowMs: () => number = () => performance.now()) {
    this.#store = store;
    this.#topic = topic;
    this.#nowMs = nowMs;
  }

  /** Partitions that the topic has. */
  setCount(count: number): void {
    this.#count = count;
  }

  /** Says what is known here, and hears what the others say, once a second. @throws store_failed and its like */
  async share(own: OwnPlace | null): Promise<void> {
    if (this.#nowMs() - this.#sharedMs < SHARE_EVERY_MS) return;
    if (own !== null && own.partitions.length > 0) await this.#tell(own);
    await this.look();
    this.#sharedMs = this.#nowMs();
  }

  /** @throws store_failed and its like */
  async look(): Promise<void> {
    const rows = await this.#store.query<{ partition: number; at: number }>(
      `SELECT toUInt32(substring(log, length({of:String}) + 1)) AS partition, toUnixTimestamp64Milli(as_of) AS at
       FROM tidegate.log_places FINAL WHERE startsWith(log, {of:String}) AND match(substring(log, length({of:String}) + 1), '^[0-9]+$')`, { of: logOf(this.#topic, '') });
    this.#noted = new Map(rows.map(({ partition, at }) => [partition, at]));
  }

  /** Every partition, and how far it is stored. */
  parts(own: OwnPlace | null): readonly LogPart[] {
    const partitions = this.#count === null ? [...this.#noted.keys()] : Array.from({ length: this.#count }, (_, partition) => partition);
    if (partitions.length === 0) return [{ log: this.#topic, asOfMs: null }];
    return partitions.map((partition) => ({
      log: logOf(this.#topic, partition), asOfMs: own?.partitions.includes(partition) === true ? own.asOfMs : this.#noted.get(partition) ?? null,
    }));
  }

  async #tell({ partitions, asOfMs }: OwnPlace): Promise<void> {
    // the store's clock may be set back too, and the newest note is the one with the latest time
    await this.#store.command(
      `INSERT INTO tidegate.log_places (log, as_of, noted_at)
       SELECT said.log, fromUnixTimestamp64Milli({at:Int64}), greatest(now64(3, 'UTC'), noted.at + INTERVAL 1 MILLISECOND)
       FROM (SELECT arrayJoin({logs:Array(String)}) AS log) AS said
       LEFT JOIN (SELECT log, max(noted_at) AS at FROM tidegate.log_places GROUP BY log) AS noted ON said.log = noted.log`,
      { at: asOfMs, logs: partitions.map((partition) => logOf(this.#topic, partition)) });
  }
}
