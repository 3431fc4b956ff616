/**
 * One membership in the consumer group, from joining to leaving. Batches are offered one at a time, and kafkajs waits with the next, and with joining a
 * new generation, until the offer is released: so whoever works on an offer owns its partition, or finds out at the next commit.
 *
 * Commits are fenced twice. Kafka refuses those of an old generation; but kafkajs sends a commit with the generation it is in when it is sent, and with several
 * brokers it can join a new one while a batch is worked on. So the generation of the offer is compared first, in the same turn of the event loop
 * (GROUP_JOIN is told in the turn in which the generation changes).
 *
 * A commit whose outcome is unknown ends the session: a request that lies in a stalled broker can be carried out later than one sent after it, and leaving the
 * group makes Kafka refuse it.
 */
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import type { Admin, Consumer, EachBatchPayload } from 'kafkajs';
import { kafkaClient, type KafkaSettings } from '../../../gateway/events/kafka-client.js';
import { prepareTopics } from '../../../gateway/events/shipper/topics.js';
import type { SpoolLog } from '../../../gateway/events/spool-log.js';
import { FetchClock } from './fetch-clock.js';
import type { LogMessage } from './range-builder.js';

export interface KafkaLogOptions {
  readonly settings: KafkaSettings;
  /** A member that is silent for so long has lost its partitions. */
  readonly sessionTimeoutMs?: number;
  /** How long a member that works on a range may keep the others waiting when partitions are dealt out anew. */
  readonly rebalanceTimeoutMs?: number;
  /** Fetched of a partition at once, compressed. */
  readonly fetchBytes?: number;
}

export interface Committed {
  /** -1: none. */
  readonly offset: number;
  /** '': none. */
  readonly metadata: string;
}

const NONE: Committed = { offset: -1, metadata: '' };

/** The partition is another's, or will be: what was begun is for its next owner. */
export class PartitionLost extends Error {}

const SESSION_TIMEOUT_MS = 30_000;
const REBALANCE_TIMEOUT_MS = 30_000;
/** How often it is looked whether a heartbeat is due. */
const HEARTBEAT_MS = 1000;
/** What comes within this time is taken together: small ranges cost as much as large ones. */
const GATHER_MS = 250;
/** So much, and it is not waited for more. */
const GATHER_BYTES = 1024 * 1024;
/** Compressed; about 200,000 events. kafkajs holds what it has fetched in memory, four to ten times as large. */
const FETCH_PARTITION_BYTES = 4 * 1024 * 1024;
const FETCH_BYTES = 8 * 1024 * 1024;
/** A fetch that brings nothing ends after GATHER_MS; one of a broker that is gone, with its connection. */
const FETCH_ANEW_WITHIN_MS = 15_000;
const FETCH_LOOK_MS = 10;
/** A broker that does not answer is not waited for when leaving. */
const LEAVE_WITHIN_MS = 5000;

/** Refusals that say who owns the partition, not that something is wrong. */
const NOT_OURS: ReadonlySet<string> = new Set(['REBALANCE_IN_PROGRESS', 'ILLEGAL_GENERATION', 'UNKNOWN_MEMBER_ID', 'FENCED_INSTANCE_ID', 'NOT_COORDINATOR_FOR_GROUP']);

/** What a coordinator says while it takes up its work, or hands it over. */
const NOT_READY: ReadonlySet<string> = new Set(['GROUP_LOAD_IN_PROGRESS', 'GROUP_COORDINATOR_NOT_AVAILABLE', 'NOT_COORDINATOR_FOR_GROUP', 'REBALANCE_IN_PROGRESS']);

export function isNotReady(error: unknown): boolean {
  return NOT_READY.has((error as { readonly type?: string }).type ?? '');
}

export class KafkaSession {
  readonly clock = new FetchClock();
  readonly #options: KafkaLogOptions;
  readonly #consumer: Consumer;
  readonly #admin: Admin;
  #generation = 0;
  #partitions: readonly number[] = [];
  /** False: this generation has not read yet what is committed. */
  #fetching = false;
  /** Brokers from which a fetch has begun, in this generation or since partitions were sought in it. */
  readonly #fetches = new Set<number | string>();
  #committed: Promise<ReadonlyMap<number, Committed>> = Promise.resolve(new Map<number, Committed>());
  #offer: Offer | null = null;
  #offered: () => void = () => undefined;
  #broken: Error | null = null;
  #leaving = false;

  private constructor(options: KafkaLogOptions, log: SpoolLog) {
    this.#options = options;
    const client = kafkaClient(options.settings, log);
    this.#admin = client.admin();
    this.#consumer = client.consumer({
      groupId: options.settings.group, sessionTimeout: options.sessionTimeoutMs ?? SESSION_TIMEOUT_MS,
      rebalanceTimeout: options.rebalanceTimeoutMs ?? REBALANCE_TIMEOUT_MS, heartbeatInterval: HEARTBEAT_MS, maxWaitTimeInMs: GATHER_MS, minBytes: GATHER_BYTES,
      maxBytesPerPartition: options.fetchBytes ?? FETCH_PARTITION_BYTES, maxBytes: options.fetchBytes ?? FETCH_BYTES, allowAutoTopicCreation: false,
      // begun anew by the event log, with its own back-off
      retry: { retries: 5, restartOnFailure: async () => false },
    });
    this.#consumer.on(this.#consumer.events.GROUP_JOIN, ({ payload }) => {
      this.#generation++;
      this.#partitions = payload.memberAssignment[options.settings.topic] ?? [];
      this.clock.forget();
      this.#fetching = false;
      this.#fetches.clear();
      this.#offer?.lose(new PartitionLost('a new generation of the group'));
      this.#committed = this.#beforeFetching(this.#generation);
      log.info({ partitions: this.#partitions.length, member: payload.memberId }, 'joined the group of collectors');
    });
    this.#consumer.on(this.#consumer.events.CRASH, ({ payload }) => { this.#break(payload.error); });
    this.#consumer.on(this.#consumer.events.FETCH_START, ({ payload, timestamp }) => {
      this.#fetches.add(payload.nodeId);
      // of what is paused nothing is fetched, which is no sign of having caught up
      if (this.#fetching) this.clock.fetches(payload.nodeId, timestamp);
    });
  }

  /** Joins the group. @throws what kafkajs throws */
  static async open(options: KafkaLogOptions, log: SpoolLog): Promise<KafkaSession> {
    const session = new KafkaSession(options, log);
    try {
      await session.#admin.connect();
      // a collector may be there before any gateway
      await prepareTopics(session.#admin, options.settings, log);
      await session.#consumer.connect();
      await session.#consumer.subscribe({ topics: [options.settings.topic], fromBeginning: true });
      await session.#consumer.run({ autoCommit: false, eachBatchAutoResolve: false, eachBatch: (payload) => session.#eachBatch(payload) });
      session.check();
      return session;
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  /** Changes whenever the group has dealt out its partitions anew. */
  get generation(): number {
    return this.#generation;
  }

  /** Of this member, in this generation. */
  get partitions(): readonly number[] {
    return this.#partitions;
  }

  /** Of the topic, as of now: whoever adds some makes a new generation. @throws what kafkajs throws */
  async partitionCount(): Promise<number> {
    const { topics } = await this.#admin.fetchTopicMetadata({ topics: [this.#options.settings.topic] });
    return topics[0]?.partitions.length ?? 0;
  }

  /** @throws why the session is over */
  check(): void {
    if (this.#broken !== null) throw this.#broken;
  }

  /** The batch on offer; null: none came within the time. @throws why the session is over */
  async next(withinMs: number): Promise<Offer | null> {
    this.check();
    if (this.#offer === null) {
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#offered = resolve;
        timer = setTimeout(resolve, withinMs);
      });
      clearTimeout(timer);
      this.check();
    }
    return this.#offer;
  }

  /** What the group had committed when this generation began. @throws why the session is over */
  async committed(partition: number): Promise<Committed> {
    const committed = await this.#committed;
    this.check();
    return committed.get(partition) ?? NONE;
  }

  /** Leaves the group. What is on offer is released unfinished. */
  async close(): Promise<void> {
    this.#leaving = true;
    this.#break(new PartitionLost('left the group'));
    // it also ends where the group cannot be told: then its partitions are free after the session's time
    const left = Promise.allSettled([this.#consumer.disconnect(), this.#admin.disconnect()]);
    await Promise.race([left, pause(LEAVE_WITHIN_MS, undefined, { ref: false })]);
  }

  /**
   * Where the log begins behind a committed offset, kafkajs would find out by a fetch, commit "the beginning" over it, and the intent in its metadata would be
   * gone: so both are read first, nothing is fetched meanwhile, and then from the log's beginning.
   */
  async #beforeFetching(generation: number): Promise<ReadonlyMap<number, Committed>> {
    const { topic } = this.#options.settings;
    try {
      this.#consumer.pause([{ topic }]);
      const [committed, places] = await Promise.all([this.#fetchCommitted(), this.#admin.fetchTopicOffsets(topic)]);
      const sought = places.filter(({ partition, low }) => {
        const { offset } = committed.get(partition) ?? NONE;
        return offset >= 0 && offset < Number(low) && this.#partitions.includes(partition);
      });
      const isOver = (): boolean => generation !== this.#generation || this.#broken !== null;
      if (isOver()) return committed;
      for (const { partition, low } of sought) this.#consumer.seek({ topic, partition, offset: low });
      if (sought.length > 0) await this.#fetchesAnew(isOver);
      if (isOver()) return committed;
      this.#fetching = true;
      this.#consumer.resume([{ topic }]);
      return committed;
    } catch (error) {
      this.#break(error instanceof Error ? error : new Error(String(error)));
      return new Map();
    }
  }

  /** A fetch that is under way may have taken up its offsets before these were sought (by kafkajs's code: it looks what is paused only afterwards): so it is waited for its end. */
  async #fetchesAnew(isOver: () => boolean): Promise<void> {
    const underWay = [...this.#fetches];
    this.#fetches.clear();
    const deadlineMs = performance.now() + FETCH_ANEW_WITHIN_MS;
    while (underWay.some((broker) => !this.#fetches.has(broker)) && !isOver()) {
      if (performance.now() > deadlineMs) throw new Error('a broker is not fetched from any more');
      await pause(FETCH_LOOK_MS);
    }
  }

  async #fetchCommitted(): Promise<ReadonlyMap<number, Committed>> {
    const { group: groupId, topic } = this.#options.settings;
    const topics = await this.#admin.fetchOffsets({ groupId, topics: [topic] });
    return new Map(topics.flatMap(({ partitions }) => partitions).map(({ partition, offset, metadata }) => [partition, { offset: Number(offset), metadata: metadata ?? '' }]));
  }

  #break(error: Error): void {
    this.#broken ??= error;
    this.#offer?.lose(error);
    this.#offered();
  }

  async #eachBatch(payload: EachBatchPayload): Promise<void> {
    if (this.#broken !== null || this.#leaving) return;
    // with several brokers, what the generation before has fetched can come now: of a partition of another's, or from another place than this one begins at
    if (!this.#fetching || !this.#partitions.includes(payload.batch.partition)) return;
    const offer = new Offer(payload, this.#generation, {
      generation: () => this.#generation,
      failed: (error) => { this.#break(error); },
    });
    this.clock.takes(offer.lastOffset + 1 >= Number(payload.batch.highWatermark));
    const timer = setInterval(() => { payload.heartbeat().catch((error: unknown) => { offer.lose(error); }); }, HEARTBEAT_MS);
    this.#offer = offer;
    this.#offered();
    try {
      await offer.released;
    } finally {
      clearInterval(timer);
      this.#offer = null;
    }
  }
}

interface OfferWays {
  generation(): number;
  failed(error: Error): void;
}

/** A batch of one partition. */
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

  get generation(): number {
    return this.#generation;
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
