/**
 * The collector: owns the store, and keeps bringing into it what the spool holds. One a data directory.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { TidegateError } from '../errors/tidegate-error.js';
import { readDrops } from '../gateway/events/drop-page.js';
import { ProcessLock } from '../gateway/events/process-lock.js';
import type { SpoolLog } from '../gateway/events/spool-log.js';
import { removeLeftovers, scanStreams, type SpooledStream } from '../gateway/events/spool.js';
import { completeness, type Completeness, type SpooledFacts } from './completeness/completeness.js';
import { FaultCounts } from './completeness/fault-counts.js';
import { dropFacts } from './completeness/stream-coverage.js';
import { Collect } from './log/collect.js';
import type { RangeLimits } from './log/log-reader.js';
import { readManifest } from './log/manifest.js';
import { SpoolCleaner } from './log/spool-cleaner.js';
import { migrate } from './store/migrate.js';
import { applyRetention, pruneQuarantine, pruneStreams, type Retention } from './store/retention.js';
import { Store } from './store/store.js';

export interface CollectorOptions {
  /** Absolute. */
  readonly dataDir: string;
  readonly retention: Retention;
  readonly log: SpoolLog;
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
  /** How long ago everything that was recorded was stored. */
  readonly lagSeconds: number;
  /** Null: all is well; else why storing fails, and since when. */
  readonly failing: { readonly code: string; readonly detail: string; readonly since: string } | null;
}

/** Small ranges cost as much as large ones: the log is looked at this often. */
const EVERY_MS = 250;
const CLEAN_EVERY_MS = 1000;
const JUDGE_EVERY_MS = 10_000;
const RETAIN_EVERY_MS = 600_000;
const RETRY_FROM_MS = 500;
const RETRY_TO_MS = 30_000;
const DAY_MS = 86_400_000;

export class Collector {
  readonly store: Store;
  readonly #spoolDir: string;
  readonly #collectorDir: string;
  readonly #log: SpoolLog;
  readonly #lock: ProcessLock;
  readonly #collect: Collect;
  readonly #cleaner: SpoolCleaner;
  #retention: Retention;
  /** Per stream: since when the mark is beyond what is stored. */
  readonly #behind = new Map<string, { readonly seq: number; readonly sinceMs: number }>();
  readonly #due = new Map<string, number>();
  #caughtUpMs = Date.now();
  readonly #faults = new FaultCounts();
  #failing: CollectorStatus['failing'] = null;
  #retryMs = RETRY_FROM_MS;
  #stopping = false;
  #wake: () => void = () => undefined;
  #running: Promise<void> = Promise.resolve();

  private constructor(options: CollectorOptions, lock: ProcessLock, store: Store, collect: Collect) {
    this.store = store;
    this.#spoolDir = join(options.dataDir, 'spool');
    this.#collectorDir = join(options.dataDir, 'collector');
    this.#log = options.log;
    this.#lock = lock;
    this.#collect = collect;
    this.#cleaner = new SpoolCleaner(this.#spoolDir, store, collect, options.log);
    this.#retention = options.retention;
  }

  /**
   * Takes the data directory, brings the store to this version, finishes what the last collector had begun, and goes on from there.
   * @throws data_dir_in_use; data_dir_unusable; store_unavailable; store_version; store_without_manifest; store_behind_manifest; store_failed
   */
  static async start(options: CollectorOptions): Promise<Collector> {
    const { dataDir, log } = options;
    const spoolDir = join(dataDir, 'spool');
    const collectorDir = join(dataDir, 'collector');
    try {
      for (const directory of [spoolDir, collectorDir]) mkdirSync(directory, { recursive: true, mode: 0o750 });
    } catch (cause) {
      throw new TidegateError('data_dir_unusable', `${dataDir}: ${(cause as Error).message}`, { cause });
    }
    const lock = ProcessLock.acquire(join(dataDir, 'collector.lock'));
    let store: Store | null = null;
    try {
      store = await Store.open(join(dataDir, 'store'));
      const applied = await migrate(store);
      if (applied.length > 0) log.info({ migrations: applied }, 'the store was brought to this version');
      removeLeftovers(spoolDir, Date.now());
      const collect = await Collect.open({ spoolDir, collectorDir, store, log, ...(options.limits === undefined ? {} : { limits: options.limits }) });
      const collector = new Collector(options, lock, store, collect);
      collector.#running = collector.#run();
      return collector;
    } catch (error) {
      await store?.close();
      lock.release();
      throw error;
    }
  }

  /** Stores everything that is recorded by now, then closes the store. Nothing is lost if it is killed instead. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#wake();
    await this.#running;
    await this.store.close();
    this.#lock.release();
  }

  /** From the next look on. */
  setRetention(retention: Retention): void {
    this.#retention = retention;
    this.#due.delete('retain');
  }

  /** ms since the epoch: everything recorded before it is stored. */
  asOfMs(): number {
    return this.#caughtUpMs;
  }

  /** Of [fromMs, toMs). */
  completeness(fromMs: number, toMs: number): Promise<Completeness> {
    return completeness(this.store, this.#spooledFacts(scanStreams(this.#spoolDir)), fromMs, toMs, Date.now());
  }

  status(): CollectorStatus {
    const { storedRows, repeatedRows, quarantined, ranges } = this.#collect.totals;
    return {
      stored: storedRows, repeats: repeatedRows + this.#faults.twiceTotal, quarantined, ranges,
      gapsTotal: this.#faults.missingTotal, gaps: this.#faults.missing, twice: this.#faults.twice,
      lagSeconds: Math.max(0, Date.now() - this.#caughtUpMs - EVERY_MS) / 1000, failing: this.#failing,
    };
  }

  async #run(): Promise<void> {
    for (;;) {
      // read before the step: what is recorded after it is asked to stop is for the next collector
      const last = this.#stopping;
      const pauseMs = await this.#turn();
      if (last && (pauseMs !== 0 || this.#failing !== null)) return;
      if (pauseMs > 0 && !this.#stopping) await this.#pause(pauseMs);
    }
  }

  /** One step and what is due. Returns how long to wait, ms. */
  async #turn(): Promise<number> {
    const startedMs = Date.now();
    try {
      const streams = scanStreams(this.#spoolDir);
      const { caughtUp } = await this.#collect.step(streams);
      this.#watchMarks(streams, startedMs);
      if (caughtUp) this.#caughtUpMs = startedMs;
      if (this.#isDue('clean', CLEAN_EVERY_MS) || this.#stopping) await this.#cleaner.clean(scanStreams(this.#spoolDir));
      if (this.#isDue('retain', RETAIN_EVERY_MS)) await this.#retain(Date.now());
      if (this.#isDue('judge', JUDGE_EVERY_MS)) await this.#judge(startedMs);
      if (this.#failing !== null) this.#log.info({ since: this.#failing.since }, 'storing works again');
      this.#failing = null;
      this.#retryMs = RETRY_FROM_MS;
      return caughtUp ? Math.max(1, EVERY_MS - (Date.now() - startedMs)) : 0;
    } catch (error) {
      const code = error instanceof TidegateError ? error.code : (error as NodeJS.ErrnoException).code ?? 'internal_error';
      this.#failing = { code, detail: error instanceof Error ? error.message : String(error), since: this.#failing?.since ?? new Date(startedMs).toISOString() };
      this.#log.error({ err: error, code, againInMs: this.#retryMs }, 'storing failed; the log keeps what is not stored');
      const pauseMs = this.#retryMs;
      this.#retryMs = Math.min(RETRY_TO_MS, this.#retryMs * 2);
      return pauseMs;
    }
  }

  async #retain(nowMs: number): Promise<void> {
    await applyRetention(this.store, this.#retention, nowMs, this.#log);
    const spans = readManifest(join(this.#collectorDir, 'manifest.json'))?.spans ?? [];
    const inUse = new Set([...scanStreams(this.#spoolDir), ...spans].map(({ stream }) => stream));
    for (const stream of await pruneStreams(this.store, this.#retention, inUse, nowMs, this.#log)) this.#collect.forget(stream);
    await pruneQuarantine(this.store, join(this.#collectorDir, 'quarantine'), this.#retention, nowMs, this.#log);
  }

  async #judge(nowMs: number): Promise<void> {
    const midnightMs = Math.floor(nowMs / DAY_MS) * DAY_MS;
    const { streams } = await this.completeness(midnightMs - DAY_MS, midnightMs + DAY_MS);
    const grown = this.#faults.take(streams);
    const { missing, twice } = this.#faults;
    if (grown) this.#log.error({ missing, twice }, 'the record has gaps or repeats; see tidegate status and /v1/completeness');
  }

  #watchMarks(streams: readonly SpooledStream[], nowMs: number): void {
    for (const { stream, state } of streams) {
      if (state === null) continue;
      const seen = this.#behind.get(stream);
      // the mark that was waited for: later ones have their own time
      if (seen !== undefined && this.#reached(stream) <= seen.seq) continue;
      if (this.#reached(stream) <= state.lastSeq && !this.#collect.finished.has(stream)) this.#behind.set(stream, { seq: state.lastSeq, sinceMs: nowMs });
      else this.#behind.delete(stream);
    }
    for (const stream of this.#behind.keys()) if (!streams.some((source) => source.stream === stream)) this.#behind.delete(stream);
  }

  /** One past the last seq that is stored, or tallied as dropped. */
  #reached(stream: string): number {
    return Math.max(this.#collect.place(stream).seq, (readDrops(join(this.#spoolDir, stream))?.lastSeq ?? -1) + 1);
  }

  #spooledFacts(streams: readonly SpooledStream[]): SpooledFacts[] {
    return streams.flatMap(({ stream, dir, state }): SpooledFacts[] => (state === null ? [] : [{
      stream, node: state.node, worker: state.worker, openedMs: Date.parse(state.openedAt), sealedMs: state.seal === null ? null : Date.parse(state.seal.sealedAt),
      lastSeq: state.lastSeq, proven: state.seal?.proven ?? true, drops: dropFacts(readDrops(dir)),
      live: { markedMs: Date.parse(state.markedAt), finished: this.#collect.finished.has(stream), behindSinceMs: this.#behind.get(stream)?.sinceMs ?? null },
    }]));
  }

  #isDue(what: string, everyMs: number): boolean {
    const nowMs = Date.now();
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
