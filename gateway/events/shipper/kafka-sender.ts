/**
 * The shipper's connection to Kafka: one idempotent producer, one request in flight, acknowledged by all replicas in sync.
 *
 * After any failure the sender is finished, and another must be made. Two things in kafkajs 2.2.4 would lose events otherwise, both silently, and a third costs time:
 *  - after a request whose answer is lost, its producer uses the same sequence numbers for whatever is sent next. If the broker had written the
 *    first, and the next has as many messages, it takes the next for a repeat, answers well, and throws it away. A new producer has a new id;
 *  - when it tries again within one send, and a partition's leader has moved to a broker that has answered already, that partition is passed over, and the
 *    send resolves all the same. So the answer is held against what was sent;
 *  - after a request without an answer it asks the same leader again, as often as it may, and nobody who leads by now: a leader that stands still held
 *    shipping up for a minute where it had moved in ten seconds. So a send in which a request had no answer is given up at its next attempt.
 */
import kafkajs, { type Producer } from 'kafkajs';
import { TidegateError } from '../../../errors/tidegate-error.js';
import type { ChunkMessage } from '../chunk.js';
import { kafkaClient, kafkaFailure, NO_TIME, REQUEST_WITHIN_MS, type KafkaSettings } from '../kafka-client.js';
import type { SpoolLog } from '../spool-log.js';
import { prepareTopics, type LogTopics } from './topics.js';

const { CompressionTypes } = kafkajs;

export interface OutgoingChunk extends ChunkMessage {
  readonly partition: number;
}

/** Kafka's own wait for replicas; the client's for its answer is longer (kafka-client.ts). */
const REPLICAS_WITHIN_MS = 8000;
/** A leader moves in less. */
const SEND_RETRIES = 3;
const CLOSE_WITHIN_MS = 2000;

export class KafkaSender {
  readonly #producer: Producer;
  readonly #topic: string;
  readonly topics: LogTopics;

  private constructor(producer: Producer, topic: string, topics: LogTopics) {
    this.#producer = producer;
    this.#topic = topic;
    this.topics = topics;
  }

  /** Makes or checks the topics, and connects. @throws TidegateError with a `kafka_` code */
  static async connect(settings: KafkaSettings, log: SpoolLog): Promise<KafkaSender> {
    const client = kafkaClient(settings, log);
    const admin = client.admin();
    let unanswered: TidegateError | null = null;
    const producer = client.producer({
      idempotent: true, maxInFlightRequests: 1, allowAutoTopicCreation: false, retry: { retries: SEND_RETRIES },
      // asked in each attempt, for each message; what it throws ends the send
      createPartitioner: () => ({ message }) => {
        if (unanswered !== null) throw unanswered;
        return message.partition ?? 0;
      },
    });
    producer.on(producer.events.REQUEST_TIMEOUT, ({ payload: { broker, apiName } }) => {
      unanswered = new TidegateError('kafka_unreachable', `${broker}: no answer to ${apiName} within ${REQUEST_WITHIN_MS / 1000} s`);
    });
    try {
      await admin.connect();
      const topics = await prepareTopics(admin, settings, log);
      await producer.connect();
      return new KafkaSender(producer, settings.topic, topics);
    } catch (error) {
      await quietly(producer.disconnect());
      throw kafkaFailure(error);
    } finally {
      await quietly(admin.disconnect());
    }
  }

  /**
   * Resolves when all replicas in sync have all of it, of each partition in the order given: with the times (ms since the epoch) that Kafka has written to it by its own
   * clock, one a partition; none where the topic does not have it so.
   * @param withoutTime the messages have no time of their own
   * @throws TidegateError with a `kafka_` code: some, all or none of it is there, and the sender is finished
   */
  async send(chunks: readonly OutgoingChunk[], withoutTime = false): Promise<readonly number[]> {
    try {
      const answers = await this.#producer.send({
        topic: this.#topic, acks: -1, timeout: REPLICAS_WITHIN_MS, compression: CompressionTypes.GZIP,
        messages: chunks.map(({ key, headers, value, partition }) => ({ key, headers: { ...headers }, value, partition, ...(withoutTime ? { timestamp: NO_TIME } : {}) })),
      });
      const answered = new Set(answers.filter(({ errorCode }) => errorCode === 0).map(({ partition }) => partition));
      const silent = new Set(chunks.map(({ partition }) => partition).filter((partition) => !answered.has(partition)));
      if (silent.size > 0) throw new TidegateError('kafka_failed', `no word of partitions ${[...silent].join(', ')}`);
      return answers.map(({ logAppendTime }) => Number(logAppendTime ?? NO_TIME)).filter((atMs) => atMs >= 0);
    } catch (error) {
      throw kafkaFailure(error);
    }
  }

  /** Never rejects. */
  async close(): Promise<void> {
    await quietly(this.#producer.disconnect());
  }
}

/** A broker that hangs must not hold up who leaves it. */
async function quietly(work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const enough = new Promise<void>((resolve) => { timer = setTimeout(resolve, CLOSE_WITHIN_MS); });
  await Promise.race([work.catch(() => undefined), enough]);
  clearTimeout(timer);
}
