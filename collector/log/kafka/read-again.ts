/**
 * Reads again what the topic still keeps of some streams, beside the collectors that read it: by a group of its own that commits nothing, so no place of theirs moves.
 *
 *   partitions of the streams:  since ──────► end as it was asked   then, if more is wanted:  beginning ──────► since
 *
 * Where `since` begins is the broker's word by the time of its messages; a clock that was wrong puts a message before it, and it is read in the second pass.
 */
import { randomUUID } from 'node:crypto';
import type { Consumer, EachBatchPayload, Kafka } from 'kafkajs';
import { TidegateError } from '../../../errors/tidegate-error.js';
import { decodeChunk } from '../../../gateway/events/chunk.js';
import { kafkaClient, kafkaFailure, type KafkaSettings } from '../../../gateway/events/kafka-client.js';
import type { SpoolLog } from '../../../gateway/events/spool-log.js';
import type { Store } from '../../store/store.js';
import type { ReadAgain } from '../event-log.js';
import { logOf } from './partition-start.js';

export interface ReadAgainFrom {
  readonly settings: KafkaSettings;
  readonly store: Pick<Store, 'query'>;
  readonly log: SpoolLog;
}

/** Offsets of a partition that are still to be read: from `next` up to `to`, without it. */
interface Span { readonly partition: number; next: number; readonly to: number }

/** A node's clock may be ahead of the broker's by so much. */
const CLOCKS_WITHIN_MS = 3_600_000;
const HEARTBEAT_MS = 3000;
const FETCH_PARTITION_BYTES = 2_500_000;
/** No batch for so long: the broker is asked whether there is anything left to read. */
const SILENT_MS = 15_000;

/** @throws what Kafka says, as our codes; what `take`, the signal and the store throw */
export async function readAgain(from: ReadAgainFrom, wanted: ReadAgain): Promise<void> {
  const client = kafkaClient(from.settings, from.log);
  const partitions = await partitionsOf(from, wanted.streams);
  const passes = await spansOf(client, from.settings.topic, partitions, wanted.sinceMs - CLOCKS_WITHIN_MS);
  let all = 0;
  let done = 0;
  for (const spans of passes) {
    if (spans.length === 0) continue;
    const begun = done;
    all += messagesIn(spans);
    const ofPass = messagesIn(spans);
    const progress = (): void => {
      done = begun + ofPass - messagesIn(spans);
      wanted.progress(done, all);
    };
    progress();
    const more = await new Pass(client, from.settings, spans, wanted, progress).read();
    if (!more) return;
  }
}

const messagesIn = (spans: readonly Span[]): number => spans.reduce((sum, { next, to }) => sum + Math.max(0, to - next), 0);

/** Where the streams lie; null: in any, for of one of them it is not noted. */
async function partitionsOf({ store, settings: { topic } }: ReadAgainFrom, streams: readonly string[]): Promise<ReadonlySet<number> | null> {
  const rows = await store.query<{ stream: string; partition: number }>(
    `SELECT DISTINCT leftPad(lower(hex(s.stream)), 16, '0') AS stream, toUInt32(substring(s.log, length({of:String}) + 1)) AS partition FROM tidegate.streams AS s
     WHERE s.stream IN (${streams.map((stream) => `0x${stream}`).join(', ')}) AND startsWith(s.log, {of:String}) AND match(substring(s.log, length({of:String}) + 1), '^[0-9]+$')`, { of: logOf(topic, '') });
  const noted = new Set(rows.map(({ stream }) => stream));
  return streams.every((stream) => noted.has(stream)) ? new Set(rows.map(({ partition }) => Number(partition))) : null;
}

/** What is read first, and what after it. */
async function spansOf(client: Kafka, topic: string, partitions: ReadonlySet<number> | null, sinceMs: number): Promise<readonly (readonly Span[])[]> {
  const admin = client.admin();
  try {
    await admin.connect();
    const bounds = await admin.fetchTopicOffsets(topic);
    const since = new Map((await admin.fetchTopicOffsetsByTimestamp(topic, sinceMs)).map(({ partition, offset }) => [partition, Number(offset)]));
    const halves = bounds.filter(({ partition }) => partitions === null || partitions.has(partition)).map(({ partition, low, high }) => {
      const [begin, end] = [Number(low), Number(high)];
      // -1: no message is so young
      const offset = since.get(partition) ?? begin;
      return { partition, begin, middle: Math.min(end, Math.max(begin, offset < 0 ? end : offset)), end };
    });
    const filled = (spans: readonly Span[]): readonly Span[] => spans.filter(({ next, to }) => next < to);
    return [
      filled(halves.map(({ partition, middle, end }) => ({ partition, next: middle, to: end }))),
      filled(halves.map(({ partition, begin, middle }) => ({ partition, next: begin, to: middle }))),
    ];
  } catch (error) {
    throw kafkaFailure(error);
  } finally {
    await admin.disconnect().catch(() => undefined);
  }
}

class Pass {
  readonly #client: Kafka;
  readonly #settings: KafkaSettings;
  readonly #spans: readonly Span[];
  readonly #wanted: ReadAgain;
  readonly #progress: () => void;
  readonly #streams: ReadonlySet<string>;
  readonly #consumer: Consumer;
  #taking: Promise<void> = Promise.resolve();
  #isTaking = false;
  /** When the last batch was taken, by a clock that is never set. */
  #readMs = performance.now();
  #end: (more: boolean) => void = () => undefined;
  #fail: (error: unknown) => void = () => undefined;
  #over = false;

  constructor(client: Kafka, settings: KafkaSettings, spans: readonly Span[], wanted: ReadAgain, progress: () => void) {
    this.#client = client;
    this.#settings = settings;
    this.#spans = spans;
    this.#wanted = wanted;
    this.#progress = progress;
    this.#streams = new Set(wanted.streams);
    // kafkajs reads as a member of a group only
    this.#consumer = client.consumer({
      groupId: `${settings.group}-recover-${randomUUID()}`, allowAutoTopicCreation: false, maxBytesPerPartition: FETCH_PARTITION_BYTES, maxBytes: 2 * FETCH_PARTITION_BYTES,
      retry: { retries: 5, restartOnFailure: async () => false },
    });
  }

  /** False: no more is wanted. */
  async read(): Promise<boolean> {
    const { signal } = this.#wanted;
    const { topic } = this.#settings;
    const consumer = this.#consumer;
    const over = new Promise<boolean>((resolve, reject) => {
      this.#end = resolve;
      this.#fail = reject;
    });
    // it may fail before anybody waits for it
    over.catch(() => undefined);
    const aborted = (): void => { this.#fail(signal.reason); };
    signal.addEventListener('abort', aborted);
    consumer.on(consumer.events.CRASH, ({ payload }) => { this.#fail(kafkaFailure(payload.error)); });
    consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => { this.#place(payload.memberAssignment[topic] ?? []); });
    const timer = setInterval(() => { if (this.#isSilent()) void this.#silent(); }, SILENT_MS);
    try {
      signal.throwIfAborted();
      await this.#join();
      return await over;
    } finally {
      this.#over = true;
      clearInterval(timer);
      signal.removeEventListener('abort', aborted);
      await this.#taking.catch(() => undefined);
      await consumer.disconnect().catch(() => undefined);
    }
  }

  async #join(): Promise<void> {
    try {
      await this.#consumer.connect();
      await this.#consumer.subscribe({ topics: [this.#settings.topic], fromBeginning: true });
      await this.#consumer.run({ autoCommit: false, eachBatch: (payload) => this.#batch(payload) });
    } catch (error) {
      throw kafkaFailure(error);
    }
  }

  /** Whenever the group is joined: it has no places of its own to go on from. */
  #place(assigned: readonly number[]): void {
    const { topic } = this.#settings;
    const left = new Map(this.#spans.filter(({ next, to }) => next < to).map((span) => [span.partition, span]));
    const others = assigned.filter((partition) => !left.has(partition));
    if (others.length > 0) this.#consumer.pause([{ topic, partitions: others }]);
    for (const { partition, next } of left.values()) this.#consumer.seek({ topic, partition, offset: String(next) });
  }

  async #batch(payload: EachBatchPayload): Promise<void> {
    if (this.#over) return;
    const timer = setInterval(() => { payload.heartbeat().catch(() => undefined); }, HEARTBEAT_MS);
    this.#taking = this.#take(payload);
    this.#isTaking = true;
    try {
      await this.#taking;
    } catch (error) {
      this.#over = true;
      this.#fail(error);
    } finally {
      clearInterval(timer);
      this.#isTaking = false;
      this.#readMs = performance.now();
    }
  }

  async #take({ batch }: EachBatchPayload): Promise<void> {
    const span = this.#spans.find(({ partition, next, to }) => partition === batch.partition && next < to);
    if (span === undefined) return;
    for (const message of batch.messages) {
      const offset = Number(message.offset);
      // of a fetch that was under way when its place was sought
      if (offset < span.next) continue;
      if (offset >= span.to) break;
      if (this.#over) return;
      this.#wanted.signal.throwIfAborted();
      const stream = message.key?.toString('latin1') ?? '';
      if (this.#streams.has(stream)) {
        const chunk = decodeChunk(message);
        // of damage, what can be read of it was stored
        if (chunk.kind !== 'state' && chunk.frames.length > 0 && !await this.#wanted.take(stream, chunk.frames)) {
          this.#over = true;
          this.#end(false);
          return;
        }
      }
      span.next = offset + 1;
    }
    const read = Number(batch.lastOffset()) + 1;
    if (read > span.next) span.next = Math.min(read, span.to);
    if (span.next >= span.to) this.#consumer.pause([{ topic: this.#settings.topic, partitions: [span.partition] }]);
    this.#progress();
    if (this.#spans.every(({ next, to }) => next >= to)) {
      this.#over = true;
      this.#end(true);
    }
  }

  #isSilent(): boolean {
    return !this.#isTaking && performance.now() - this.#readMs > SILENT_MS;
  }

  /** What was to be read may have gone from the log since. */
  async #silent(): Promise<void> {
    const admin = this.#client.admin();
    try {
      await admin.connect();
      const begins = new Map((await admin.fetchTopicOffsets(this.#settings.topic)).map(({ partition, low }) => [partition, Number(low)]));
      if (!this.#isSilent()) return;
      for (const span of this.#spans) span.next = Math.max(span.next, Math.min(span.to, begins.get(span.partition) ?? 0));
      if (this.#spans.every(({ next, to }) => next >= to)) this.#end(true);
      else throw new TidegateError('kafka_unreachable', `nothing more came of ${this.#settings.topic}, though it holds more`);
    } catch (error) {
      this.#fail(kafkaFailure(error));
    } finally {
      await admin.disconnect().catch(() => undefined);
    }
  }
}
