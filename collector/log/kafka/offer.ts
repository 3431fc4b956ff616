/**
 * A batch of one partition, and what may be done with it.
 *
 * Commits are fenced twice. Kafka refuses those of an old generation; but kafkajs sends a commit with the generation it is in when it is sent, and with several
 * brokers it can join a new one while a batch is worked on. So the generation of the offer is compared first, in the same turn of the event loop
 * (GROUP_JOIN is told in the turn in which the generation changes).
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { EachBatchPayload } from 'kafkajs';
import type { LogMessage } from './range-builder.js';

/** The partition is another's, or will be: what was begun is for its next owner. */
export class PartitionLost extends Error {}

/** Refusals that say who owns the partition, not that something is wrong. */
const NOT_OURS: ReadonlySet<string> = new Set(['REBALANCE_IN_PROGRESS', 'ILLEGAL_GENERATION', 'UNKNOWN_MEMBER_ID', 'FENCED_INSTANCE_ID', 'NOT_COORDINATOR_FOR_GROUP']);

interface OfferWays {
  generation(): number;
  failed(error: Error): void;
  seek(partition: number, offset: number): void;
}

export class Offer {
  readonly partition: number;
  readonly messages: readonly LogMessage[];
  readonly released: Promise<void>;
  readonly #payload: EachBatchPayload;
  readonly #generation: number;
  readonly #ways: OfferWays;
  #resolve: () => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;
  #lost: unknown = null;
  #held = false;

  constructor(payload: EachBatchPayload, generation: number, ways: OfferWays) {
    const { partition, messages } = payload.batch;
    this.partition = partition;
    this.messages = messages.map((message) => ({ key: message.key, value: message.value, headers: message.headers, offset: Number(message.offset) }));
    this.#payload = payload;
    this.#generation = generation;
    this.#ways = ways;
    this.released = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  get lastOffset(): number {
    return this.messages.at(-1)?.offset ?? -1;
  }

  /** While it is worked on, it is not let go of when it is lost: the next commit tells. */
  hold(): void {
    this.#held = true;
  }

  /** The work rests: a lost offer goes now. */
  rest(): void {
    this.#held = false;
    if (this.#lost !== null) this.#reject(this.#lost);
  }

  get isLost(): boolean {
    return this.#lost !== null;
  }

  lose(error: unknown): void {
    this.#lost ??= error;
    if (!this.#held) this.#reject(error);
  }

  /** Done: kafkajs may go on. */
  release(): void {
    if (this.#lost === null) this.#resolve();
    else this.#reject(this.#lost);
  }

  /** Everything up to `offset`, without it, need not be offered again in this generation. */
  taken(offset: number): void {
    this.#payload.resolveOffset(String(offset - 1));
  }

  /** The partition is offered again, from there. */
  again(offset: number): void {
    if (this.#lost === null) this.#ways.seek(this.partition, offset);
    this.release();
  }

  /** The partition is not read on in this generation. */
  leaveUnread(): void {
    this.#payload.pause();
    this.release();
  }

  /** @throws PartitionLost: it was not committed; anything else: nobody knows, and the session is over */
  async commit(offset: number, metadata: string): Promise<void> {
    await nextTurn();
    if (this.#ways.generation() !== this.#generation) throw new PartitionLost('a new generation of the group');
    const { topic } = this.#payload.batch;
    const partitions = [{ partition: this.partition, offset: String(offset), metadata }];
    try {
      await this.#payload.commitOffsetsIfNecessary({ topics: [{ topic, partitions }] });
    } catch (cause) {
      if (NOT_OURS.has((cause as { readonly type?: string }).type ?? '')) {
        this.lose(cause);
        throw new PartitionLost('the group refused the commit', { cause });
      }
      const error = cause instanceof Error ? cause : new Error(String(cause));
      this.#ways.failed(error);
      throw error;
    }
  }
}
