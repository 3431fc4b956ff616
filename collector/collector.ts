/**
 * The collector: owns the store, and keeps bringing into it what the log holds: the spool's, one a data directory, or Kafka's, as many as share its partitions.
 */
import { join } from 'node:path';
import { ERROR_CODES, type ErrorCode } from '../errors/codes.js';
import { TidegateError } from '../errors/tidegate-error.js';
import { makeFolder } from '../gateway/events/make-folder.js';
import { ProcessLock } from '../gateway/events/process-lock.js';
import type { SpoolLog } from '../gateway/events/spool-log.js';
import { Billing } from './billing/billing.js';
import { completeness, type Completeness } from './completeness/completeness.js';
import { FaultCounts } from './completeness/fault-counts.js';
import type { EventLog } from './log/event-log.js';
import type { KafkaLogOptions } from './log/kafka/kafka-session.js';
import { openEventLog } from './log/open-event-log.js';
import type { RangeLimits } from './log/picked-rows.js';
import { Quarantine } from './log/quarantined.js';
import { openStore, type ClickHouseConnection } from './store/open-store.js';
import { applyRetention, pruneImports, pruneQuarantine, pruneStreams, type Retention } from './store/retention.js';
import type { Store } from './store/store.js';

export interface CollectorOptions {
  /** Absolute. */
  readonly dataDir: string;
  readonly retention: Retention;
  readonly log: SpoolLog;
  /** Null or absent: chDB below dataDir. */
  readonly clickhouse?: ClickHouseConnection | null;
  /** Ends a start that waits for the store to be migrated by another. */
  readonly signal?: AbortSignal;
  /** Told once, when it begins to wait. */
  readonly onWaiting?: (why: TidegateError) => void;
  /** Null or absent: the spool below dataDir. */
  readonly kafka?: KafkaLogOptions | null;
  /** Names of nodes that should be heard of. */
  readonly nodes?: readonly string[];
  readonly limits?: RangeLimits;
}

export interface CollectorStatus {
  /** Since this process began. */
  readonly stored: number;
  /** Met again and left out, or stored twice. */
  readonly repeats: number;
  readonly quarantined: number;
  readonly ranges: number;
  /** Found missing since this process began: never goes down, as a counter must not. */
  readonly gapsTotal: number;
  /** Missing events of today and yesterday (UTC), and events stored twice, as of now. */
  readonly gaps: number;
  readonly twice: number;
  /** ms since the epoch: everything recorded before it is stored, but for what came between two looks, which is no lag. */
  readonly caughtUpMs: number;
  /** How long ago that was. */
  readonly lagSeconds: number;
  /** Null: all is well; else why storing fails, and since when. */
  readonly failing: { readonly code: ErrorCode; readonly detail: string; readonly since: string } | null;
}

/** What has come waits so long at most for the log to be looked at again, which is no lag. */
const LOOK_EVERY_MS = 600;
const CLEAN_EVERY_MS = 1000;
/** With the time after which a marked event is due, what is missing is told within a minute. */
const JUDGE_EVERY_MS = 5000;
const BILL_EVERY_MS = 5000;
const RETAIN_EVERY_MS = 600_000;
const WARN_EVERY_MS = 600_000;
const RETRY_FROM_MS = 500;
const RETRY_TO_MS = 30_000;
const DAY_MS = 86_400_000;

export class Collector {
  readonly store: Store;
  readonly quarantine: Quarantine;
  readonly billing: Billing;
  readonly #collectorDir: string;
  readonly #log: SpoolLog;
  readonly #lock: ProcessLock;
  readonly #eventLog: EventLog;
  #retention: Retention;
  #nodes: readonly string[];
  readonly #beganMs = Date.now();
  readonly #due = new Map<string, number>();
  readonly #faults = new FaultCounts();
  #failing: CollectorStatus['failing'] = null;
  /** Since when a part of the log stands still. */
  #standing: CollectorStatus['failing'] = null;
  #retryMs = RETRY_FROM_MS;
  #stopping = false;
  #wake: () => void = () => undefined;
  #running: Promise<void> = Promise.resolve();

  private constructor(options: CollectorOptions, lock: ProcessLock, store: Store, eventLog: EventLog) {
    this.store = store;
    this.quarantine = new Quarantine(store, eventLog);
    this.billing = new Billing({ store, asOfMs: () => this.asOfMs(), judge: (fromMs, toMs) => this.completeness(fromMs, toMs), log: options.log });
    this.#collectorDir = join(options.dataDir, 'collector');
    this.#log = options.log;
    this.#lock = lock;
    this.#eventLog = eventLog;
    this.#retention = options.retention;
    this.#nodes = options.nodes ?? [];
  }

  /**
   * Takes the data directory, brings the store to this version, finishes what the last collector had begun, and goes on from there.
   * @throws data_dir_in_use; data_dir_unusable; store_version; store_without_manifest; store_behind_manifest; what openStore and the store throw
   */
  static async start(options: CollectorOptions): Promise<Collector> {
    const { dataDir, log, limits, kafka = null } = options;
    try {
      for (const directory of ['spool', 'collector']) makeFolder(join(dataDir, directory));
    } catch (cause) {
      throw new TidegateError('data_dir_unusable', `${dataDir}: ${(cause as Error).message}`, { cause });
    }
    const lock = ProcessLock.acquire(join(dataDir, 'collector.lock'));
    let store: Store | null = null;
    try {
      store = await openStore({ dataDir, clickhouse: options.clickhouse ?? null, log, ...(options.signal === undefined ? {} : { signal: options.signal }), ...(options.onWaiting === undefined ? {} : { onWaiting: options.onWaiting }) });
      const eventLog = await openEventLog({ dataDir, store, log, kafka, ...(limits === undefined ? {} : { limits }) });
      const collector = new Collector(options, lock, store, eventLog);
      collector.#running = collector.#run();
      return collector;
    } catch (error) {
      await store?.close();
      lock.release();
      throw error;
    }
  }

  /** Stores what was begun, of the spool everything that is recorded by now, then closes the store. Nothing is lost if it is killed instead. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#wake();
    await this.#running;
    await this.billing.stop();
    await this.#eventLog.stop();
    await this.store.close();
    this.#lock.release();
  }

  /** From the next look on. */
  setRetention(retention: Retention): void {
    this.#retention = retention;
    this.#due.delete('retain');
  }

  setNodes(nodes: readonly string[]): void {
    this.#nodes = nodes;
  }

  /** ms since the epoch: everything that had reached the log before it is stored. */
  asOfMs(): number {
    return this.#eventLog.asOfMs();
  }

  /** Of [fromMs, toMs). */
  async completeness(fromMs: number, toMs: number): Promise<Completeness> {
    // read before the log is: a time that is over now had ended when it was looked at
    const nowMs = Date.now();
    const parts = this.#eventLog.parts();
    return completeness(this.store, await this.#eventLog.facts(nowMs), { fromMs, toMs, nowMs, parts, nodes: this.#nodes });
  }

  status(): CollectorStatus {
    const { storedRows, repeatedRows, quarantined, ranges } = this.#eventLog.totals;
    const nowMs = Date.now();
    const caughtUpMs = Math.min(nowMs, this.#storedUpToMs() + LOOK_EVERY_MS);
    return {
      stored: storedRows, repeats: repeatedRows + this.#faults.twiceTotal, quarantined, ranges,
      gapsTotal: this.#faults.missingTotal, gaps: this.#faults.missing, twice: this.#faults.twice,
      caughtUpMs, lagSeconds: (nowMs - caughtUpMs) / 1000, failing: this.#failing ?? this.#standing,
    };
  }

  /** As `asOfMs`, but a part of the log that nobody has ever spoken of is late since this collector began, not for as long as the log keeps: a new topic has no events that wait. */
  #storedUpToMs(): number {
    const parts = this.#eventLog.parts();
    return parts.some(({ asOfMs }) => asOfMs === null) ? Math.min(...parts.map(({ asOfMs }) => asOfMs ?? this.#beganMs)) : this.asOfMs();
  }

  async #run(): Promise<void> {
    for (;;) {
      // read before the step: what is recorded after it is asked to stop is for the next collector
      const last = this.#stopping;
      const { mayStop, pauseMs } = await this.#turn(last);
      if (last && mayStop) return;
      if (pauseMs > 0 && !this.#stopping) await this.#pause(pauseMs);
    }
  }

  /** One step and what is due. `mayStop`: also where it fails; `pauseMs`: how long to wait. */
  async #turn(last: boolean): Promise<{ readonly mayStop: boolean; readonly pauseMs: number }> {
    const startedMs = Date.now();
    try {
      const { mayStop, pauseMs } = await this.#eventLog.step();
      if (this.#isDue('tidy', CLEAN_EVERY_MS) || last) await this.#eventLog.tidy();
      if (this.#isDue('retain', RETAIN_EVERY_MS)) await this.#retain(Date.now());
      if (this.#isDue('judge', JUDGE_EVERY_MS)) await this.#judge(startedMs);
      // beside storing: to count a day of very many events takes its time
      if (this.#isDue('bill', BILL_EVERY_MS)) void this.billing.step();
      if (this.#failing !== null) this.#log.info({ since: this.#failing.since }, 'storing works again');
      this.#failing = null;
      const standing = this.#eventLog.standing();
      this.#standing = standing === null ? null : { ...standing, since: this.#standing?.since ?? new Date(startedMs).toISOString() };
      this.#retryMs = RETRY_FROM_MS;
      return { mayStop, pauseMs };
    } catch (error) {
      // what else throws here with a code is the file system, under data_dir; the detail names the place
      const code = error instanceof TidegateError ? error.code : (error as NodeJS.ErrnoException).code === undefined ? 'internal_error' : 'data_dir_unusable';
      this.#failing = { code, detail: error instanceof Error ? error.message : String(error), since: this.#failing?.since ?? new Date(startedMs).toISOString() };
      this.#log.error({ err: error, code, remedy: ERROR_CODES[code].remedy, againInMs: this.#retryMs }, 'storing failed; the log keeps what is not stored');
      const pauseMs = this.#retryMs;
      this.#retryMs = Math.min(RETRY_TO_MS, this.#retryMs * 2);
      return { mayStop: true, pauseMs };
    }
  }

  async #retain(nowMs: number): Promise<void> {
    await applyRetention(this.store, this.#retention, nowMs, this.#log);
    await pruneImports(this.store, this.#retention, nowMs);
    for (const stream of await pruneStreams(this.store, this.#retention, { inUse: this.#eventLog.inUse(), comesAgainMs: this.#eventLog.comesAgainMs }, nowMs, this.#log)) this.#eventLog.forget(stream);
    await pruneQuarantine(this.store, join(this.#collectorDir, 'quarantine'), this.#retention, nowMs, this.#log);
  }

  async #judge(nowMs: number): Promise<void> {
    const midnightMs = Math.floor(nowMs / DAY_MS) * DAY_MS;
    let warnings: readonly string[];
    let grown: boolean;
    try {
      const judged = await this.completeness(midnightMs - DAY_MS, midnightMs + DAY_MS);
      ({ warnings } = judged);
      grown = this.#faults.take(judged.streams);
    } catch (error) {
      // it has bounds (REPORT_SETTINGS), and to wait with storing would make no verdict easier
      this.#log.error({ err: error }, 'the record could not be judged; storing goes on');
      return;
    }
    if (warnings.length > 0 && this.#isDue('warn', WARN_EVERY_MS)) this.#log.warn({ warnings }, 'not all is as it should be; nothing of it is missing in the record');
    const { missing, twice } = this.#faults;
    if (grown) this.#log.error({ missing, twice }, 'the record has gaps or repeats; see tidegate status and /v1/completeness');
  }

  #isDue(what: string, everyMs: number): boolean {
    // never of a clock that can be set: what was due would wait until it is that late again
    const nowMs = performance.now();
    if (nowMs < (this.#due.get(what) ?? 0)) return false;
    this.#due.set(what, nowMs + everyMs);
    return true;
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
