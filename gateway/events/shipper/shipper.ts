/**
 * Ships the spool to Kafka: rounds of one request each, with pieces of all streams in turn, as many as fit. What Kafka has acknowledged is noted in
 * the stream's directory and then deleted; a stream's directory goes when it is sealed, all of it is acknowledged, and so is the word of its seal.
 *
 * Nothing waits for it. While Kafka is away the spool grows, up to its bound, and the shipper tries again by itself. Whatever it sends again
 * (it was killed between the acknowledgement and the note, or an answer was lost) is recognised by who reads it.
 *
 * Memory: one round's pieces, ROUND_BYTES and one frame, twice while they are compressed.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { ErrorCode } from '../../../errors/codes.js';
import type { TidegateError } from '../../../errors/tidegate-error.js';
import { encodeFrames, encodeState } from '../chunk.js';
import { readDrops } from '../drop-page.js';
import { kafkaFailure, type KafkaSettings } from '../kafka-client.js';
import { IMPORT_WORKER } from '../event.js';
import { firstRow } from '../read-rows.js';
import { readSegment } from '../read-segment.js';
import type { SpoolLog } from '../spool-log.js';
import { removeStream, scanStreams, type SpooledStream } from '../spool.js';
import { BrokerClock, type ClockWarning } from './broker-clock.js';
import { KafkaSender, type OutgoingChunk } from './kafka-sender.js';
import { readAcked, writeAcked } from './ship-note.js';
import { factsOf } from './stream-facts.js';
import { StreamPlaces } from './stream-places.js';
import { StreamShipment, type ShipmentLimits } from './stream-shipment.js';
import { ToldFacts } from './told-facts.js';

export interface ShipperOptions {
  readonly spoolDir: string;
  /** The data directory's own name (stream-facts.ts). */
  readonly instance: string;
  readonly settings: KafkaSettings;
  readonly log: SpoolLog;
  /** Throws, as a TidegateError, while nothing may be sent; asked until it does not. */
  readonly mayBegin?: () => void;
  /** For tests; by default a real connection. */
  readonly connect?: (settings: KafkaSettings, log: SpoolLog) => Promise<Sender>;
}

export type Sender = Pick<KafkaSender, 'topics' | 'send' | 'close'>;

interface PlacedShipment { readonly shipment: StreamShipment; readonly partition: number }

export interface ShipperStatus {
  readonly topic: string;
  /** Of the spool, not acknowledged yet. */
  readonly behindBytes: number;
  /** Age of the oldest event among them. */
  readonly behindSeconds: number;
  /** Events acknowledged since the shipper's start; some may have been sent more than once. */
  readonly shipped: number;
  readonly failing: { readonly code: ErrorCode; readonly detail: string; readonly since: string } | null;
  /** How far this machine's clock is ahead of Kafka's, negative: behind; null: not known. */
  readonly clockAheadSeconds: number | null;
  /** Whether Kafka keeps events by its own clock; null: not known yet. */
  readonly brokerTime: boolean | null;
  /** What stops nothing. */
  readonly warnings: readonly ClockWarning[];
}

/** Of a request, before it is compressed; with one frame more, less than MAX_MESSAGE_BYTES. */
const ROUND_BYTES = 3 * 1024 * 1024;
const CHUNK_BYTES = 768 * 1024;
const BACKLOG_BYTES = 2 * ROUND_BYTES;
const LONGEST_LOOK_MS = 100;
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 15_000;
/** A request without an answer for so long is told as a failure, before its time is up. */
const HANGS_AFTER_MS = 5000;
const TELL_AGAIN_MS = 60_000;

const NEEDS_MENDING: ReadonlySet<ErrorCode> = new Set([
  'kafka_tls', 'kafka_unauthenticated', 'kafka_forbidden', 'kafka_version', 'kafka_topic_settings', 'kafka_topic_refused',
]);

export class Shipper {
  readonly #options: ShipperOptions;
  #settings: KafkaSettings;
  readonly #limits: ShipmentLimits;
  readonly #shipments = new Map<string, StreamShipment>();
  readonly #told = new ToldFacts();
  readonly #clock: BrokerClock;
  readonly #places: StreamPlaces;
  /** Streams whose trouble has been told. */
  readonly #troubled = new Set<string>();
  #sender: Sender | null = null;
  #running: Promise<void> | null = null;
  #stopAtMs = Number.POSITIVE_INFINITY;
  #waking = new AbortController();
  #shipped = 0;
  #failing: { readonly error: TidegateError; readonly since: string; readonly toldAtMs: number } | null = null;
  #failures = 0;
  readonly #failureCounts = new Map<ErrorCode, number>();
  #wasConnected = false;
  #sendingSinceMs: number | null = null;
  /** The stream that is first in the next round. */
  #turn = 0;

  constructor(options: ShipperOptions) {
    const { settings, log } = options;
    this.#options = options;
    this.#settings = settings;
    this.#limits = { rows: settings.chunkEvents, bytes: CHUNK_BYTES, ageMs: settings.chunkAgeMs, backlogBytes: BACKLOG_BYTES };
    this.#clock = new BrokerClock(log);
    this.#places = new StreamPlaces(settings.topic, (stream, error, isNew) => {
      this.#count(error);
      if (isNew) log.error({ stream, code: error.code, err: error }, 'where in Kafka a stream goes cannot be noted; its events wait in the spool, and it is tried again each second');
    });
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Ships what is there, for so long at most, unless Kafka fails; then ends. Never rejects. */
  async stop(withinMs: number): Promise<void> {
    this.#stopAtMs = performance.now() + withinMs;
    this.#waking.abort();
    await this.#running;
  }

  status(): ShipperStatus {
    this.#look(performance.now());
    const shipments = [...this.#shipments.values()];
    const oldest = Math.min(...shipments.map(oldestWaitingMs));
    return {
      topic: this.#settings.topic,
      behindBytes: shipments.reduce((sum, { waitingBytes }) => sum + waitingBytes, 0),
      behindSeconds: Number.isFinite(oldest) ? Math.max(0, (Date.now() - oldest) / 1000) : 0,
      shipped: this.#shipped, failing: this.failing,
      clockAheadSeconds: this.#clock.aheadSeconds, brokerTime: this.#clock.brokerTime, warnings: this.warnings,
    };
  }

  /** What is not as it should be with clocks; shipping goes on. Looks at no disk. */
  get warnings(): readonly ClockWarning[] {
    return this.#clock.warnings;
  }

  /** Why events wait; null: they do not, or nobody knows why. Looks at no disk. */
  get failing(): ShipperStatus['failing'] {
    if (this.#failing !== null) return { code: this.#failing.error.code, detail: this.#failing.error.message, since: this.#failing.since };
    const unplaced = this.#places.fault;
    if (unplaced !== null) return { code: unplaced.error.code, detail: unplaced.error.message, since: unplaced.since };
    const hangsMs = this.#sendingSinceMs === null ? 0 : performance.now() - this.#sendingSinceMs;
    if (hangsMs < HANGS_AFTER_MS) return null;
    return { code: 'kafka_unreachable', detail: `a request has had no answer for ${Math.round(hangsMs / 1000)} s`, since: new Date(Date.now() - hangsMs).toISOString() };
  }

  /** What must be mended by people, met before the first connection since the start; null: nothing. */
  get startFault(): TidegateError | null {
    return this.#failing !== null && !this.#wasConnected && NEEDS_MENDING.has(this.#failing.error.code) ? this.#failing.error : null;
  }

  /** Connections, requests and attempts to place a stream that failed since the start, by code. */
  get failures(): readonly (readonly [ErrorCode, number])[] {
    return [...this.#failureCounts];
  }

  /** From the next connection on: other credentials. The topic stays. */
  useSettings(settings: KafkaSettings): void {
    this.#settings = settings;
  }

  async #run(): Promise<void> {
    const { connect = (settings, log) => KafkaSender.connect(settings, log), log } = this.#options;
    const lookMs = Math.min(LONGEST_LOOK_MS, this.#settings.chunkAgeMs);
    let { mayBegin } = this.#options;
    while (!this.#isOver()) {
      let waitMs = 0;
      try {
        mayBegin?.();
        mayBegin = undefined;
        this.#sender ??= await connect(this.#settings, log);
        this.#wasConnected = true;
        this.#clock.connected(this.#sender.topics);
        if (!await this.#round(this.#sender)) waitMs = lookMs;
        this.#works();
      } catch (error) {
        const failure = kafkaFailure(error);
        const goesWithoutTime = failure.code === 'kafka_clock_off' && this.#clock.refused();
        if (goesWithoutTime) this.#count(failure);
        else this.#fails(failure);
        await this.#sender?.close();
        this.#sender = null;
        if (goesWithoutTime) continue;
        const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(this.#failures, 10));
        waitMs = longest * (0.5 + Math.random() / 2);
      }
      if (waitMs > 0 && !this.#isStopping) await pause(waitMs, undefined, { signal: this.#waking.signal }).catch(() => undefined);
    }
    await this.#sender?.close();
    this.#sender = null;
  }

  get #isStopping(): boolean { return this.#stopAtMs !== Number.POSITIVE_INFINITY; }

  #isOver(): boolean {
    if (!this.#isStopping) return false;
    if (performance.now() >= this.#stopAtMs || this.#failing !== null) return true;
    this.#look(performance.now());
    return [...this.#shipments.values()].every((shipment) => shipment.waitingBytes === 0 && !shipment.finished);
  }

  /** The streams as they are now. */
  #look(nowMs: number): SpooledStream[] {
    const streams = scanStreams(this.#options.spoolDir);
    const present = new Set(streams.map(({ stream }) => stream));
    for (const stream of this.#shipments.keys()) {
      if (present.has(stream)) continue;
      this.#forget(stream);
    }
    for (const source of streams) {
      let shipment = this.#shipments.get(source.stream);
      if (shipment === undefined) {
        shipment = new StreamShipment(source, readAcked(source.dir), this.#limits);
        this.#shipments.set(source.stream, shipment);
      }
      shipment.look(source, nowMs);
    }
    return streams;
  }

  /** Returns whether there is more to send at once. */
  async #round(sender: Sender): Promise<boolean> {
    const nowMs = performance.now();
    this.#look(nowMs);
    const shipments = [...this.#shipments.values()].flatMap((shipment): PlacedShipment[] => {
      const partition = this.#places.partition(shipment.stream, shipment.source.dir, sender.topics, nowMs);
      return partition === null ? [] : [{ shipment, partition }];
    });
    const first: OutgoingChunk[] = [];
    const last: OutgoingChunk[] = [];
    const sealed = new Set(shipments.map(({ shipment }) => shipment).filter(({ finished }) => finished));
    for (const placed of shipments) this.#addFacts(placed, nowMs, first, last);
    const frames = this.#takeFrames(shipments, nowMs);
    let acknowledged = false;
    try {
      const chunks = [...first, ...frames.chunks, ...last];
      if (chunks.length > 0) {
        this.#sendingSinceMs = performance.now();
        const sentAtMs = Date.now();
        const appendedAtMs = await sender.send(chunks, this.#clock.withoutTime);
        this.#clock.answered({ sentAtMs, answeredAtMs: Date.now(), appendedAtMs });
      }
      acknowledged = true;
    } finally {
      this.#sendingSinceMs = null;
      for (const { shipment } of shipments) shipment.settle(acknowledged, performance.now());
      if (acknowledged) this.#told.settle();
      else this.#told.takeBack();
    }
    this.#shipped += frames.rows;
    for (const shipment of frames.streams) this.#note(shipment);
    this.#clean(shipments, sealed);
    return frames.more;
  }

  /** Pieces of all streams in turn. A stream that cannot be read is passed over. */
  #takeFrames(shipments: readonly PlacedShipment[], nowMs: number): { chunks: OutgoingChunk[]; rows: number; streams: Set<StreamShipment>; more: boolean } {
    const chunks: OutgoingChunk[] = [];
    const streams = new Set<StreamShipment>();
    let waiting = [...shipments.slice(this.#turn), ...shipments.slice(0, this.#turn)];
    let rows = 0;
    let bytes = 0;
    while (waiting.length > 0) {
      const still: PlacedShipment[] = [];
      for (const placed of waiting) {
        if (bytes >= ROUND_BYTES) {
          this.#turn = shipments.indexOf(placed);
          return { chunks, rows, streams, more: true };
        }
        const { shipment, partition } = placed;
        const piece = this.#take(shipment, nowMs);
        if (piece === null) continue;
        chunks.push({ ...encodeFrames(shipment.stream, piece.value), partition });
        streams.add(shipment);
        rows += piece.rows;
        bytes += piece.value.length;
        still.push(placed);
      }
      waiting = still;
    }
    return { chunks, rows, streams, more: false };
  }

  #take(shipment: StreamShipment, nowMs: number): ReturnType<StreamShipment['take']> {
    try {
      const piece = shipment.take(nowMs, this.#isStopping);
      const newer = shipment.newerSegment;
      if (newer !== null) this.#tellOnce(shipment.stream, { code: 'spool_version', ...newer }, 'a segment of a newer version stays in the spool until a program that reads it ships it');
      return piece;
    } catch (error) {
      this.#tellOnce(shipment.stream, { err: error }, 'a stream of the spool cannot be read; trying again');
      return null;
    }
  }

  /** First what is not known of the stream at all, before its frames; what has changed since, behind them. */
  #addFacts({ shipment, partition }: PlacedShipment, nowMs: number, first: OutgoingChunk[], last: OutgoingChunk[]): void {
    const { stream, source: { state, dir }, finished, shippedSeq } = shipment;
    if (state === null) return;
    const due = this.#told.due(stream, state, shippedSeq, finished, nowMs);
    if (due === null) return;
    const facts = factsOf(finished ? state : { ...state, seal: null }, readDrops(dir), this.#options.instance, finished ? state.lastSeq : shippedSeq);
    (due === 'first' && !finished ? first : last).push({ ...encodeState(facts), partition });
  }

  /** A disk without room must not keep what would make room from going: it is noted later then. */
  #note({ stream, source: { dir }, acked }: StreamShipment): void {
    try {
      writeAcked(dir, acked);
    } catch (error) {
      this.#tellOnce(stream, { err: error }, 'what was shipped of a stream cannot be noted; after a restart some of it will be sent again');
    }
  }

  #clean(shipments: readonly PlacedShipment[], sealed: ReadonlySet<StreamShipment>): void {
    for (const { shipment } of shipments) {
      try {
        if (sealed.has(shipment)) this.#remove(shipment);
        else shipment.deleteSegments();
      } catch (error) {
        this.#tellOnce(shipment.stream, { err: error }, 'what was shipped of a stream cannot be deleted; trying again');
      }
    }
  }

  #remove({ stream, source: { state } }: StreamShipment): void {
    removeStream(this.#options.spoolDir, stream);
    this.#forget(stream);
    this.#options.log.info({ stream, last_seq: state?.lastSeq }, 'a stream is shipped to its end; its directory was removed');
  }

  #forget(stream: string): void {
    this.#shipments.delete(stream);
    this.#told.forget(stream);
    this.#places.forget(stream);
    this.#troubled.delete(stream);
  }

  #count({ code }: TidegateError): void {
    this.#failureCounts.set(code, (this.#failureCounts.get(code) ?? 0) + 1);
  }

  #tellOnce(stream: string, fields: object, message: string): void {
    if (!this.#troubled.has(stream)) this.#options.log.error({ stream, ...fields }, message);
    this.#troubled.add(stream);
  }

  #works(): void {
    this.#failures = 0;
    if (this.#failing === null) return;
    this.#options.log.info({ since: this.#failing.since, code: this.#failing.error.code }, 'events are shipped to Kafka again');
    this.#failing = null;
  }

  #fails(error: TidegateError): void {
    const before = this.#failing;
    const nowMs = performance.now();
    this.#failures++;
    this.#count(error);
    const tell = before === null || before.error.code !== error.code || nowMs - before.toldAtMs >= TELL_AGAIN_MS;
    if (tell) this.#options.log.error({ code: error.code, detail: error.message, remedy: error.remedy }, 'events cannot be shipped to Kafka; they wait in the spool');
    this.#failing = { error, since: before?.since ?? new Date().toISOString(), toldAtMs: tell ? nowMs : before?.toldAtMs ?? nowMs };
  }
}

/** When the oldest event that waits began, ms since the epoch; Infinity: none waits, it is of an imported log, or it cannot be read. */
function oldestWaitingMs(shipment: StreamShipment): number {
  const oldest = shipment.oldestWaiting;
  if (oldest === null) return Number.POSITIVE_INFINITY;
  try {
    for (const item of readSegment(oldest.file, shipment.stream, oldest.offset, false)) {
      if (item.kind !== 'frame') continue;
      const { timeMs, worker } = firstRow(item.rows);
      return worker === IMPORT_WORKER ? Number.POSITIVE_INFINITY : timeMs;
    }
  } catch {
    // it is told where it is shipped
  }
  return Number.POSITIVE_INFINITY;
}
