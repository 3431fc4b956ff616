/**
 * The collector: owns the store, and keeps bringing into it what the log holds: the spool's, one a data directory, or Kafka's, as many as share its partitions.
 */
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ERROR_CODES } from '../errors/codes.js';
import { TidegateError } from '../errors/tidegate-error.js';
import { IMPORT_WORKER } from '../gateway/events/event.js';
import { makeFolder } from '../gateway/events/make-folder.js';
import { ProcessLock } from '../gateway/events/process-lock.js';
import type { SpoolLog } from '../gateway/events/spool-log.js';
import { Billing } from './billing/billing.js';
import type { CollectorStatus } from './collector-status.js';
import { completenessOfEach, withDays, type HeldCompleteness, type Span } from './completeness/completeness.js';
import { FaultCounts } from './completeness/fault-counts.js';
import { StoreWatch } from './completeness/store-watch.js';
import { StoredDays, type DaysCompared } from './completeness/stored-days.js';
import type { EventLog } from './log/event-log.js';
import type { KafkaLogOptions } from './log/kafka/kafka-session.js';
import { openEventLog } from './log/open-event-log.js';
import type { RangeLimits } from './log/picked-rows.js';
import { Quarantine } from './log/quarantined.js';
import { openStore, type ClickHouseConnection } from './store/open-store.js';
import { erase, erasures, noteErasure, type ErasureLine } from './erasure/erasure.js';
import { clearRebuilt, rebuild, type RebuildLine } from './rebuild/rebuild.js';
import { recover, type RecoverLine } from './recover/recover.js';
import { SwapNote } from './rebuild/swap-note.js';
import { applyRetention, pruneImports, pruneQuarantine, pruneStreams, quarantineBytes, type Retention } from './store/retention.js';
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

/** What has come waits so long at most for the log to be looked at again, which is no lag. */
const LOOK_EVERY_MS = 600;
const CLEAN_EVERY_MS = 1000;
/** With the time after which a marked event is due, what is missing is told within a minute. */
const JUDGE_EVERY_MS = 5000;
const BILL_EVERY_MS = 5000;
const LOOK_AT_STORE_EVERY_MS = 60_000;
const RETAIN_EVERY_MS = 600_000;
const WARN_EVERY_MS = 600_000;
const RETRY_FROM_MS = 500;
const RETRY_TO_MS = 30_000;
const DAY_MS = 86_400_000;
/** For so long a rebuild waits for what is begun to be stored. For other collectors to be stopped it does not wait. */
const SETTLED_WITHIN_MS = 60_000;

/** What waits to be run between two ranges. */
interface Piece {
  /** By a clock that is never set. */
  readonly untilMs: number;
  run(): Promise<void>;
  fail(why: TidegateError): void;
}

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
  readonly #storedDays: StoredDays;
  readonly #watch: StoreWatch;
  #failing: CollectorStatus['failing'] = null;
  #inQuarantine: number | null = null;
  /** Since when a part of the log stands still. */
  #standing: CollectorStatus['failing'] = null;
  #retryMs = RETRY_FROM_MS;
  #stopping = false;
  readonly #clickhouse: ClickHouseConnection | null;
  readonly #readsSpool: boolean;
  readonly #swaps: SwapNote;
  readonly #ended = new AbortController();
  #rebuilding = false;
  #piece: Piece | null = null;
  #wake: () => void = () => undefined;
  #running: Promise<void> = Promise.resolve();

  private constructor(options: CollectorOptions, lock: ProcessLock, store: Store, eventLog: EventLog, swaps: SwapNote) {
    this.store = store;
    this.quarantine = new Quarantine(store, eventLog);
    this.billing = new Billing({ store, asOfMs: () => this.asOfMs(), judge: (fromMs, toMs) => this.completeness(fromMs, toMs, true), log: options.log });
    this.#storedDays = new StoredDays(store);
    this.#watch = new StoreWatch(store, options.log);
    this.#collectorDir = join(options.dataDir, 'collector');
    this.#log = options.log;
    this.#lock = lock;
    this.#eventLog = eventLog;
    this.#retention = options.retention;
    this.#nodes = options.nodes ?? [];
    this.#clickhouse = options.clickhouse ?? null;
    this.#readsSpool = (options.kafka ?? null) === null;
    this.#swaps = swaps;
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
      const swaps = new SwapNote(join(dataDir, 'collector'), store, log);
      await swaps.finish();
      const eventLog = await openEventLog({ dataDir, store, log, kafka, ...(limits === undefined ? {} : { limits }) });
      const collector = new Collector(options, lock, store, eventLog, swaps);
      collector.#running = collector.#run();
      return collector;
    } catch (error) {
      await store?.close();
      lock.release();
      throw asOurs(error, dataDir);
    }
  }

  /** Stores what was begun, of the spool everything that is recorded by now, then closes the store. Nothing is lost if it is killed instead. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#ended.abort(new TidegateError('collector_unavailable', 'the collector stops'));
    this.#wake();
    await this.#running;
    await this.billing.stop();
    await this.#watch.stop();
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

  /** Of [fromMs, toMs). @param closing nothing that was found before counts */
  async completeness(fromMs: number, toMs: number, closing = false): Promise<HeldCompleteness> {
    const [only] = await this.completenessOfEach([{ fromMs, toMs }], closing);
    return only as HeldCompleteness;
  }

  /** The same of times that follow each other: the store is read once. @param spans one or more, ascending */
  async completenessOfEach(spans: readonly Span[], closing = false): Promise<readonly HeldCompleteness[]> {
    // read before the log is: a time that is over now had ended when it was looked at
    const nowMs = Date.now();
    const parts = this.#eventLog.parts();
    const judged = await completenessOfEach(this.store, await this.#eventLog.facts(nowMs), spans, { nowMs, parts, nodes: this.#nodes });
    const compared = await this.#storedDays.compareEach(spans, closing);
    return judged.map((one, index) => withDays(one, compared[index] as DaysCompared));
  }

  /**
   * Makes the rollups again from raw events and compares them; `swap`: puts them in the place of those that differ. Storing goes on.
   * @param signal ends it. @throws rebuild_running; rebuild_not_alone; what the store throws: the same again goes on
   */
  async rebuild({ swap, signal, tell }: { readonly swap: boolean; readonly signal: AbortSignal; readonly tell: (line: RebuildLine) => void }): Promise<void> {
    await this.#alone(() => rebuild({
      store: this.store, retention: this.#retention, days: this.#storedDays, between: (piece) => this.#betweenRanges(piece), swaps: swap ? this.#swaps : null, nowMs: Date.now, signal, tell,
    }));
  }

  /**
   * Looks for rows that were stored and are not held any more, and whether the log still has them; `putBack`: and puts those back. Storing goes on.
   * @param signal ends it. @throws rebuild_running; rebuild_not_alone; events_not_kept; what the log and the store throw: the same again goes on
   */
  async recover({ putBack, signal, tell }: { readonly putBack: boolean; readonly signal: AbortSignal; readonly tell: (line: RecoverLine) => void }): Promise<void> {
    try {
      await this.#alone(() => recover({
        store: this.store, log: this.#eventLog, days: this.#storedDays, between: (piece) => this.#betweenRanges(piece), collectorDir: this.#collectorDir, putBack, signal, tell,
      }));
    } finally {
      // an app that was erased is erased of what came back, and what was missing is told as it is now
      if (putBack) for (const what of ['retain', 'watch']) this.#due.delete(what);
    }
  }

  /**
   * Takes the app's name off all that is stored of it, and off what of it comes later of before the time that the last line names.
   * @param signal ends it: the rest is done at the next look. @throws as rebuild
   */
  async erase(app: string, { signal, tell }: { readonly signal: AbortSignal; readonly tell: (line: ErasureLine) => void }): Promise<void> {
    await this.#alone(async () => {
      const erasure = await noteErasure(this.store, app, Date.now());
      this.#log.warn({ app, before: new Date(erasure.beforeMs).toISOString() }, 'an app is erased');
      const partitions = await erase({ store: this.store, between: (piece) => this.#betweenRanges(piece), swaps: this.#swaps, signal, tell }, erasure);
      tell({ type: 'end', app, before: new Date(erasure.beforeMs).toISOString(), partitions });
    });
  }

  /** What was stored of an erased app since, or not erased yet. Beside the turns, one of which it is asked for in. */
  async #eraseAgain(): Promise<void> {
    const all = await erasures(this.store);
    if (all.length === 0) return;
    await this.#alone(async () => {
      // one that fails does not hold up the others
      const failed: unknown[] = [];
      for (const erasure of all) {
        try {
          const partitions = await erase({ store: this.store, between: (piece) => this.#betweenRanges(piece), swaps: this.#swaps, signal: this.#ended.signal, tell: () => undefined }, erasure);
          if (partitions > 0) this.#log.info({ app: erasure.app, partitions }, 'what had come of an erased app was erased');
        } catch (error) {
          failed.push(error);
        }
      }
      if (failed.length > 0) throw failed[0];
    });
  }

  /** One at a time. */
  async #alone(job: () => Promise<void>): Promise<void> {
    if (this.#rebuilding) throw new TidegateError('rebuild_running', 'another one has not ended');
    this.#rebuilding = true;
    try {
      await this.#mustBeAlone();
      await job();
    } finally {
      this.#rebuilding = false;
    }
  }

  /** Where others may have begun what nobody here can see. What can be seen, the log says when it settles. */
  async #mustBeAlone(): Promise<void> {
    const others = this.#eventLog.others();
    if (others !== null) throw new TidegateError('rebuild_not_alone', others);
    if (this.#clickhouse === null) return;
    if (this.#clickhouse.cluster !== null) throw new TidegateError('rebuild_not_alone', 'on a cluster the replica that answers may lack what another has');
    if (!this.#readsSpool) return;
    const nodes = await this.store.query<{ node: string }>(`SELECT DISTINCT node FROM tidegate.coverage WHERE worker != ${IMPORT_WORKER} ORDER BY node`);
    if (nodes.length > 1) throw new TidegateError('rebuild_not_alone', `${nodes.map(({ node }) => node).join(', ')} store into this ClickHouse without Kafka, each what it alone knows of`);
  }

  /** Runs it when nothing is begun that could still be inserted. @throws rebuild_not_alone; collector_unavailable; what it throws */
  #betweenRanges<T>(piece: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#stopping) throw new TidegateError('collector_unavailable', 'the collector stops');
      this.#piece = { untilMs: performance.now() + SETTLED_WITHIN_MS, run: () => piece().then(resolve, reject), fail: reject };
      this.#wake();
    });
  }

  /** @param failing why it cannot be now @returns whether there is another to run at once */
  async #runPiece(failing: string | null = null): Promise<boolean> {
    const piece = this.#piece;
    if (piece === null) return false;
    const why = failing ?? await this.#eventLog.settle();
    if (this.#stopping) piece.fail(new TidegateError('collector_unavailable', 'the collector stops'));
    else if (why === null) await piece.run();
    else if (performance.now() < piece.untilMs && this.#eventLog.others() === null) return false;
    else piece.fail(new TidegateError('rebuild_not_alone', why));
    if (this.#piece === piece) this.#piece = null;
    // who was waiting for it says what comes next
    await nextTurn();
    return this.#piece !== null;
  }

  status(): CollectorStatus {
    const { storedRows, repeatedRows, quarantined, ranges, inserts } = this.#eventLog.totals;
    const nowMs = Date.now();
    const caughtUpMs = Math.min(nowMs, this.#storedUpToMs() + LOOK_EVERY_MS);
    return {
      stored: storedRows, repeats: repeatedRows + this.#faults.twiceTotal, quarantined, inQuarantine: this.#inQuarantine, ranges, inserts,
      quarantineBytes: this.#readsSpool ? quarantineBytes(join(this.#collectorDir, 'quarantine')) : null,
      gapsTotal: this.#faults.missingTotal, gaps: this.#faults.missing, twice: this.#faults.twice, store: this.#watch.found,
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
      await this.#swaps.finish();
      const { mayStop, pauseMs } = await this.#eventLog.step();
      const more = await this.#runPiece();
      if (this.#isDue('tidy', CLEAN_EVERY_MS) || last) await this.#eventLog.tidy();
      if (this.#isDue('retain', RETAIN_EVERY_MS)) await this.#retain(Date.now());
      if (this.#isDue('judge', JUDGE_EVERY_MS)) await this.#judge(startedMs);
      // beside storing: to count a day of very many events takes its time
      if (this.#isDue('bill', BILL_EVERY_MS)) void this.billing.step();
      if (this.#isDue('watch', LOOK_AT_STORE_EVERY_MS)) void this.#watch.look();
      if (this.#failing !== null) this.#log.info({ since: this.#failing.since }, 'storing works again');
      this.#failing = null;
      const standing = this.#eventLog.standing();
      this.#standing = standing === null ? null : { ...standing, since: this.#standing?.since ?? new Date(startedMs).toISOString() };
      this.#retryMs = RETRY_FROM_MS;
      return { mayStop, pauseMs: more ? 0 : pauseMs };
    } catch (error) {
      // what else throws here with a code is the file system, under data_dir; the detail names the place
      const code = error instanceof TidegateError ? error.code : (error as NodeJS.ErrnoException).code === undefined ? 'internal_error' : 'data_dir_unusable';
      this.#failing = { code, detail: error instanceof Error ? error.message : String(error), since: this.#failing?.since ?? new Date(startedMs).toISOString() };
      this.#log.error({ err: error, code, remedy: ERROR_CODES[code].remedy, again_in_ms: this.#retryMs }, 'storing failed; the log keeps what is not stored');
      await this.#runPiece('storing fails; tidegate status says why');
      const pauseMs = this.#retryMs;
      this.#retryMs = Math.min(RETRY_TO_MS, this.#retryMs * 2);
      return { mayStop: true, pauseMs };
    }
  }

  async #retain(nowMs: number): Promise<void> {
    // what is read must not go meanwhile
    if (this.#rebuilding) return;
    // what lies beside the rollups may be another collector's work
    if (await this.#eventLog.settle() === null) await clearRebuilt(this.store);
    await applyRetention(this.store, this.#retention, nowMs, this.#log);
    await pruneImports(this.store, this.#retention, nowMs);
    for (const stream of await pruneStreams(this.store, this.#retention, { inUse: this.#eventLog.inUse(), comesAgainMs: this.#eventLog.comesAgainMs }, nowMs, this.#log)) this.#eventLog.forget(stream);
    this.#eraseAgain().catch((error: unknown) => { this.#log.warn({ err: error }, 'what had come of an erased app could not be erased; it is tried again'); });
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
      this.#inQuarantine = await this.quarantine.waiting();
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

/** A start that the disk ends (no room for the rows that are to be inserted again, say) is told as one, and tried again. */
function asOurs(error: unknown, dataDir: string): unknown {
  const isOfFileSystem = !(error instanceof TidegateError) && error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === 'string';
  return isOfFileSystem ? new TidegateError('data_dir_unusable', `${dataDir}: ${error.message}`, { cause: error }) : error;
}
