/**
 * Messages that cannot be read: their bytes go to the topic `<topic>.quarantine` with the reason in the store, and the collector goes on. Done again after a
 * crash, there is another copy, and the row names the newest. One that is larger than that topic takes (none that we made is) stays where it is, and the row names its own place.
 */
import { randomUUID } from 'node:crypto';
import type { IHeaders, KafkaMessage, Message, Producer } from 'kafkajs';
import { TidegateError } from '../../../errors/tidegate-error.js';
import { kafkaClient, kafkaFailure, NO_TIME, type KafkaSettings } from '../../../gateway/events/kafka-client.js';
import type { SpoolLog } from '../../../gateway/events/spool-log.js';
import type { Store } from '../../store/store.js';
import type { QuarantinedItem } from '../event-log.js';
import { logOf } from './partition-start.js';
import type { Poison } from './range-builder.js';

/** A copy is found at once, or its topic has let it go. */
const FIND_WITHIN_MS = 15_000;

export class KafkaQuarantine {
  readonly #settings: KafkaSettings;
  readonly #store: Store;
  readonly #log: SpoolLog;
  #producer: Promise<Producer> | null = null;

  constructor(settings: KafkaSettings, store: Store, log: SpoolLog) {
    this.#settings = settings;
    this.#store = store;
    this.#log = log;
  }

  /** @throws what Kafka says, as our codes; store_failed */
  async putAside({ message, stream, reason, detail }: Poison, partition: number): Promise<void> {
    const { topic, quarantineTopic } = this.#settings;
    const { offset } = message;
    const place = `${logOf(topic, partition)}/${offset}`;
    const file = await this.#copy(quarantineTopic, { key: message.key, value: message.value, headers: { ...message.headers as IHeaders, 'quarantine-from': place, 'quarantine-reason': reason } }) ?? place;
    await this.#store.command(
      `INSERT INTO tidegate.quarantine (stream, segment, from_offset, to_offset, reason, file, log)
       SELECT 0x${stream}, {partition:UInt32}, {offset:UInt64}, {offset:UInt64} + 1, {reason:String}, {file:String}, {log:String}`,
      { partition, offset, reason, file, log: logOf(topic, partition) });
    this.#log.error({ code: 'log_corrupt', stream, partition, offset, reason, detail, file }, 'a message of the log cannot be read: it went to quarantine');
  }

  /** Puts the message's bytes into the topic again, where the picking of rows recognises what is stored. @throws quarantine_gone; what Kafka says, as our codes */
  async replay({ id, segment, file }: QuarantinedItem): Promise<void> {
    const [topic, partition, offset] = file.split('/');
    const copy = topic === undefined || partition === undefined || offset === undefined ? null : await this.#find(topic, Number(partition), offset);
    if (copy === null) throw new TidegateError('quarantine_gone', `${id}: ${file} holds no message any more`);
    const { 'quarantine-from': _from, 'quarantine-reason': _reason, ...headers } = copy.headers ?? {};
    await this.#send(this.#settings.topic, { key: copy.key, value: copy.value, headers, partition: segment });
  }

  async close(): Promise<void> {
    const producer = await this.#producer?.catch(() => null);
    await producer?.disconnect().catch(() => undefined);
  }

  /** Null: it is too large for the topic. */
  async #copy(topic: string, message: Message): Promise<string | null> {
    try {
      return await this.#send(topic, message);
    } catch (error) {
      if (isTooLarge(error)) return null;
      throw error;
    }
  }

  /** Where Kafka refuses this machine's time, without one. @returns topic/partition/offset */
  async #send(topic: string, message: Message): Promise<string> {
    try {
      return await this.#sendOnce(topic, message);
    } catch (error) {
      if (!(error instanceof TidegateError) || error.code !== 'kafka_clock_off') throw error;
      return await this.#sendOnce(topic, { ...message, timestamp: NO_TIME });
    }
  }

  async #sendOnce(topic: string, message: Message): Promise<string> {
    try {
      this.#producer ??= this.#connect();
      const [sent] = await (await this.#producer).send({ topic, acks: -1, messages: [message] });
      return `${logOf(topic, sent?.partition ?? 0)}/${sent?.baseOffset ?? '0'}`;
    } catch (error) {
      await this.close();
      this.#producer = null;
      throw kafkaFailure(error);
    }
  }

  async #connect(): Promise<Producer> {
    const producer = kafkaClient(this.#settings, this.#log).producer({ allowAutoTopicCreation: false });
    await producer.connect();
    return producer;
  }

  /** Null: not there any more. */
  async #find(topic: string, partition: number, offset: string): Promise<KafkaMessage | null> {
    // kafkajs reads as a member of a group only: one of its own, that commits nothing
    const consumer = kafkaClient(this.#settings, this.#log).consumer({ groupId: `${this.#settings.group}-quarantine-${randomUUID()}`, allowAutoTopicCreation: false });
    try {
      await consumer.connect();
      await consumer.subscribe({ topics: [topic], fromBeginning: true });
      return await new Promise<KafkaMessage | null>((resolve, reject) => {
        const timer = setTimeout(resolve, FIND_WITHIN_MS, null);
        consumer.run({
          autoCommit: false,
          eachMessage: async (met) => {
            if (met.partition !== partition || BigInt(met.message.offset) < BigInt(offset)) return;
            clearTimeout(timer);
            resolve(met.message.offset === offset ? met.message : null);
          },
        }).catch(reject);
        consumer.seek({ topic, partition, offset });
      });
    } catch (error) {
      throw kafkaFailure(error);
    } finally {
      await consumer.disconnect().catch(() => undefined);
    }
  }
}

/** Said by the broker: of the message, or of the batch that it alone makes. */
function isTooLarge(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { type } = at as { readonly type?: unknown };
    if (type === 'MESSAGE_TOO_LARGE' || type === 'RECORD_LIST_TOO_LARGE') return true;
  }
  return false;
}
