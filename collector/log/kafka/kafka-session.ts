/**
 * One membership in the consumer group, from joining to leaving. Batches are offered one at a time, and kafkajs waits with the next, and with joining a
 * new generation, until the offer is released: so whoever works on an offer owns its partition, or finds out at the next commit.
 *
 * A commit whose outcome is unknown ends the session: a request that lies in a stalled broker can be carried out later than one sent after it, and leaving the
 * group makes Kafka refuse it.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Consumer, EachBatchPayload, Kafka } from 'kafkajs';
import { TidegateError } from '../../../errors/tidegate-error.js';
import { kafkaClient, kafkaFailure, type KafkaSettings } from '../../../gateway/events/kafka-client.js';
import { prepareTopics } from '../../../gateway/events/shipper/topics.js';
import type { SpoolLog } from '../../../gateway/events/spool-log.js';
import { GroupPlaces, leastEnd, type GroupPlace } from './group-places.js';
import { Offer, PartitionLost } from './offer.js';
import { LOWER_FOR_MS, ReadThrough } from './read-through.js';

export interface KafkaLogOptions {
  readonly settings: KafkaSettings;
  /** A member that is silent for so long has lost its partitions. */
  readonly sessionTimeoutMs?: number;
  /** How long a member that works on a range may keep the others waiting when partitions are dealt out anew. */
  readonly rebalanceTimeoutMs?: number;
  /** Fetched of a partition at once, compressed. */
  readonly fetchBytes?: number;
}

const SESSION_TIMEOUT_MS = 30_000;
const REBALANCE_TIMEOUT_MS = 30_000;
/** How often it is looked whether a heartbeat is due. */
const HEARTBEAT_MS = 1000;
/** What comes within this time is taken together: small ranges cost as much as large ones. */
const GATHER_MS = 250;
/** So much, and it is not waited for more. */
const GATHER_BYTES = 512 * 1024;
/** Compressed, by columns; 200,000 to 390,000 events, and one range (kafka-event-log.ts). kafkajs holds what it has fetched in memory, two to three times as large. */
const FETCH_PARTITION_BYTES = 2_500_000;
const FETCH_BYTES = 2 * FETCH_PARTITION_BYTES;
/** How often it is asked where the log ends. */
const ENDS_EVERY_MS = 250;
/** A broker that stood still speaks as the leader it was for less (measured: for 0.3 s, on a machine with little else to do). */
const MISTAKEN_FOR_MS = 5000;
/** As-of stands still for so long before it is told why. */
const SILENCE_TOLD_MS = 10_000;
/** A partition whose leader has died has another within this time. */
const PLACES_WITHIN_MS = 30_000;
/** After a question that failed. */
const ASK_AGAIN_MS = 1000;
/** A fetch that brings nothing ends after GATHER_MS; one of a broker that is gone, with its connection. */
const FETCH_ENDS_WITHIN_MS = 15_000;
const FETCH_LOOK_MS = 10;
/** A broker that does not answer is not waited for when leaving. */
const LEAVE_WITHIN_MS = 5000;

/** What a coordinator says while it takes up its work, or hands it over. */
const NOT_READY: ReadonlySet<string> = new Set(['GROUP_LOAD_IN_PROGRESS', 'GROUP_COORDINATOR_NOT_AVAILABLE', 'NOT_COORDINATOR_FOR_GROUP', 'REBALANCE_IN_PROGRESS']);

export function isNotReady(error: unknown): boolean {
  return NOT_READY.has((error as { readonly type?: string }).type ?? '');
}

export class KafkaSession {
  readonly readThrough = new ReadThrough();
  readonly #options: KafkaLogOptions;
  readonly #consumer: Consumer;
  readonly #client: Kafka;
  readonly #log: SpoolLog;
  #generation = 0;
  #partitions: readonly number[] = [];
  /** As this generation began; null: they are not read yet. */
  #places: ReadonlyMap<number, GroupPlace> | null = null;
  readonly #wentBack = new Set<number>();
  /** They are said to end before what is read of them: since when, and when it was last asked; by a clock that is never set. Nothing is fetched of these either. */
  readonly #doubted = new Map<number, { readonly sinceMs: number; readonly saidMs: number }>();
  /** False: nothing is fetched yet in this generation. */
  #fetching = false;
  /** Brokers from which a fetch is under way, and its number. */
  readonly #fetches = new Map<number | string, number>();
  #fetchesBegun = 0;
  /** Since when nobody says where the log ends, by a clock that is never set, and whether that has been told; null: somebody does. */
  #silent: { readonly sinceMs: number; told: boolean } | null = null;
  /** What is asked beside reading, in all generations. */
  #asking: Promise<unknown> = Promise.resolve();
  #offer: Offer | null = null;
  #offered: () => void = () => undefined;
  #broken: Error | null = null;
  #leaving = false;

  private constructor(options: KafkaLogOptions, log: SpoolLog) {
    this.#options = options;
    this.#log = log;
    this.#client = kafkaClient(options.settings, log);
    this.#consumer = this.#client.consumer({
      groupId: options.settings.group, sessionTimeout: options.sessionTimeoutMs ?? SESSION_TIMEOUT_MS,
      rebalanceTimeout: options.rebalanceTimeoutMs ?? REBALANCE_TIMEOUT_MS, heartbeatInterval: HEARTBEAT_MS, maxWaitTimeInMs: GATHER_MS, minBytes: GATHER_BYTES,
      maxBytesPerPartition: options.fetchBytes ?? FETCH_PARTITION_BYTES, maxBytes: options.fetchBytes ?? FETCH_BYTES, allowAutoTopicCreation: false,
      // begun anew by the event log, with its own back-off
      retry: { retries: 5, restartOnFailure: async () => false },
    });
    this.#consumer.on(this.#consumer.events.GROUP_JOIN, ({ payload }) => {
      this.#generation++;
      this.#partitions = payload.memberAssignment[options.settings.topic] ?? [];
      this.#places = null;
      this.#wentBack.clear();
      this.#doubted.clear();
      this.#silent = null;
      this.readThrough.begin(new Map());
      this.#fetching = false;
      this.#offer?.lose(new PartitionLost('a new generation of the group'));
      this.#asking = Promise.all([this.#asking, this.#ask(this.#generation)]).then(() => undefined);
      log.info({ partitions: this.#partitions.length, member: payload.memberId }, 'joined the group of collectors');
    });
    this.#consumer.on(this.#consumer.events.CRASH, ({ payload }) => { this.#break(payload.error); });
    // another may lead its partitions meanwhile, and kafkajs would ask this one five times more
    this.#consumer.on(this.#consumer.events.REQUEST_TIMEOUT, ({ payload: { apiName, broker } }) => {
      if (apiName === 'Fetch') this.#break(new TidegateError('kafka_unreachable', `${broker} does not answer a fetch`));
    });
    // one that fails in earnest has no end, but another beginning
    this.#consumer.on(this.#consumer.events.FETCH_START, ({ payload }) => { this.#fetches.set(payload.nodeId, this.#fetchesBegun++); });
    this.#consumer.on(this.#consumer.events.FETCH, ({ payload }) => { this.#fetches.delete(payload.nodeId); });
  }

  /** Joins the group. @throws what kafkajs throws */
  static async open(options: KafkaLogOptions, log: SpoolLog): Promise<KafkaSession> {
    const session = new KafkaSession(options, log);
    try {
      await session.#prepareTopics();
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

  /** Of the topic, as this generation began: whoever adds some makes a new one. Null: not read yet, and nothing is on offer. */
  get partitionCount(): number | null {
    return this.#places?.size ?? null;
  }

  /** Partitions of this member of which the log ends before what the group has read: nothing is fetched of them. */
  get wentBack(): ReadonlySet<number> {
    return this.#wentBack;
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

  /** As this generation began. @throws PartitionLost: another has begun meanwhile */
  place(partition: number): GroupPlace {
    const place = this.#places?.get(partition);
    if (place === undefined) throw new PartitionLost('a new generation of the group');
    return place;
  }

  /** Leaves the group. What is on offer is released unfinished. */
  async close(): Promise<void> {
    this.#leaving = true;
    this.#break(new PartitionLost('left the group'));
    // it also ends where the group cannot be told: then its partitions are free after the session's time
    const left = Promise.allSettled([this.#consumer.disconnect(), this.#asking]);
    await Promise.race([left, pause(LEAVE_WITHIN_MS, undefined, { ref: false })]);
  }

  /** A collector may be there before any gateway. */
  async #prepareTopics(): Promise<void> {
    const admin = this.#client.admin();
    try {
      await admin.connect();
      await prepareTopics(admin, this.#options.settings, this.#log);
    } finally {
      await admin.disconnect();
    }
  }

  /** For as long as a generation lasts: where it begins, and then where the log ends. */
  async #ask(generation: number): Promise<void> {
    const group = new GroupPlaces(this.#options.settings, this.#log);
    const isOver = (): boolean => generation !== this.#generation || this.#broken !== null;
    try {
      await this.#beforeFetching(group, isOver);
      while (!isOver()) {
        const answered = await this.#askEnds(group, isOver);
        await pause(answered ? ENDS_EVERY_MS : ASK_AGAIN_MS);
      }
    } catch (error) {
      if (!isOver()) this.#break(error instanceof Error ? error : new Error(String(error)));
    } finally {
      await group.close();
    }
  }

  /**
   * Where the log begins behind a committed offset, kafkajs would find out by a fetch, commit "the beginning" over it, and the intent in its metadata would be
   * gone: so both are read first, nothing is fetched meanwhile, and then from the log's beginning. It does the same where the log ends before that offset, and
   * what came since the log went back would be taken for read: nothing is fetched of such a partition.
   */
  async #beforeFetching(group: GroupPlaces, isOver: () => boolean): Promise<void> {
    const { topic } = this.#options.settings;
    this.#consumer.pause([{ topic }]);
    const places = await this.#readPlaces(group, isOver);
    if (places === null || isOver()) return;
    const own = [...places].filter(([partition]) => this.#partitions.includes(partition));
    const sought = own.filter(([, { offset, begins }]) => offset >= 0 && offset < begins);
    for (const [partition, { begins }] of sought) this.#consumer.seek({ topic, partition, offset: String(begins) });
    if (sought.length > 0) await this.#fetchesEnd(isOver);
    if (isOver()) return;
    this.#places = places;
    this.readThrough.begin(new Map(own.map(([partition, { offset, begins }]) => [partition, Math.max(offset, begins)])));
    this.#fetching = true;
    this.#consumer.resume([{ topic }]);
    for (const [partition, place] of own) if (place.ends < leastEnd(place)) this.#doubt(partition, { askedMs: performance.now(), answeredMs: performance.now() });
  }

  /** Asked again where it fails: a leader may just be moving. Null: the generation is over. @throws what kafkajs throws, once it has failed for long */
  async #readPlaces(group: GroupPlaces, isOver: () => boolean): Promise<ReadonlyMap<number, GroupPlace> | null> {
    const deadlineMs = performance.now() + PLACES_WITHIN_MS;
    while (!isOver()) {
      try {
        const places = await group.read();
        if (this.#partitions.every((partition) => places.has(partition))) return places;
        throw new Error('a broker does not know partitions yet that the group has dealt out');
      } catch (error) {
        if (performance.now() > deadlineMs) throw error;
        await pause(ASK_AGAIN_MS);
      }
    }
    return null;
  }

  /** False: no answer. Then nothing more is known to be read, and as-of stands still, also where but one partition has no leader: the others are read on. */
  async #askEnds(group: GroupPlaces, isOver: () => boolean): Promise<boolean> {
    const atMs = Date.now();
    const askedMs = performance.now();
    const { nexts } = this.readThrough;
    const ends = await group.ends().catch((error: unknown) => { this.#unanswered(error, askedMs); return null; });
    if (ends === null || isOver()) return ends !== null;
    this.#answered();
    const answeredMs = performance.now();
    for (const [partition, next] of nexts) {
      const end = ends.get(partition);
      if (end === undefined) continue;
      if (end < Math.max(next, leastEnd(this.place(partition)))) {
        this.#doubt(partition, { askedMs, answeredMs });
      } else {
        this.#trust(partition);
        if (this.#wentBack.has(partition)) continue;
        this.readThrough.ends(partition, end, { atMs, askedMs, answeredMs });
      }
    }
    return true;
  }

  /** A leader that moves is no news. */
  #unanswered(error: unknown, askedMs: number): void {
    this.#silent ??= { sinceMs: askedMs, told: false };
    if (this.#silent.told || performance.now() - this.#silent.sinceMs < SILENCE_TOLD_MS) return;
    this.#silent.told = true;
    const { code, message, remedy } = kafkaFailure(error);
    this.#log.warn({ code, detail: message, remedy }, 'Kafka does not say where the log ends: as-of stands still');
  }

  #answered(): void {
    if (this.#silent?.told === true) this.#log.info({}, 'Kafka says again where the log ends');
    this.#silent = null;
  }

  /** A broker that stood still says so, too, for a moment, of what another leads by now. */
  #doubt(partition: number, { askedMs, answeredMs }: { readonly askedMs: number; readonly answeredMs: number }): void {
    const doubt = this.#doubted.get(partition);
    // what was asked long ago, of a broker that stood still since, is said only now
    this.#doubted.set(partition, { sinceMs: doubt?.sinceMs ?? answeredMs, saidMs: askedMs });
    if (doubt === undefined) this.#consumer.pause([{ topic: this.#options.settings.topic, partitions: [partition] }]);
    else if (askedMs - doubt.sinceMs >= LOWER_FOR_MS) this.#wentBack.add(partition);
  }

  /** What is said for longer than by a broker that stood still was so: the log went back, and has grown since, and what it has in that place now is not read. */
  #trust(partition: number): void {
    const doubt = this.#doubted.get(partition);
    if (doubt === undefined || this.#wentBack.has(partition)) return;
    if (doubt.saidMs - doubt.sinceMs >= MISTAKEN_FOR_MS) {
      this.#wentBack.add(partition);
      return;
    }
    this.#doubted.delete(partition);
    this.#consumer.resume([{ topic: this.#options.settings.topic, partitions: [partition] }]);
  }

  /** A fetch that is under way may have taken up its offsets before these were sought (by kafkajs's code: it looks what is paused only afterwards): so it is waited for its end. */
  async #fetchesEnd(isOver: () => boolean): Promise<void> {
    const underWay = [...this.#fetches];
    const deadlineMs = performance.now() + FETCH_ENDS_WITHIN_MS;
    while (underWay.some(([broker, fetch]) => this.#fetches.get(broker) === fetch) && !isOver()) {
      if (performance.now() > deadlineMs) throw new Error('a fetch does not end');
      await pause(FETCH_LOOK_MS);
    }
  }

  #break(error: Error): void {
    this.#broken ??= error;
    this.#offer?.lose(error);
    this.#offered();
  }

  async #eachBatch(payload: EachBatchPayload): Promise<void> {
    if (this.#broken !== null || this.#leaving) return;
    // with several brokers, what the generation before has fetched can come now: of a partition of another's, or from another place than this one begins at
    if (!this.#fetching || !this.#partitions.includes(payload.batch.partition) || this.#doubted.has(payload.batch.partition)) return;
    const offer = new Offer(payload, this.#generation, {
      generation: () => this.#generation,
      failed: (error) => { this.#break(error); },
      seek: (partition, offset) => { this.#consumer.seek({ topic: payload.batch.topic, partition, offset: String(offset) }); },
    });
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
