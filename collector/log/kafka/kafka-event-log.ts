/**
 * From Kafka to the store, one range of one partition at a time, each event exactly once:
 *
 *   build -> staging file -> commit of the range's start with the intent -> INSERT, one block, with the range's token -> facts of streams -> commit of its end
 *
 * A crash anywhere, or another owner: where the committed offset carries an intent, that very insert is made again (the token makes it exact, and completes what
 * a kill left half done); where it carries none, the range is built anew from what is stored. An insert whose outcome is unknown is the same insert
 * again, never another range.
 *
 * The same range with the same token is harmless for as long as the tables remember the token. So an intent that is too many blocks old is not made
 * again, and no insert is begun more than two minutes after its owner has looked: that is what stops an owner that stood still meanwhile.
 */
import { TidegateError } from '../../../errors/tidegate-error.js';
import { kafkaFailure } from '../../../gateway/events/kafka-client.js';
import type { SpoolLog } from '../../../gateway/events/spool-log.js';
import type { StreamFacts } from '../../completeness/stream-coverage.js';
import { StoredStreams } from '../../completeness/stored-streams.js';
import type { Store } from '../../store/store.js';
import type { EventLog, LogPart, LogTotals, QuarantinedItem, ReadAgain, Standing, StepResult } from '../event-log.js';
import type { PickedRows, RangeLimits } from '../picked-rows.js';
import { RangeInsert } from '../range-insert.js';
import { StoredSeqs } from '../stored-seqs.js';
import { encodePlace, rangeToken, type Intent, type LastStored } from './intent.js';
import { KafkaQuarantine } from './kafka-quarantine.js';
import { isNotReady, KafkaSession, type KafkaLogOptions } from './kafka-session.js';
import { LogNotes } from './log-notes.js';
import { LogPlaces, type OwnPlace } from './log-places.js';
import { PartitionLost, type Offer } from './offer.js';
import { PartitionStart } from './partition-start.js';
import { RangeBuilder } from './range-builder.js';
import { readAgain } from './read-again.js';
import { StoppedPartitions } from './stopped-partitions.js';

export interface KafkaEventLogOptions {
  /** data_dir/collector */
  readonly collectorDir: string;
  readonly store: Store;
  readonly log: SpoolLog;
  readonly limits?: RangeLimits;
  readonly kafka: KafkaLogOptions;
}

/** A partition as its owner knows it, in one generation of the group. */
interface Owned {
  /** Offset at which the next range begins; null: at the first message there is. */
  next: number | null;
  /** Of what lies before it; null: not known. */
  lastStored: LastStored | null;
  /** Steps that had failed when the store was last seen to hold that. */
  failures: number;
  /** A range begun by whoever owned the partition before, and how much of it is built again. */
  again: { readonly intent: Intent; readonly builder: RangeBuilder } | null;
  /** It was offered from further on, and is offered again from here; null: never. */
  offeredAgain: number | null;
  /** Durable, and not known to be inserted. */
  pending: { readonly intent: Intent; readonly builder: RangeBuilder; readonly picked: PickedRows } | null;
}

/**
 * A fetch of a partition is one range: what a smaller bound leaves of it would be a range of its own, and a small one costs nearly as much as a large one. Measured,
 * seconds of CPU a million events in ranges of so many: 50,000 10.5, 100,000 7.4, 150,000 6.8, 200,000 5.9, 300,000 6.3.
 */
const LIMITS: RangeLimits = { rows: 400_000, bytes: 64 * 1024 * 1024 };
/** A step waits so long for something to come. */
const WAIT_MS = 250;
/** An insert that is begun later than this after its owner has looked stores nothing. */
const INSERT_WITHIN_MS = 120_000;
/** Half of what the tables remember (non_replicated_deduplication_window, in migrations/0001_traffic.sql). */
const MOST_BLOCKS = 5000;
/** The clocks of collectors and of the store differ by less. */
const CLOCKS_WITHIN_MS = 86_400_000;
/** A group that is not ready for longer is a failure. */
const READY_WITHIN_MS = 20_000;

export class KafkaEventLog implements EventLog {
  readonly #options: KafkaEventLogOptions;
  readonly #limits: RangeLimits;
  readonly #inserts: RangeInsert;
  readonly #quarantine: KafkaQuarantine;
  readonly #notes: LogNotes;
  readonly #streams: StoredStreams;
  readonly #start: PartitionStart;
  readonly #places: LogPlaces;
  readonly #stored = new StoredSeqs();
  readonly #owned = new Map<number, Owned>();
  readonly #stopped: StoppedPartitions;
  #session: KafkaSession | null = null;
  #generation = 0;
  #notReadySinceMs: number | null = null;
  /** Steps that failed: the store may have been put back to an earlier time since. */
  #failures = 0;

  private constructor(options: KafkaEventLogOptions) {
    const { store, log, collectorDir, kafka } = options;
    this.#options = options;
    this.#limits = options.limits ?? LIMITS;
    this.#inserts = new RangeInsert(store, collectorDir, log);
    this.#quarantine = new KafkaQuarantine(kafka.settings, store, log);
    this.#notes = new LogNotes(store, kafka.settings.topic);
    this.#streams = new StoredStreams(store);
    this.#start = new PartitionStart(store, kafka.settings.topic, kafka.settings.retentionMs);
    this.#places = new LogPlaces(store, kafka.settings.topic);
    this.#stopped = new StoppedPartitions(log);
  }

  /** Kafka may be away: it is joined by the first step. @throws store_failed and its like */
  static async open(options: KafkaEventLogOptions): Promise<KafkaEventLog> {
    const log = new KafkaEventLog(options);
    log.#inserts.clear();
    await log.#places.look();
    return log;
  }

  get totals(): LogTotals {
    return this.#inserts.totals;
  }

  async step(): Promise<StepResult> {
    try {
      return await this.#step();
    } catch (error) {
      this.#failures++;
      this.#stored.clear();
      throw error;
    }
  }

  /** Of all partitions, by whichever collector they are read. Of one that nobody has spoken of, only what is older than the log keeps is known not to come. */
  asOfMs(): number {
    const nowMs = Date.now();
    return Math.min(nowMs, ...this.parts().map(({ asOfMs }) => asOfMs ?? nowMs - this.#options.kafka.settings.retentionMs));
  }

  parts(): readonly LogPart[] {
    return this.#places.parts(this.#own());
  }

  standing(): Standing | null {
    return this.#stopped.standing();
  }

  async tidy(): Promise<void> {
    // Kafka keeps and deletes by its own rule
  }

  facts(nowMs: number, steadyMs?: number): Promise<readonly StreamFacts[]> {
    return this.#streams.facts(nowMs, steadyMs);
  }

  inUse(): ReadonlySet<string> {
    // what the log still holds is within `comesAgainMs`, and its coverage is read anew by whoever meets it again
    return new Set();
  }

  get comesAgainMs(): number {
    return this.#options.kafka.settings.retentionMs + CLOCKS_WITHIN_MS;
  }

  forget(stream: string): void {
    this.#stored.forget(stream);
  }

  replay(item: QuarantinedItem): Promise<void> {
    return this.#quarantine.replay(item);
  }

  readonly keepsStored = true;

  readAgain(wanted: ReadAgain): Promise<void> {
    const { kafka, store, log } = this.#options;
    return readAgain({ settings: kafka.settings, store, log }, wanted);
  }

  /** Of what lies in the log of others, and of what they have begun, this collector knows nothing: it must read all partitions. */
  async settle(): Promise<string | null> {
    const session = this.#session;
    if (session === null || session.generation !== this.#generation || session.partitionCount === null) return 'the group of collectors is not joined, or is dealing out its partitions';
    const others = this.others();
    if (others !== null) return others;
    for (const partition of session.partitions) {
      const owned = this.#owned.get(partition);
      if (this.#stopped.has(partition) || owned === undefined) return `partition ${partition} stands still`;
      if (owned.pending !== null || owned.again !== null) return `a range of partition ${partition} is begun, and not known to be stored`;
    }
    return null;
  }

  others(): string | null {
    const session = this.#session;
    if (session === null || session.generation !== this.#generation || session.partitionCount === null) return null;
    const { partitions, partitionCount } = session;
    return partitions.length < partitionCount ? `other collectors read ${partitionCount - partitions.length} of ${partitionCount} partitions: stop them until it is done` : null;
  }

  async stop(): Promise<void> {
    const session = this.#session;
    this.#session = null;
    await session?.close();
    await this.#quarantine.close();
  }

  async #step(): Promise<StepResult> {
    await this.#places.share(this.#own());
    const session = await this.#joined();
    if (session === null) return { rows: 0, mayStop: true, pauseMs: WAIT_MS };
    await this.#startAll(session);
    let offer: Offer | null;
    try {
      offer = await session.next(WAIT_MS);
    } catch (error) {
      throw await this.#leave(error);
    }
    // of a generation that began while it was waited for: what is known is of the one before, and the offer is there at the next step
    if (offer === null || session.generation !== this.#generation) return { rows: 0, mayStop: true, pauseMs: 0 };
    if (offer.isLost) {
      offer.release();
      return { rows: 0, mayStop: true, pauseMs: 0 };
    }
    offer.hold();
    try {
      if (this.#stopped.has(offer.partition)) {
        offer.leaveUnread();
        return { rows: 0, mayStop: true, pauseMs: 0 };
      }
      return { rows: await this.#advance(session, offer), mayStop: true, pauseMs: 0 };
    } catch (error) {
      if (error instanceof PartitionLost) offer.lose(error);
      else if (StoppedPartitions.isOf(error)) this.#leaveUnread(offer, error);
      else {
        offer.rest();
        throw await this.#failed(session, error);
      }
      return { rows: 0, mayStop: true, pauseMs: 0 };
    } finally {
      offer.rest();
    }
  }

  /** Null: the group is not ready yet. */
  async #joined(): Promise<KafkaSession | null> {
    if (this.#session === null) {
      try {
        this.#session = await KafkaSession.open(this.#options.kafka, this.#options.log);
      } catch (error) {
        // a coordinator that has just begun to be one
        this.#notReadySinceMs ??= Date.now();
        if (isNotReady(error) && Date.now() - this.#notReadySinceMs < READY_WITHIN_MS) return null;
        throw kafkaFailure(error);
      }
      this.#notReadySinceMs = null;
      this.#generation = 0;
    }
    this.#meet(this.#session);
    return this.#session;
  }

  /** What a new generation changes, once it is known where it begins: nothing is on offer before. */
  #meet(session: KafkaSession): void {
    const { generation, partitionCount } = session;
    if (generation !== this.#generation && partitionCount !== null) {
      // others may have stored what this one knows nothing of
      this.#owned.clear();
      this.#stored.clear();
      this.#stopped.clear();
      this.#places.setCount(partitionCount);
      this.#generation = generation;
    }
    if (generation !== this.#generation) return;
    for (const partition of session.wentBack) {
      this.#stopped.add(partition, () => new TidegateError('log_went_back', `partition ${partition} of ${this.#options.kafka.settings.topic} ends before what the group has read of it`));
    }
  }

  /** Null: it has not come to the end of its partitions in this generation. */
  #own(): OwnPlace | null {
    const session = this.#session;
    if (session === null || session.generation !== this.#generation) return null;
    // what stays unread is left to what was said of it before
    const partitions = session.partitions.filter((partition) => !this.#stopped.has(partition));
    if (!partitions.every((partition) => this.#owned.get(partition)?.failures === this.#failures)) return null;
    const asOfMs = session.readThrough.asOfMs(partitions);
    return asOfMs === null ? null : { asOfMs, partitions };
  }

  /** The session is over. @returns the error to throw */
  async #leave(error: unknown): Promise<unknown> {
    const session = this.#session;
    this.#session = null;
    await session?.close();
    return kafkaFailure(error);
  }

  /** @returns the error to throw */
  async #failed(session: KafkaSession, error: unknown): Promise<unknown> {
    try {
      session.check();
      return error;
    } catch (broken) {
      return this.#leave(broken);
    }
  }

  #leaveUnread(offer: Offer, error: TidegateError): void {
    // of a generation that is over: the next one looks anew
    if (offer.isLost) return;
    this.#stopped.add(offer.partition, () => error);
    offer.leaveUnread();
  }

  /** One range, or a part of one that is made again. @returns rows stored */
  async #advance(session: KafkaSession, offer: Offer): Promise<number> {
    const owned = await this.#ownedOf(session, offer.partition);
    const from = owned.again?.builder.to ?? owned.next;
    if (owned.pending === null && from !== null && this.#isFromFurtherOn(session, offer, from) && owned.offeredAgain !== from) {
      owned.offeredAgain = from;
      offer.again(from);
      return 0;
    }
    owned.pending ??= await this.#begin(offer, owned);
    if (owned.pending === null) {
      offer.taken(offer.lastOffset + 1);
      offer.release();
      return 0;
    }
    const { builder, intent, picked } = owned.pending;
    if (intent.rows > 0) await this.#insert(offer.partition, intent, picked, owned.again === null ? null : Date.parse(intent.at));
    await this.#notes.states(offer.partition, builder.states);
    owned.lastStored = lastOf(picked) ?? owned.lastStored;
    await offer.commit(builder.to, encodePlace({ intent: null, lastStored: owned.lastStored }));
    this.#inserts.finished(intent.rows > 0 ? nameOf(offer.partition, intent) : null, picked, builder.poison.length);
    // what is stored of a range begun by another, and of streams forgotten meanwhile, is read from the coverage
    this.#stored.add(owned.again === null ? picked.runs.filter(({ stream }) => this.#stored.has(stream)) : []);
    for (const { facts } of builder.states) if (facts.seal !== null) this.#stored.forget(facts.stream);
    session.readThrough.stored(offer.partition, builder.to);
    owned.next = builder.to;
    owned.again = null;
    owned.pending = null;
    offer.taken(builder.to);
    if (builder.to > offer.lastOffset) offer.release();
    return intent.rows;
  }

  /**
   * What each partition begins with is looked at before anything is said of it, and again after a step that failed, behind which the store may have been put
   * back: of one that is quiet there comes no offer. @throws store_failed
   */
  async #startAll(session: KafkaSession): Promise<void> {
    // each look at a store that lacks something takes its time
    const begun = await Promise.allSettled(session.partitions.filter((partition) => !this.#stopped.has(partition)).map(async (partition) => {
      try {
        await this.#ownedOf(session, partition);
      } catch (error) {
        if (!StoppedPartitions.isOf(error)) throw error;
        this.#stopped.add(partition, () => error);
      }
    }));
    const failed = begun.find((end) => end.status === 'rejected' && !(end.reason instanceof PartitionLost));
    if (failed?.status === 'rejected') throw failed.reason;
  }

  async #ownedOf(session: KafkaSession, partition: number): Promise<Owned> {
    const known = this.#owned.get(partition);
    if (known !== undefined) {
      if (known.failures !== this.#failures) await this.#start.mustHold(partition, known.lastStored);
      known.failures = this.#failures;
      return known;
    }
    const { next, intent, lastStored } = await this.#start.of(partition, session.place(partition));
    const owned: Owned = { next, lastStored, failures: this.#failures, again: intent === null ? null : { intent, builder: RangeBuilder.again(intent) }, offeredAgain: null, pending: null };
    this.#owned.set(partition, owned);
    if (intent !== null) this.#options.log.warn({ partition, from: intent.from, to: intent.to, rows: intent.rows }, 'a range was begun and not known to be stored: it is inserted again');
    return owned;
  }

  /**
   * With several brokers, a fetch of the generation before can still come: of a partition that moves, from where that generation was, which had read on in a range
   * begun. What lies between is in the log, and not gone from it; where it is gone, it is missing again the next time.
   */
  #isFromFurtherOn(session: KafkaSession, offer: Offer, from: number): boolean {
    const first = offer.messages.find(({ offset }) => offset >= from);
    return first !== undefined && first.offset > from && session.place(offer.partition).begins <= from;
  }

  /** Builds the next range of the offer, and makes it durable. Null: there is none in it, or not to its end. */
  async #begin(offer: Offer, owned: Owned): Promise<Owned['pending']> {
    const { again } = owned;
    if (again === null) await this.#stored.meet(this.#options.store, streamsIn(offer));
    const builder = again === null ? this.#build(offer, owned) : this.#rebuild(offer, again);
    if (builder === null) return null;
    for (const poison of builder.poison) await this.#quarantine.putAside(poison, offer.partition);
    const picked = builder.picked();
    await this.#inserts.noteRepeats(picked, builder.from);
    await this.#inserts.noteImports(picked);
    const { version, from, to, out } = builder;
    const { nowMs, block } = await this.#notes.look();
    const staged = picked.rows === 0 ? { bytes: 0, crc: 0 } : await this.#inserts.stage(nameOf(offer.partition, builder), picked, false);
    const intent = again?.intent ?? { version, from, to, out, rows: picked.rows, ...staged, at: new Date(nowMs).toISOString(), block };
    if (intent.rows !== picked.rows || intent.crc !== staged.crc || intent.bytes !== staged.bytes) {
      throw new TidegateError('log_intent_unreadable', `offsets ${from} to ${to} of partition ${offer.partition} hold ${picked.rows} rows (${staged.crc}), and ${intent.rows} (${intent.crc}) were to be inserted`);
    }
    // without rows there is nothing to be made again; but what is noted on streams, with no place in the log, would look as if the place were lost
    if (again === null && intent.rows > 0) await offer.commit(from, encodePlace({ intent, lastStored: owned.lastStored }));
    else if (again === null && owned.next === null) await offer.commit(from, encodePlace({ intent: null, lastStored: null }));
    return { intent, builder, picked };
  }

  /** Null: it holds nothing that is not stored. */
  #build(offer: Offer, { next }: Owned): RangeBuilder | null {
    const begin = (from: number): RangeBuilder => new RangeBuilder(from, this.#limits, (stream) => this.#stored.of(stream));
    let builder = begin(next ?? offer.messages[0]?.offset ?? 0);
    for (const message of offer.messages) {
      if (message.offset < builder.to) continue;
      if (message.offset > builder.to) {
        if (builder.to > builder.from) break;
        // if it held anything, the day's completeness says what
        this.#options.log.error({ code: 'log_gap', partition: offer.partition, from: builder.to, to: message.offset }, 'messages were gone from the log before they were read');
        builder = begin(message.offset);
      }
      if (!builder.add(message)) break;
    }
    return builder.to > builder.from ? builder : null;
  }

  /** Null: its end is not in this offer. */
  #rebuild(offer: Offer, { intent, builder }: NonNullable<Owned['again']>): RangeBuilder | null {
    for (const message of offer.messages) {
      if (message.offset < builder.to) continue;
      if (builder.to >= intent.to) break;
      if (message.offset > builder.to) {
        throw new TidegateError('log_range_gone', `offsets ${intent.from} to ${intent.to} of partition ${offer.partition} were being inserted, and the log begins at ${message.offset}`);
      }
      builder.add(message);
    }
    return builder.to >= intent.to ? builder : null;
  }

  async #insert(partition: number, intent: Intent, picked: PickedRows, foundMs: number | null): Promise<void> {
    const { nowMs, block } = await this.#notes.look();
    if (block - intent.block > MOST_BLOCKS) {
      throw new TidegateError('log_intent_old', `offsets ${intent.from} to ${intent.to} of partition ${partition} were being inserted at ${intent.at}, and ${block - intent.block} blocks were inserted since (at most ${MOST_BLOCKS})`);
    }
    const plan = this.#inserts.plan(rangeToken(this.#options.kafka.settings.topic, partition, intent), picked);
    await this.#inserts.insert(plan, nameOf(partition, intent), intent.rows, foundMs, nowMs + INSERT_WITHIN_MS);
  }
}

/** Null: it holds no row. */
function lastOf({ runs }: PickedRows): LastStored | null {
  const run = runs.at(-1);
  return run === undefined ? null : { stream: run.stream, seq: run.last, atMs: Date.now() };
}

const nameOf = (partition: number, { from }: { readonly from: number }): string => `${partition}-${from}`;

function streamsIn(offer: Offer): Set<string> {
  return new Set(offer.messages.map(({ key }) => key?.toString('latin1') ?? '').filter((key) => /^[0-9a-f]{16}$/.test(key)));
}
