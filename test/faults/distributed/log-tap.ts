/** The event log as it lies in Kafka, message by message, and a hand that puts further ones into it. */
import { randomUUID } from 'node:crypto';
import kafkajs, { type Consumer, type Kafka, type KafkaMessage, type Producer } from 'kafkajs';
import { silentLog } from '../../../collector/log/random-events.fixture.js';
import { testSettings } from '../../../collector/log/kafka/topic.fixture.js';
import { kafkaClient } from '../../../gateway/events/kafka-client.js';

/** As the topology's nodes make it. */
const TOPIC = 'tidegate.events';

export interface LoggedMessage {
  readonly partition: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: NonNullable<KafkaMessage['headers']>;
}

export class LogTap implements AsyncDisposable {
  readonly #producer: Producer;
  readonly #consumer: Consumer;
  #seen: LoggedMessage[] = [];

  private constructor(client: Kafka) {
    this.#producer = client.producer({ allowAutoTopicCreation: false });
    // kafkajs forgets, while it waits to start again, that it was told to end
    this.#consumer = client.consumer({ groupId: `test-${randomUUID()}`, retry: { restartOnFailure: () => Promise.resolve(false) } });
  }

  /** Sees what comes from now on, or a little earlier. */
  static async open(brokers: string): Promise<LogTap> {
    const client = kafkaClient(testSettings(brokers, TOPIC, 1), silentLog);
    const tap = new LogTap(client);
    try {
      await tap.#producer.connect();
      await tap.#consumer.connect();
      await tap.#consumer.subscribe({ topic: TOPIC, fromBeginning: false });
      await tap.#consumer.run({
        autoCommit: false,
        eachMessage: async ({ partition, message: { key, value, headers } }) => { tap.#seen.push({ partition, key, value, headers: headers ?? {} }); },
      });
    } catch (error) {
      await tap[Symbol.asyncDispose]();
      throw error;
    }
    return tap;
  }

  /** What has come since the last call, in the order of each partition. */
  take(): LoggedMessage[] {
    return this.#seen.splice(0);
  }

  async send(messages: readonly LoggedMessage[]): Promise<void> {
    await this.#producer.send({ topic: TOPIC, acks: -1, compression: kafkajs.CompressionTypes.GZIP, messages: [...messages] });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#consumer.disconnect();
    await this.#producer.disconnect();
  }
}

export const isFrames = ({ headers }: LoggedMessage): boolean => String(headers['t']) === 'frames';
