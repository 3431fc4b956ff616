/** A store with events, a clock that tests move, and billing over both. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AppConfig } from '../../gateway/config/schema.js';
import type { SpoolLog } from '../../gateway/events/spool-log.js';
import { ChdbStore } from '../store/chdb-store.js';
import { insertEvents, type MadeEvent } from '../store/insert-events.fixture.js';
import { migrate } from '../store/migrate.js';
import { Billing } from './billing.js';
import type { BillingEntry, EntrySelection } from './entry.js';

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
export const ALL: EntrySelection = { fromDay: '2000-01-01', toDay: '2090-01-01', apps: null };
const SILENT: SpoolLog = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined } as unknown as SpoolLog;

export const app = (name: string, more: Partial<AppConfig> = {}): AppConfig =>
  ({ name, keys: [], services: [], limits: {}, ip: { allow: [], deny: [] }, time_zone: 'UTC', ...more });

export class BillingStore implements AsyncDisposable {
  readonly store: ChdbStore;
  readonly #folder: string;
  nowMs: number;
  /** Times of which the record is not whole. */
  readonly gapsMs = new Set<number>();
  #events = 0;

  private constructor(store: ChdbStore, folder: string, nowMs: number) {
    this.store = store;
    this.#folder = folder;
    this.nowMs = nowMs;
  }

  /** @param now RFC 3339 */
  static async open(now: string): Promise<BillingStore> {
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-billing-'));
    const store = await ChdbStore.open(join(folder, 'store'));
    await migrate(store);
    return new BillingStore(store, folder, Date.parse(now));
  }

  /** A collector's billing: each call is another collector. */
  billing(store: Pick<ChdbStore, 'command' | 'query'> = this.store): Billing {
    return new Billing({
      store: store as ChdbStore, nowMs: () => this.nowMs, asOfMs: () => this.nowMs, log: SILENT,
      judge: (fromMs, toMs) => {
        const gaps = [...this.gapsMs].filter((ms) => ms >= fromMs && ms < toMs);
        return Promise.resolve({ complete: gaps.length === 0, reasons: gaps.map((ms) => `1 event of ${ms} is missing`), streams: [] });
      },
    });
  }

  /** Says what is in force from now on. */
  configure(billing: Billing, apps: readonly AppConfig[]): void {
    billing.configure({ apps, graceMs: HOUR_MS, keepEventsMs: 30 * DAY_MS, sinceMs: this.nowMs });
  }

  /** @param time RFC 3339 */
  insert(count: number, app: string, time: string, more: MadeEvent = {}): Promise<void> {
    return this.insertAt(app, Array.from({ length: count }, () => Date.parse(time)), more);
  }

  /** One at each of the times, ms since the epoch. */
  async insertAt(app: string, timesMs: readonly number[], more: MadeEvent = {}): Promise<void> {
    await insertEvents(this.store, timesMs.map((timeMs): MadeEvent => ({ app, timeMs, seq: this.#events, ordinal: this.#events++, ...more })));
  }

  async closed(billing: Billing, selection: EntrySelection = ALL): Promise<BillingEntry[]> {
    const entries: BillingEntry[] = [];
    for await (const page of billing.closed(selection)) entries.push(...page);
    return entries;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
