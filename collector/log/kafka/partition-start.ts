/** Where a partition is taken up, by whoever comes to own it. */
import { TidegateError } from '../../../errors/tidegate-error.js';
import type { Store } from '../../store/store.js';
import { parseIntent, type Intent } from './intent.js';
import type { Committed } from './kafka-session.js';

export interface PartitionPlace {
  /** Null: the first message there is. */
  readonly next: number | null;
  /** Begun, and not known to be stored. */
  readonly intent: Intent | null;
}

export class PartitionStart {
  readonly #store: Store;
  readonly #topic: string;

  constructor(store: Store, topic: string) {
    this.#store = store;
    this.#topic = topic;
  }

  /**
   * @param committed as of the beginning of this generation
   * @throws log_place_lost: the group knows no place, and the store holds events of the partition; log_intent_unreadable; store_failed
   */
  async of(partition: number, { offset, metadata }: Committed): Promise<PartitionPlace> {
    // the log went beyond it while it was read, kafkajs wrote "the beginning" over it, and nobody has stored anything since
    if (offset < -1) throw new TidegateError('log_place_lost', `the group's place in ${logOf(this.#topic, partition)} was before the beginning of the log, and is not known any more`);
    if (offset < 0) {
      const log = logOf(this.#topic, partition);
      const [held] = await this.#store.query<{ n: number }>(
        'SELECT count() AS n FROM tidegate.coverage WHERE stream IN (SELECT stream FROM tidegate.streams FINAL WHERE log = {log:String})', { log });
      if ((held?.n ?? 0) > 0) throw new TidegateError('log_place_lost', `the group has no committed offset for ${log}, and the store holds events that came from there`);
      return { next: null, intent: null };
    }
    if (metadata === '') return { next: offset, intent: null };
    const intent = parseIntent(metadata, offset);
    if (intent === null) throw new TidegateError('log_intent_unreadable', `offset ${offset} of ${logOf(this.#topic, partition)} is committed with what is no intent of this version: ${metadata.slice(0, 200)}`);
    return { next: offset, intent };
  }
}

/** How the store names where events come from. @param partition '': how all of the topic's begin */
export function logOf(topic: string, partition: number | ''): string {
  return `${topic}/${partition}`;
}
