/** A topic of its own on a test's Kafka, filled as the shipper does, with what the recorder has written; and everything a test wants to know of its group. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import kafkajs, { type Admin, type Kafka, type Message, type Producer } from 'kafkajs';
import { encodeFrames, encodeState, partitionOf, type ChunkMessage, type StreamFacts } from '../../../gateway/events/chunk.js';
import { readDrops } from '../../../gateway/events/drop-page.js';
import { FRAME_HEADER_BYTES, parseFrameHeader } from '../../../gateway/events/frame.js';
import { kafkaClient, type KafkaSettings } from '../../../gateway/events/kafka-client.js';
import { listSegments, SEGMENT_HEADER_BYTES } from '../../../gateway/events/segment.js';
import { prepareTopics } from '../../../gateway/events/shipper/topics.js';
import { readState } from '../../../gateway/events/stream-state.js';
import type { TestKafka } from '../../../test/harness/kafka.js';
import { silentLog } from '../random-events.fixture.js';
import type { KafkaLogOptions } from './kafka-session.js';

export interface SpooledFrame {
  readonly firstSeq: number;
  readonly count: number;
  readonly bytes: Buffer;
}

/** Every frame of a stream's directory, in order. */
export function framesOf(streamDir: string): SpooledFrame[] {
  const stream = basename(streamDir);
  return listSegments(streamDir).flatMap(({ path }) => {
    const bytes = readFileSync(path);
    const frames: SpooledFrame[] = [];
    for (let at = SEGMENT_HEADER_BYTES; ;) {
      const header = parseFrameHeader(bytes, at, stream);
      if (header === null) return frames;
      const end = at + FRAME_HEADER_BYTES + header.payloadBytes;
      frames.push({ firstSeq: header.firstSeq, count: header.count, bytes: bytes.subarray(at, end) });
      at = end;
    }
  });
}

/** Frames in a message as they lie in the spool. */
export const asTheyLie = (stream: string, value: Buffer): ChunkMessage => ({ key: stream, headers: { t: 'frames', v: '1' }, value });

/** A stream's frames as messages. */
export function chunksOf(streamDir: string, framesAChunk = 33, encode = encodeFrames): ChunkMessage[] {
  const frames = framesOf(streamDir);
  const chunks: ChunkMessage[] = [];
  for (let i = 0; i < frames.length; i += framesAChunk) {
    chunks.push(encode(basename(streamDir), Buffer.concat(frames.slice(i, i + framesAChunk).map(({ bytes }) => bytes))));
  }
  return chunks;
}

/** What the shipper says of a stream, from its state as it lies there. */
export function stateOf(streamDir: string, changes: Partial<StreamFacts> = {}): ChunkMessage {
  const state = readState(streamDir);
  if (state === null) throw new Error(`${streamDir} has no state`);
  const { stream, node, worker, openedAt, lastSeq, markedAt, seal } = state;
  return encodeState({
    format: 1, stream, node, instance: 'instance-a', worker, openedAt, lastSeq, markedAt, seal: seal === null ? null : { sealedAt: seal.sealedAt, lastSeq: seal.lastSeq, proven: seal.proven },
    drops: readDrops(streamDir)?.apps.map(({ app, rows, firstMs, lastMs }) => ({ app, rows, firstMs, lastMs })) ?? [], ...changes,
  });
}

export class TestTopic {
  readonly settings: KafkaSettings;
  readonly client: Kafka;
  readonly #producer: Producer;

  private constructor(settings: KafkaSettings) {
    this.settings = settings;
    this.client = kafkaClient(settings, silentLog);
    this.#producer = this.client.producer({ idempotent: true, maxInFlightRequests: 1, allowAutoTopicCreation: false });
  }

  static async make(kafka: TestKafka, partitions: number): Promise<TestTopic> {
    const topic = `events-${randomBytes(4).toString('hex')}`;
    const made = new TestTopic(testSettings(kafka.brokers, topic, partitions));
    await kafka.withAdmin((admin) => prepareTopics(admin, made.settings, silentLog));
    await made.#producer.connect();
    return made;
  }

  /** The same topic, by other brokers. */
  static async at({ settings }: TestTopic, brokers: readonly string[]): Promise<TestTopic> {
    const other = new TestTopic({ ...settings, brokers });
    await other.#producer.connect();
    return other;
  }

  options(timings: Omit<KafkaLogOptions, 'settings'> = {}): KafkaLogOptions {
    return { settings: this.settings, sessionTimeoutMs: 10_000, ...timings };
  }

  /** @param partition default: the stream's */
  async send(messages: readonly (ChunkMessage | Message)[], partition?: number): Promise<void> {
    await this.#producer.send({
      topic: this.settings.topic, acks: -1, compression: kafkajs.CompressionTypes.GZIP,
      messages: messages.map((message) => ({ ...message, headers: { ...message.headers }, partition: partition ?? partitionOf(String(message.key), this.settings.partitions) })),
    });
  }

  /** What the group has committed, by partition. */
  async committed(): Promise<ReadonlyMap<number, { readonly offset: string; readonly metadata: string | null }>> {
    const { group: groupId, topic } = this.settings;
    const [offsets] = await this.#withAdmin((admin) => admin.fetchOffsets({ groupId, topics: [topic] }));
    return new Map(offsets?.partitions.map((place) => [place.partition, place]));
  }

  /** All that was sent so far is gone, as after the topic's retention. */
  async forgetMessages(): Promise<void> {
    const { topic, partitions } = this.settings;
    await this.#withAdmin(async (admin) => {
      // it knows no topic that it has not been asked about
      await admin.fetchTopicOffsets(topic);
      await admin.deleteTopicRecords({ topic, partitions: Array.from({ length: partitions }, (_, partition) => ({ partition, offset: '-1' })) });
    });
  }

  /** As kafka-consumer-groups --reset-offsets --to-earliest: the group has no members meanwhile. */
  async seekEarliest(): Promise<void> {
    const { topic, group: groupId } = this.settings;
    await this.#withAdmin(async (admin) => {
      const offsets = await admin.fetchTopicOffsets(topic);
      await admin.setOffsets({ groupId, topic, partitions: offsets.map(({ partition, low }) => ({ partition, offset: low })) });
    });
  }

  /** As kafka-consumer-groups --reset-offsets --to-offset: the group has no members meanwhile. */
  async moveGroup(partition: number, offset: number): Promise<void> {
    const { topic, group: groupId } = this.settings;
    await this.#withAdmin((admin) => admin.setOffsets({ groupId, topic, partitions: [{ partition, offset: String(offset) }] }));
  }

  /** A place of the group with its metadata, as a collector that was killed left it. */
  async leavePlace(partition: number, offset: number, metadata: string): Promise<void> {
    const { topic, group: groupId } = this.settings;
    const consumer = this.client.consumer({ groupId });
    await consumer.connect();
    try {
      await consumer.subscribe({ topic, fromBeginning: true });
      const joined = new Promise((resolve) => { consumer.on(consumer.events.GROUP_JOIN, resolve); });
      await consumer.run({ autoCommit: false, eachBatchAutoResolve: false, eachBatch: () => Promise.resolve() });
      await joined;
      await consumer.commitOffsets([{ topic, partition, offset: String(offset), metadata }]);
    } finally {
      await consumer.disconnect();
    }
  }

  /** The group has no members, and then no places. */
  async forgetGroup(): Promise<void> {
    await this.#withAdmin((admin) => admin.deleteGroups([this.settings.group]));
  }

  async #withAdmin<T>(use: (admin: Admin) => Promise<T>): Promise<T> {
    const admin = this.client.admin();
    await admin.connect();
    try {
      return await use(admin);
    } finally {
      await admin.disconnect();
    }
  }

  async close(): Promise<void> {
    await this.#producer.disconnect();
  }
}

export function testSettings(brokers: string, topic: string, partitions: number): KafkaSettings {
  return {
    brokers: brokers.split(','), topic, quarantineTopic: `${topic}.quarantine`, group: `collectors-${topic}`, partitions, replication: 'auto', minInsyncReplicas: 'auto', retentionMs: 7 * 86_400_000,
    chunkEvents: 1000, chunkAgeMs: 200, clientId: 'test', ssl: false, sasl: null,
  };
}
