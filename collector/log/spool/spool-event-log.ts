/** The spool as the collector's log: one machine, no server between the gateway and the store. */
import { join } from 'node:path';
import { TidegateError } from '../../../errors/tidegate-error.js';
import { readDrops } from '../../../gateway/events/drop-page.js';
import type { SpoolLog } from '../../../gateway/events/spool-log.js';
import { removeLeftovers, scanStreams } from '../../../gateway/events/spool.js';
import { dropFacts, type StreamFacts } from '../../completeness/stream-coverage.js';
import type { Store } from '../../store/store.js';
import type { EventLog, LogPart, LogTotals, QuarantinedItem, StepResult } from '../event-log.js';
import type { RangeLimits } from '../picked-rows.js';
import { Collect } from './collect.js';
import { readManifest } from './manifest.js';
import { openedMs, Pending } from './pending.js';
import { SpoolCleaner } from './spool-cleaner.js';

/**
 * A small range costs as much as a large one: nearly all of it is what the engine does for an insert, whatever is in it. So the spool is looked at less often
 * the longer that takes (docs/decisions/0024-the-pace-of-the-collector.md).
 */
const LEAST_PAUSE_MS = 250;
const MOST_PAUSE_MS = 600;
/** Of its time, the part that goes into ranges while they are small: one of so many. */
const SHARE = 4;

export interface SpoolEventLogOptions {
  readonly spoolDir: string;
  /** data_dir/collector */
  readonly collectorDir: string;
  readonly store: Store;
  readonly log: SpoolLog;
  readonly limits?: RangeLimits;
}

export class SpoolEventLog implements EventLog {
  readonly comesAgainMs = 0;
  readonly #options: SpoolEventLogOptions;
  readonly #collect: Collect;
  readonly #cleaner: SpoolCleaner;
  readonly #pending: Pending;

  private constructor(options: SpoolEventLogOptions, collect: Collect) {
    this.#options = options;
    this.#collect = collect;
    this.#cleaner = new SpoolCleaner(options.spoolDir, options.store, collect, options.log);
    this.#pending = new Pending(options.spoolDir, collect);
  }

  /** Makes the last collector's insert again. @throws store_without_manifest; store_behind_manifest; store_failed; what the file system says */
  static async open(options: SpoolEventLogOptions): Promise<SpoolEventLog> {
    removeLeftovers(options.spoolDir, Date.now());
    return new SpoolEventLog(options, await Collect.open(options));
  }

  get totals(): LogTotals {
    return this.#collect.totals;
  }

  async step(): Promise<StepResult> {
    const startedMs = Date.now();
    const began = performance.now();
    const streams = scanStreams(this.#options.spoolDir);
    const { rows, caughtUp } = await this.#collect.step(streams);
    this.#pending.stepped(streams, startedMs, caughtUp);
    return { rows, mayStop: caughtUp, pauseMs: caughtUp ? pauseMs(performance.now() - began) : 0 };
  }

  asOfMs(): number {
    return this.#pending.asOfMs;
  }

  parts(): readonly LogPart[] {
    // every stream is seen in the spool itself
    return [];
  }

  standing(): null {
    return null;
  }

  tidy(): Promise<void> {
    return this.#cleaner.clean(scanStreams(this.#options.spoolDir));
  }

  async facts(): Promise<readonly StreamFacts[]> {
    return scanStreams(this.#options.spoolDir).map((source): StreamFacts => {
      const { stream, dir, state } = source;
      const opened = openedMs(source);
      return {
        stream, node: state?.node ?? '', instance: '', worker: state?.worker ?? 0, openedMs: opened, sealedMs: state === null || state.seal === null ? null : Date.parse(state.seal.sealedAt),
        lastSeq: state?.lastSeq ?? -1, proven: state?.seal?.proven ?? true, drops: dropFacts(readDrops(dir)?.apps ?? []),
        live: {
          markedMs: state === null ? opened : Date.parse(state.markedAt), finished: this.#collect.finished.has(stream),
          behindSinceMs: this.#pending.sinceMs(source), behindKnownMs: null, dueSeq: null,
        },
      };
    });
  }

  inUse(): ReadonlySet<string> {
    const spans = readManifest(join(this.#options.collectorDir, 'manifest.json'))?.spans ?? [];
    return new Set([...scanStreams(this.#options.spoolDir), ...spans].map(({ stream }) => stream));
  }

  forget(stream: string): void {
    this.#collect.forget(stream);
  }

  async replay({ id }: QuarantinedItem): Promise<void> {
    throw new TidegateError('quarantine_gone', `${id} lay in the spool: its bytes are in collector/quarantine, and only what went through Kafka can be put back into its log`);
  }

  readonly keepsStored = false;

  async readAgain(): Promise<void> {
    throw new TidegateError('events_not_kept', 'the spool lets go of events once they are stored');
  }

  others(): string | null {
    return null;
  }

  settle(): Promise<string | null> {
    return Promise.resolve(this.#collect.settle() ? null : 'a range is begun, and not known to be stored');
  }

  async stop(): Promise<void> {
    // nothing is held open
  }
}

/** After a step of so many ms that has taken all there was. */
export function pauseMs(stepMs: number): number {
  return Math.max(1, Math.min(Math.max(SHARE * stepMs, LEAST_PAUSE_MS), MOST_PAUSE_MS) - stepMs);
}
