/**
 * The node's `/metrics`: the workers' counts added up, and what the supervisor and the collector know. Names and labels are the public
 * surface (catalogue.ts).
 *
 * While the node runs, no counter of traffic goes back, whatever process is killed: Prometheus would take the whole of it for new. A worker that has gone leaves
 * its counts in the base. Base and living workers' counts are kept in a file of the run directory before anybody is told of them; a restarted supervisor goes
 * on from there until each worker has told everything again. Workers keep what they count each second (kept-counts.ts), and whoever of the two has more is right. What a worker that is
 * killed has counted since is missing here, and only here: its events are recorded.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { Origin } from '../control/endpoints.js';
import type { WrongTokenResult } from '../control/wrong-tokens.js';
import { CONTENT_TYPES, formatFor } from './accept.js';
import { Births } from './births.js';
import { Exposition } from './exposition.js';
import { keptStreams, progressOf, readCounts, removeCounts } from './kept-counts.js';
import { LiveCounts } from './live-counts.js';
import { foldSnapshots, NO_GAUGES, type MetricsSnapshot, type WorkerGauges } from './metrics-snapshot.js';
import type { NodeFacts } from './node-facts.js';
import { SupervisorProcess } from './supervisor-process.js';
import { summed, writeTraffic } from './write-traffic.js';
import { writeNode } from './write-node.js';
import { writeServices } from './write-services.js';
import { writeWorkers, type TargetHealth } from './write-workers.js';

/** Of a webhook. `delivered`; `retried`: an attempt that failed, and another follows; `failed`: given up; `dropped`: the app, or its webhook, has gone meanwhile. */
export const WEBHOOK_RESULTS = ['delivered', 'retried', 'failed', 'dropped'] as const;
export type WebhookResult = (typeof WEBHOOK_RESULTS)[number];
const RELOAD_RESULTS = ['applied', 'unchanged', 'rejected'] as const;
type ReloadResult = (typeof RELOAD_RESULTS)[number];

export interface NodeMetricsOptions {
  /** Where counts are kept for a restarted supervisor; null: in memory only. */
  readonly baseFile: string | null;
  /** Where workers keep theirs (kept-counts.ts); absent: nowhere. */
  readonly countsDir?: string;
}

/** Who scrapes. */
export interface Scrape {
  /** The request's Accept field. */
  readonly accept: string;
  /** The same for each scrape of one Prometheus; null: a person, or who does not say. */
  readonly scraper: string | null;
}

export class NodeMetrics {
  readonly #baseFile: string | null;
  readonly #countsDir: string | null;
  #base: MetricsSnapshot;
  readonly #live = new Map<string, LiveCounts>();
  /** By stream, of workers that an earlier supervisor has told of and that this one has not heard of. */
  readonly #unheard: Map<string, MetricsSnapshot>;
  readonly #retired = new Set<string>();
  readonly #reloads = new Map<ReloadResult, number>();
  readonly #webhooks = new Map<WebhookResult, number>();
  readonly #wrongTokens = new Map<string, number>();
  readonly #process = new SupervisorProcess();
  readonly #births = new Births();

  constructor(options: NodeMetricsOptions) {
    this.#baseFile = options.baseFile;
    const kept = options.baseFile === null ? null : readKept(options.baseFile);
    this.#base = kept?.base ?? foldSnapshots([]);
    this.#unheard = new Map(kept?.live ?? []);
    for (const stream of kept?.retired ?? []) this.#retired.add(stream);
    this.#countsDir = options.countsDir ?? null;
    if (this.#countsDir !== null) this.#takeKept(this.#countsDir);
  }

  /** Of workers that no supervisor has told of, or that had counted more since. */
  #takeKept(dir: string): void {
    for (const stream of keptStreams(dir)) {
      if (this.#retired.has(stream)) {
        removeCounts(dir, stream);
        continue;
      }
      const newest = newer(this.#unheard.get(stream), readCounts(dir, stream));
      if (newest !== undefined) this.#unheard.set(stream, newest);
    }
  }

  /**
   * A worker's newest counts. `stream` is the worker's life: counts replace those sent before in the same life, and a route, service or
   * target that is not among them has what it had.
   */
  update(stream: string, worker: number, newest: MetricsSnapshot): void {
    if (this.#retired.has(stream)) return;
    this.#unheard.delete(stream);
    const live = this.#live.get(stream);
    if (live === undefined) this.#live.set(stream, new LiveCounts(worker, newest));
    else live.take(newest);
  }

  /** The worker of this stream is gone for good: its last counts join the base. */
  retire(stream: string): void {
    const told = this.#live.get(stream)?.snapshot ?? this.#unheard.get(stream);
    const last = newer(told, this.#countsDir === null ? null : readCounts(this.#countsDir, stream));
    if (last === undefined) return;
    this.#live.delete(stream);
    this.#unheard.delete(stream);
    this.#retired.add(stream);
    this.#base = foldSnapshots([this.#base, last]);
    // where it could not be kept, the next supervisor needs the worker's own
    if (this.#keep() && this.#countsDir !== null) removeCounts(this.#countsDir, stream);
  }

  countReload(result: ReloadResult): void {
    this.#reloads.set(result, (this.#reloads.get(result) ?? 0) + 1);
  }

  countWebhook(result: WebhookResult): void {
    this.#webhooks.set(result, (this.#webhooks.get(result) ?? 0) + 1);
  }

  countWrongToken(origin: Origin, result: WrongTokenResult): void {
    const key = `${origin} ${result}`;
    this.#wrongTokens.set(key, (this.#wrongTokens.get(key) ?? 0) + 1);
  }

  /** The workers' counts together, as last received. */
  get sum(): MetricsSnapshot {
    return foldSnapshots([this.#base, ...this.#unheard.values(), ...[...this.#live.values()].map((live) => live.snapshot)]);
  }

  /** Of `sum`, what becomes of events, without adding up the rest. */
  get recording(): { readonly recorded: number; readonly dropped: ReadonlyMap<string, number> } {
    const dropped = new Map<string, number>();
    let recorded = 0;
    for (const counts of [this.#base, ...this.#unheard.values(), ...[...this.#live.values()].map((live) => live.recording)]) {
      recorded += counts.recorded;
      for (const [reason, count] of counts.dropped) dropped.set(reason, (dropped.get(reason) ?? 0) + count);
    }
    return { recorded, dropped };
  }

  /** A living worker's gauges, as last received. */
  gaugesOf(stream: string): WorkerGauges | null {
    return this.#live.get(stream)?.gauges ?? null;
  }

  /** Every target that living workers know. */
  get targets(): readonly TargetHealth[] {
    const all = new Map<string, TargetHealth>();
    for (const { gauges } of this.#live.values()) {
      for (const [service, target, healthy] of gauges.targets) {
        const key = `${service}\n${target}`;
        all.set(key, { service, target, healthy: healthy && all.get(key)?.healthy !== false });
      }
    }
    return [...all.values()];
  }

  /** The text for a scrape. */
  async render({ accept, scraper }: Scrape, facts: NodeFacts): Promise<{ readonly contentType: string; readonly text: string }> {
    const lagS = await this.#process.lag();
    const format = formatFor(accept);
    const text = new Exposition(format, this.#births);
    const { sum } = this;
    const { services } = facts.config;
    // from here on without a pause: who asks meanwhile would be told of births that are another's
    this.#births.begin(scraper);
    writeTraffic(text, sum, services);
    writeWorkers(text, [...this.#live.values()].sort((a, b) => a.worker - b.worker), this.targets, services);
    writeServices(text, services);
    writeNode(text, facts, sum);
    text.add('tidegate_config_reloads_total', summed(RELOAD_RESULTS.map((result) => [result] as const), [...this.#reloads].map(([result, count]) => [[result], count] as const)));
    text.add('tidegate_webhooks_total', summed(WEBHOOK_RESULTS.map((result) => [result] as const), [...this.#webhooks].map(([result, count]) => [[result], count] as const)));
    text.add('tidegate_wrong_tokens_total', (['control', 'reports'] as const).flatMap((origin) => (['refused', 'limited'] as const).map((result) => [[origin, result], this.#wrongTokens.get(`${origin} ${result}`) ?? 0] as const)));
    this.#process.write(text, lagS);
    // whoever asks: no scraper but Prometheus's own says that it is one
    this.#keep();
    return { contentType: CONTENT_TYPES[format], text: text.end() };
  }

  /** @returns whether the next supervisor will find it */
  #keep(): boolean {
    if (this.#baseFile === null) return false;
    const live = [...this.#unheard, ...[...this.#live].map(([stream, { snapshot }]) => [stream, { ...snapshot, gauges: NO_GAUGES }] as const)];
    const kept: KeptCounts = { base: this.#base, retired: [...this.#retired], live };
    try {
      writeFileSync(`${this.#baseFile}.new`, JSON.stringify(kept), { mode: 0o600 });
      renameSync(`${this.#baseFile}.new`, this.#baseFile);
      return true;
    } catch {
      // a full disk, or the run is over: what was kept before stays, and nobody who watches is blind meanwhile
      return false;
    }
  }

  /** Ends the measurements of this process. */
  close(): void {
    this.#process.close();
  }
}

/** Of the same life of a worker. Both say all of it. */
function newer(told: MetricsSnapshot | undefined, kept: MetricsSnapshot | null): MetricsSnapshot | undefined {
  if (told === undefined || kept === null) return told ?? kept ?? undefined;
  return progressOf(kept) > progressOf(told) ? kept : told;
}

/** What a restarted supervisor goes on from. */
interface KeptCounts {
  readonly base: MetricsSnapshot;
  readonly retired: readonly string[];
  /** By stream. */
  readonly live: readonly (readonly [stream: string, counts: MetricsSnapshot])[];
}

/** Of an earlier supervisor of this run; null where there is none, or it cannot be read: metrics are not worth refusing a start. */
function readKept(file: string): KeptCounts | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as KeptCounts;
  } catch {
    return null;
  }
}
