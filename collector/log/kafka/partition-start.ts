/** Where a partition is taken up, by whoever comes to own it. */
import { setTimeout as pause } from 'node:timers/promises';
import { TidegateError } from '../../../errors/tidegate-error.js';
import type { Store } from '../../store/store.js';
import type { GroupPlace } from './group-places.js';
import { parsePlace, type Intent, type LastStored } from './intent.js';

export interface PartitionPlace {
  /** Null: the first message there is. */
  readonly next: number | null;
  /** Begun, and not known to be stored. */
  readonly intent: Intent | null;
  /** Of what lies before `next`; null: not known. */
  readonly lastStored: LastStored | null;
}

/** A replica that lags has it a moment later. */
const LOOKS = 4;
const LOOK_EVERY_MS = 1000;

export class PartitionStart {
  readonly #store: Store;
  readonly #topic: string;
  readonly #retentionMs: number;
  readonly #lookEveryMs: number;

  /** @param retentionMs how long the log keeps what it holds */
  constructor(store: Store, topic: string, retentionMs: number, lookEveryMs = LOOK_EVERY_MS) {
    this.#store = store;
    this.#topic = topic;
    this.#retentionMs = retentionMs;
    this.#lookEveryMs = lookEveryMs;
  }

  /**
   * @param committed as of the beginning of this generation
   * @throws log_place_lost: the group knows no place, and the store holds events of the partition; log_store_behind: the store lacks what the group's place
   * says it holds; log_range_gone: a range was begun there, and the log has let go of it; log_intent_unreadable; store_failed
   */
  async of(partition: number, { offset, metadata, begins }: Pick<GroupPlace, 'offset' | 'metadata' | 'begins'>): Promise<PartitionPlace> {
    // the log went beyond it while it was read, kafkajs wrote "the beginning" over it, and nobody has stored anything since
    if (offset < -1) throw new TidegateError('log_place_lost', `the group's place in ${logOf(this.#topic, partition)} was before the beginning of the log, and is not known any more`);
    if (offset < 0) {
      const log = logOf(this.#topic, partition);
      const [held] = await this.#store.query<{ n: number }>(
        'SELECT count() AS n FROM tidegate.coverage WHERE stream IN (SELECT stream FROM tidegate.streams FINAL WHERE log = {log:String})', { log });
      if ((held?.n ?? 0) > 0) throw new TidegateError('log_place_lost', `the group has no committed offset for ${log}, and the store holds events that came from there`);
      return { next: null, intent: null, lastStored: null };
    }
    const place = parsePlace(metadata, offset);
    if (place === null) throw new TidegateError('log_intent_unreadable', `offset ${offset} of ${logOf(this.#topic, partition)} is committed with what is no intent of this version: ${metadata.slice(0, 200)}`);
    const { intent, lastStored } = place;
    if (intent !== null && begins > intent.from) {
      throw new TidegateError('log_range_gone', `offsets ${intent.from} to ${intent.to} of ${logOf(this.#topic, partition)} were being inserted, and the log begins at ${begins}`);
    }
    await this.mustHold(partition, lastStored);
    return { next: offset, intent, lastStored };
  }

  /** @throws log_store_behind: the store lacks the row that was stored last; store_failed */
  async mustHold(partition: number, lastStored: LastStored | null): Promise<void> {
    if (lastStored === null) return;
    for (let looks = 1; !(await this.#holds(lastStored)); looks++) {
      if (looks < LOOKS) {
        await pause(this.#lookEveryMs);
        continue;
      }
      const { stream, seq, atMs } = lastStored;
      throw new TidegateError('log_store_behind', `event ${seq} of stream ${stream}, stored from ${logOf(this.#topic, partition)} at ${new Date(atMs).toISOString()}, is not in the store: it was put back to an earlier time, or is another`);
    }
  }

  /** What is older than the log keeps counts as held: it may have been pruned (pruneStreams waits for that long), and would not come again either. */
  async #holds({ stream, seq, atMs }: LastStored): Promise<boolean> {
    if (Date.now() - atMs > this.#retentionMs) return true;
    const [row] = await this.#store.query<{ open: number }>(`SELECT sum(delta) AS open FROM tidegate.coverage WHERE stream = 0x${stream} AND edge <= {seq:UInt64}`, { seq });
    return (row?.open ?? 0) > 0;
  }
}

/** How the store names where events come from. @param partition '': how all of the topic's begin */
export function logOf(topic: string, partition: number | ''): string {
  return `${topic}/${partition}`;
}
