/** Reads a topic of a real Kafka from its beginning: what is there, as a reader understands it. */
import type { Kafka } from 'kafkajs';
import { randomUUID } from 'node:crypto';
import { decodeChunk, type Chunk } from '../chunk.js';
import { kafkaClient, type KafkaSettings } from '../kafka-client.js';
import { KeptLog } from '../event-samples.fixture.js';

export interface LoggedChunk { readonly partition: number; readonly offset: number; readonly chunk: Chunk }

export const LOG_SETTINGS: Omit<KafkaSettings, 'brokers'> = {
  topic: 'tidegate.events', quarantineTopic: 'tidegate.events.quarantine', group: 'g', partitions: 3, replication: 'auto', minInsyncReplicas: 'auto',
  retentionMs: 86_400_000, chunkEvents: 1000, chunkAgeMs: 20, clientId: 'tidegate-test', ssl: false, sasl: null,
};

/** All that the topic holds now, in the order of each partition. */
export async function readTopic(settings: KafkaSettings): Promise<LoggedChunk[]> {
  const client = kafkaClient(settings, new KeptLog());
  const ends = new Map((await endsOf(client, settings.topic)).filter(({ low, high }) => low < high).map(({ partition, high }) => [partition, high]));
  const read: LoggedChunk[] = [];
  if (ends.size === 0) return read;
  const consumer = client.consumer({ groupId: `test-${randomUUID()}` });
  await consumer.connect();
  try {
    await consumer.subscribe({ topic: settings.topic, fromBeginning: true });
    await new Promise<void>((resolve, reject) => {
      consumer.on(consumer.events.CRASH, ({ payload }) => { if (!payload.restart) reject(payload.error); });
      consumer.run({
        autoCommit: false,
        eachMessage: async ({ partition, message }) => {
          const offset = Number(message.offset);
          if (offset < (ends.get(partition) ?? 0)) read.push({ partition, offset, chunk: decodeChunk(message) });
          if (offset + 1 >= (ends.get(partition) ?? Number.POSITIVE_INFINITY)) ends.delete(partition);
          if (ends.size === 0) resolve();
        },
      }).catch(reject);
    });
  } finally {
    await consumer.disconnect();
  }
  return read.sort((a, b) => a.partition - b.partition || a.offset - b.offset);
}

/** Seqs of each stream, in the order that they lie in. */
export function seqsOf(log: readonly LoggedChunk[]): Map<string, number[]> {
  const seqs = new Map<string, number[]>();
  for (const { chunk } of log) {
    if (chunk.kind !== 'frames') continue;
    const of = seqs.get(chunk.stream) ?? [];
    for (const { firstSeq, count } of chunk.frames) for (let i = 0; i < count; i++) of.push(firstSeq + i);
    seqs.set(chunk.stream, of);
  }
  return seqs;
}

/** Of each partition: its first offset, and the one behind its last. */
export async function endsOf(client: Kafka, topic: string): Promise<{ partition: number; low: number; high: number }[]> {
  const admin = client.admin();
  await admin.connect();
  try {
    return (await admin.fetchTopicOffsets(topic)).map(({ partition, low, high }) => ({ partition, low: Number(low), high: Number(high) }));
  } finally {
    await admin.disconnect();
  }
}

