/**
 * How much of its quota each app has used today: for the live numbers and for webhooks. Of a quota that refuses it is the ledger's own count, as of the workers' last word (a second);
 * of one that is billed over, and on a node without workers, what the store has, because no ledger counts there. Nodes that share their limits tell each other.
 */
import type { Config } from '../../config/schema.js';
import { quotaApp, quotaOfDay } from '../../policies/limits/keys.js';
import { dayAt } from '../ledger/day.js';
import type { LimitHeld } from '../ledger/ledger.js';
import type { SharedUse } from './shared-use.js';

export interface QuotaUse {
  readonly app: string;
  /** `2026-11-21`, of the app's zone. */
  readonly day: string;
  readonly timeZone: string;
  readonly limit: number;
  readonly over: 'refuse' | 'bill';
  /** Null: not known yet. */
  readonly used: number | null;
  /** This node's ledger counts it. */
  readonly lent: boolean;
}

/** Counted requests of some apps' days that the store has, by app. */
export type RecordedUse = (days: readonly { readonly startMs: number; readonly endMs: number; readonly apps: readonly string[] }[]) => Promise<ReadonlyMap<string, number>>;

export interface QuotaUsesOptions {
  /** In force now. */
  readonly config: () => Config;
  /** The quotas that this node's ledger lends of. */
  readonly lent: () => readonly LimitHeld[];
  /** The store's count; null: no collector runs here. */
  readonly recorded: RecordedUse | null;
  /** Other nodes' use; null: this node's limits are its own. */
  readonly shared: SharedUse | null;
  readonly nowMs: () => number;
}

/** The store is read for at most a twentieth of the time, and not more often than this. */
const RECORDED_EVERY_MS = 3000;
const RECORDED_SHARE = 20;
/** A sum in which nothing of this node's has changed is asked for again after this, and where somebody looks, after that: who makes it grow learns of it by telling. */
const SUM_AGAIN_MS = 60_000;
const LOOKED_AT_AGAIN_MS = 900;

interface Known { readonly day: string; readonly used: number }
interface Sum extends Known { readonly others: number; readonly atMs: number }

export class QuotaUses {
  readonly #options: QuotaUsesOptions;
  /** By app, what the store had. */
  readonly #recorded = new Map<string, Known>();
  #recordedAtMs = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | null = null;
  /** By app, what this node told the others, and what they had. */
  readonly #sums = new Map<string, Sum>();
  #asking: Promise<void> | null = null;

  constructor(options: QuotaUsesOptions) {
    this.#options = options;
  }

  /** As far as it is known now. */
  get now(): readonly QuotaUse[] {
    const lent = new Map(this.#options.lent().map((held) => [quotaApp(held.key), held]));
    const nowMs = this.#options.nowMs();
    const uses: QuotaUse[] = [];
    for (const { name: app, time_zone: timeZone, limits: { qpd } } of this.#options.config().apps) {
      if (qpd === undefined) continue;
      const { limit, over } = typeof qpd === 'number' ? { limit: qpd, over: 'refuse' as const } : qpd;
      const held = lent.get(app);
      const day = held === undefined ? dayAt(timeZone, nowMs).name : held.key.slice(quotaOfDay(app, '').length);
      const recorded = this.#recorded.get(app);
      const own = held !== undefined ? held.used : recorded?.day === day ? recorded.used : null;
      const sum = this.#sums.get(app);
      uses.push({ app, day, timeZone, limit, over, used: own === null ? null : own + (sum?.day === day ? sum.others : 0), lent: held !== undefined });
    }
    return uses;
  }

  /**
   * Brings it up to date, as far as others answer; waits for a statement of the store only where nothing is known yet. Never throws.
   * @param looked somebody wants to know of all; false: what others depend on is enough
   */
  async refresh(looked: boolean): Promise<void> {
    await Promise.all([this.#readStore(looked), this.#tellOthers(looked ? LOOKED_AT_AGAIN_MS : SUM_AGAIN_MS)]);
  }

  /** What is billed over is added up where each node has a store of its own: a ClickHouse server has all nodes' events. */
  get #addsBilled(): boolean {
    return this.#options.shared !== null && this.#options.config().store.clickhouse.url === '';
  }

  async #readStore(looked: boolean): Promise<void> {
    const { recorded, config, nowMs } = this.#options;
    if (recorded === null) return;
    const all = looked || this.#addsBilled;
    const lent = new Set(this.#options.lent().map(({ key }) => quotaApp(key)));
    const days = new Map<string, { startMs: number; endMs: number; apps: string[]; names: Map<string, string> }>();
    let unknown = false;
    for (const { name, time_zone: timeZone, limits, webhook } of config().apps) {
      if (limits.qpd === undefined || lent.has(name) || !(all || webhook !== undefined)) continue;
      const { name: day, startMs, endMs } = dayAt(timeZone, nowMs());
      const bounds = `${startMs}-${endMs}`;
      const of = days.get(bounds) ?? { startMs, endMs, apps: [], names: new Map<string, string>() };
      days.set(bounds, of);
      of.apps.push(name);
      of.names.set(name, day);
      unknown ||= this.#recorded.get(name)?.day !== day;
    }
    if (days.size === 0) return;
    if (this.#reading === null && performance.now() >= this.#recordedAtMs) {
      const beganMs = performance.now();
      this.#reading = recorded([...days.values()].map(({ startMs, endMs, apps }) => ({ startMs, endMs, apps }))).then((counts) => {
        for (const { names } of days.values()) for (const [app, day] of names) this.#recorded.set(app, { day, used: counts.get(app) ?? 0 });
      }, () => {
        // it starts, or is busy: what was known stays
      }).finally(() => {
        const tookMs = performance.now() - beganMs;
        this.#recordedAtMs = performance.now() + Math.max(RECORDED_EVERY_MS, RECORDED_SHARE * tookMs);
        this.#reading = null;
      });
    }
    if (unknown) await this.#reading;
  }

  #tellOthers(againMs: number): Promise<void> {
    const { shared } = this.#options;
    if (shared === null) return Promise.resolve();
    this.#asking ??= this.#sumUp(shared, againMs).finally(() => { this.#asking = null; });
    return this.#asking;
  }

  async #sumUp(shared: SharedUse, againMs: number): Promise<void> {
    const atMs = performance.now();
    const changed: { app: string; day: string; used: number }[] = [];
    for (const { app, day, over, used, lent } of this.now) {
      if (used === null || !(lent || (over === 'bill' && this.#addsBilled))) continue;
      const sum = this.#sums.get(app);
      const own = used - (sum?.day === day ? sum.others : 0);
      if (sum?.day !== day || sum.used !== own || atMs - sum.atMs >= againMs) changed.push({ app, day, used: own });
    }
    try {
      const sums = await shared.add(changed);
      changed.forEach(({ app, day, used }, i) => { this.#sums.set(app, { day, used, others: Math.max(0, (sums[i] ?? used) - used), atMs }); });
    } catch {
      // the limits' link says what is wrong; what the others had stays, and all is told again
      for (const [app, sum] of this.#sums) this.#sums.set(app, { ...sum, atMs: Number.NEGATIVE_INFINITY });
    }
  }
}
