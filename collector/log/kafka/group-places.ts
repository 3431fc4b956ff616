/**
 * What Kafka says of the topic and of the group's places in it, asked beside what is read. kafkajs's admin goes on asking whom it knew as leader for minutes
 * after another has become it; so after a failure the next question goes by a new client, which knows the leaders of that moment.
 */
import type { Admin } from 'kafkajs';
import { kafkaClient, type KafkaSettings } from '../../../gateway/events/kafka-client.js';
import type { SpoolLog } from '../../../gateway/events/spool-log.js';
import { intentEnd } from './intent.js';

export interface GroupPlace {
  /** -1: none. */
  readonly offset: number;
  /** '': none. */
  readonly metadata: string;
  /** Offset of the first message there is. */
  readonly begins: number;
  /** Offset behind the last message. */
  readonly ends: number;
}

/** Where a log ends, or further on, that has all that the group has read of it. */
export function leastEnd({ offset, metadata }: GroupPlace): number {
  return Math.max(offset, intentEnd(metadata, offset) ?? offset);
}

/** Asked one question at a time. */
export class GroupPlaces {
  readonly #settings: KafkaSettings;
  readonly #log: SpoolLog;
  #admin: Admin | null = null;

  constructor(settings: KafkaSettings, log: SpoolLog) {
    this.#settings = settings;
    this.#log = log;
  }

  /** Every partition of the topic. @throws what kafkajs throws */
  async read(): Promise<ReadonlyMap<number, GroupPlace>> {
    const { topic, group } = this.#settings;
    return this.#ask(async (admin) => {
      const [committed] = await admin.fetchOffsets({ groupId: group, topics: [topic] });
      const places = new Map(committed?.partitions.map(({ partition, offset, metadata }) => [partition, { offset: Number(offset), metadata: metadata ?? '' }]));
      // afterwards: whoever had the partition before may still commit what it has read, and then the log ends there or later
      const bounds = await admin.fetchTopicOffsets(topic);
      return new Map(bounds.map(({ partition, low, high }) => [partition, { offset: -1, metadata: '', ...places.get(partition), begins: Number(low), ends: Number(high) }]));
    });
  }

  /** Of each partition the offset behind its last message. @throws what kafkajs throws */
  async ends(): Promise<ReadonlyMap<number, number>> {
    return this.#ask(async (admin) => new Map((await admin.fetchTopicOffsets(this.#settings.topic)).map(({ partition, high }) => [partition, Number(high)])));
  }

  /** Never rejects. */
  async close(): Promise<void> {
    const admin = this.#admin;
    this.#admin = null;
    await admin?.disconnect().catch(() => undefined);
  }

  async #ask<T>(question: (admin: Admin) => Promise<T>): Promise<T> {
    this.#admin ??= kafkaClient(this.#settings, this.#log).admin();
    try {
      await this.#admin.connect();
      return await question(this.#admin);
    } catch (error) {
      await this.close();
      throw error;
    }
  }
}
