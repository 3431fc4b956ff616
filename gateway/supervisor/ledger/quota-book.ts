import type { LimitClock } from '../../policies/limits/clock.js';
import { appQuota, quotaApp, quotaOfDay } from '../../policies/limits/keys.js';
import type { LeaseGrant, LeaseHolding, LimitKey } from '../protocol.js';
import { dayAt, type Day } from './day.js';
import type { QuotaLimit } from './limits.js';
import type { QuotaDay, QuotaState } from './quota-state.js';
import { countTail, type AppsOfDay, type RecordedDay, type TailDrops, type TailReader } from './recorded-use.js';
import type { LedgerRecord } from './records.js';
import type { NodeQuota, SharedLimits } from './shared-limits.js';

/** A quota that the configuration no longer has: those who still ask finish on the configuration they began with. */
const NO_LIMIT: QuotaLimit = { limit: Number.MAX_SAFE_INTEGER, timeZone: 'UTC' };
/** A worker that was told that nobody knows asks again after this. */
const UNKNOWN_MS = 1000;
/** Late events of a day past are expected for this long. */
const KEEP_MS = 3_600_000;
/** Longer than any request lives. */
const KEEP_AT_MOST_MS = 3 * 86_400_000;

/** Grants of quotas. Changes state by records only: `write` applies each, and the ledger journals it before anybody is told. */
export class QuotaBook {
  readonly #state: QuotaState;
  readonly #write: (record: LedgerRecord) => void;
  readonly #clock: LimitClock;
  readonly #shared: SharedLimits | null;
  #limits: ReadonlyMap<string, QuotaLimit> = new Map();
  /** Some apps with a limit are not kept account of yet. */
  #untracked = false;
  /** After a lost journal: open streams whose workers have not said yet what they hold. */
  readonly #silent = new Set<string>();

  constructor(state: QuotaState, write: (record: LedgerRecord) => void, clock: LimitClock, shared: SharedLimits | null) {
    this.#state = state;
    this.#shared = shared;
    this.#write = write;
    this.#clock = clock;
  }

  /** Answers the apps whose limit is another than before. */
  configure(limits: ReadonlyMap<string, QuotaLimit>): string[] {
    const before = this.#limits;
    this.#limits = limits;
    this.#untracked = [...limits.keys()].some((app) => !this.#state.tracked.has(app));
    const untracked = [...this.#state.tracked].filter((app) => !limits.has(app));
    if (untracked.length > 0) this.#write({ t: 'untrack', apps: untracked });
    return [...limits.keys()].filter((app) => before.get(app)?.limit !== limits.get(app)?.limit);
  }

  /** The day that the ledger is in for this app. Turned by the clock; never back, but where the clock was wrong (`early`). */
  today(app: string): QuotaDay {
    const today = this.#state.today.get(app);
    const nowMs = this.#nowMs();
    if (today !== undefined && nowMs < today.endMs) return today;
    const day = dayAt((this.#limits.get(app) ?? NO_LIMIT).timeZone, nowMs);
    return this.#open(app, day);
  }

  /** Nothing can be granted yet: what was used before, or what is out, is not known. */
  blocked(app: string): boolean {
    return this.#limits.has(app) && (this.#state.lost || this.#silent.size > 0 || !this.#state.tracked.has(app));
  }

  available(app: string): number {
    return this.#free(app, this.today(app));
  }

  /** Grants `want`, or a fair share of what is left; null: nothing is left. */
  tryGrant(app: string, stream: string, want: number, workers: number): LeaseGrant | null {
    const day = this.today(app);
    const available = this.#free(app, day);
    if (available < 1) return null;
    const share = workers > 1 ? Math.max(1, Math.floor((available + this.#elsewhere(app)) / (2 * workers))) : available;
    const granted = Math.min(want, share, available);
    this.#write({ t: 'grant', stream, units: [[day.key, granted]] });
    return this.#answer(app, day, granted);
  }

  denied(app: string): LeaseGrant {
    const denied = this.#answer(app, this.today(app), 0);
    // asked again when the store answers, or at this time
    return this.#shared?.unknown(appQuota(app)) === true ? { ...denied, retryAfterMs: UNKNOWN_MS, unavailable: true } : denied;
  }

  /** What the store that nodes share must know of the app; null: it has no quota. */
  node(app: string): NodeQuota | null {
    const limit = this.#limits.get(app);
    if (limit === undefined) return null;
    const { key, startMs, endMs, committed, agreed } = this.today(app);
    return { dated: key, day: key.slice(quotaOfDay(app, '').length), startMs, endMs, committed, limit: limit.limit, blocked: this.blocked(app), agreed };
  }

  /** The store counts this day of this node, and of it so many units that were used without a record of it here. */
  agree(key: LimitKey, units: number): void {
    this.#write({ t: 'agreed', key, units });
  }

  /** The clock was ahead when it opened the day that the ledger is in: nothing was granted of it. */
  early(app: string): void {
    const { name, startMs, endMs } = dayAt((this.#limits.get(app) ?? NO_LIMIT).timeZone, this.#nowMs());
    const key = quotaOfDay(app, name);
    this.#write({ t: 'open', key, startMs, endMs: Math.max(endMs, this.#state.days.get(key)?.endMs ?? endMs) });
  }

  /** Another node has opened this day: so has this one. */
  turn(app: string, name: string, startMs: number, endMs: number): void {
    const today = this.#state.today.get(app);
    if (today === undefined || quotaOfDay(app, name) > today.key) this.#open(app, { name, startMs, endMs });
  }

  giveBack(key: LimitKey, stream: string, units: number): void {
    const account = this.#state.days.get(key)?.accounts.get(stream);
    if (account === undefined) return;
    const back = Math.min(units, account.granted - account.used);
    if (back > 0) this.#write({ t: 'grant', stream, units: [[key, -back]] });
  }

  used(stream: string, lastSeq: number, used: readonly (readonly [LimitKey, number])[]): void {
    this.#write({ t: 'used', stream, lastSeq, units: used.filter(([key]) => this.#state.days.has(key)) });
  }

  /** Streams that may hold unused units of the app's day. */
  holders(app: string): string[] {
    const holders: string[] = [];
    for (const [stream, account] of this.today(app).accounts) if (account.granted > account.used) holders.push(stream);
    return holders;
  }

  /** More is out than the limit allows: what workers hold must come back. */
  overdrawn(app: string): boolean {
    const today = this.#state.today.get(app);
    return today !== undefined && today.committed > this.#limit(app);
  }

  /** What a living worker says it holds and has used is the truth of its stream. */
  declare(stream: string, held: readonly LeaseHolding[]): void {
    this.#silent.delete(stream);
    const units = new Map<LimitKey, number>();
    for (const [day, account] of this.#state.accountsOf(stream)) {
      // granted by a supervisor that died before the grant arrived
      if (this.#state.today.get(day.app) === day) units.set(day.key, account.used);
    }
    for (const holding of held) if (this.#knows(holding.key)) units.set(holding.key, holding.held + holding.used);
    this.#write({ t: 'hold', stream, units: [...units] });
  }

  /**
   * The stream's worker is dead: what its rows say was used, is; the rest of what it held comes back. Dropped rows count by their tally. Rows that are
   * missing otherwise count as used by every app, as far as it held units: a quota is not overshot for want of a record. Answers the apps that units
   * came back of.
   */
  settle(stream: string, read: TailReader, lastSeq: number | null, drops: TailDrops | null): string[] {
    const mark = this.#state.marks.get(stream);
    const wasSilent = this.#silent.has(stream);
    if (mark === undefined || this.#state.lost) this.#silent.delete(stream);
    if (mark === undefined) return [];
    if (this.#state.lost) {
      // its rows will be counted with all others
      this.#write({ t: 'settled', stream, units: [...this.#state.accountsOf(stream)].map(([day]) => [day.key, 0] as const) });
      return [];
    }
    // a stream that never declared itself may have rows of days that it has no account of yet
    const days = wasSilent ? [...this.#state.days.values()] : [...this.#state.accountsOf(stream)].map(([day]) => day);
    const byApp = new Map<string, QuotaDay[]>();
    for (const day of days) byApp.set(day.app, [...byApp.get(day.app) ?? [], day]);
    const keyAt = (app: string, timeMs: number): LimitKey | null =>
      byApp.get(app)?.find((day) => timeMs >= day.startMs && timeMs < day.endMs)?.key ?? null;
    const { counts, holes } = countTail(read, mark, lastSeq, keyAt);
    this.#silent.delete(stream);
    if (wasSilent && counts.size > 0) this.#write({ t: 'grant', stream, units: [...counts.keys()].map((key) => [key, 0] as const) });
    const tally = drops !== null && drops.afterSeq <= mark ? drops : null;
    const units: [LimitKey, number][] = [];
    const apps: string[] = [];
    for (const [day, account] of this.#state.accountsOf(stream)) {
      const used = account.used + (counts.get(day.key) ?? 0);
      const missing = tally === null ? holes : Math.max(0, holes - tally.rows) + (tally.counted.get(day.app) ?? 0);
      const final = used + Math.max(0, Math.min(missing, account.granted - used));
      units.push([day.key, final]);
      if (final < account.granted) apps.push(day.app);
    }
    this.#write({ t: 'settled', stream, units });
    return apps;
  }

  /** Apps that have a limit but no account of today, by the bounds of their days; all of them if the journal was lost. */
  unknownDays(): AppsOfDay[] {
    const days = new Map<string, { startMs: number; endMs: number; apps: string[] }>();
    for (const [app, { timeZone }] of this.#limits) {
      if (this.#state.tracked.has(app) && !this.#state.lost) continue;
      const { startMs, endMs } = this.#state.today.get(app) ?? dayAt(timeZone, this.#nowMs());
      const bounds = `${startMs}-${endMs}`;
      const known = days.get(bounds);
      if (known === undefined) days.set(bounds, { startMs, endMs, apps: [app] });
      else known.apps.push(app);
    }
    return [...days.values()];
  }

  /** Today of every quota; `used` null: not known yet. */
  *status(): Generator<{ readonly key: LimitKey; readonly limit: number; readonly used: number | null; readonly leased: number }> {
    const nowMs = this.#nowMs();
    for (const [app, { limit, timeZone }] of this.#limits) {
      const day = this.#state.today.get(app);
      if (day === undefined || nowMs >= day.endMs) {
        yield { key: quotaOfDay(app, dayAt(timeZone, nowMs).name), limit, used: this.blocked(app) ? null : 0, leased: 0 };
        continue;
      }
      let used = day.settled;
      for (const account of day.accounts.values()) used += account.used;
      yield { key: day.key, limit, used, leased: day.committed - used };
    }
  }

  get lost(): boolean { return this.#state.lost; }

  /** There are days that recorded events must be asked about. */
  get ignorant(): boolean { return this.#state.lost || this.#untracked; }

  /** Takes what recorded events say of these days. `living`: streams whose workers have declared themselves. `over`: streams that were settled. */
  learn(days: readonly AppsOfDay[], recorded: RecordedDay, living: ReadonlySet<string>, over: ReadonlySet<string>): void {
    const asked = new Map(days.flatMap((day) => day.apps.map((app) => [app, day] as const)));
    const keys = new Map<string, LimitKey>();
    for (const { app } of recorded.counts) {
      const bounds = asked.get(app);
      if (bounds === undefined || keys.has(app) || !this.#limits.has(app)) continue;
      const day = this.#state.today.get(app) ?? this.#open(app, dayAt((this.#limits.get(app) ?? NO_LIMIT).timeZone, bounds.startMs));
      keys.set(app, day.key);
    }
    const settled = this.#state.lost ? this.#learnAll(keys, recorded, living, over) : this.#learnNew(keys, recorded);
    this.#write({ t: 'base', apps: [...asked.keys()].filter((app) => this.#limits.has(app)), settled: [...settled] });
    this.#untracked = [...this.#limits.keys()].some((app) => !this.#state.tracked.has(app));
  }

  /** Days that are over, with nothing of them out, are forgotten. */
  forget(): void {
    const nowMs = this.#nowMs();
    const keys: LimitKey[] = [];
    for (const day of this.#state.days.values()) {
      if (nowMs < day.endMs + KEEP_MS) continue;
      let out = false;
      for (const account of day.accounts.values()) out ||= account.granted > account.used;
      if (!out || nowMs > day.endMs + KEEP_AT_MOST_MS) keys.push(day.key);
    }
    if (keys.length > 0) this.#write({ t: 'drop', keys });
  }

  /** Newly limited: whatever was recorded today and is not accounted for was used without a lease. */
  #learnNew(keys: ReadonlyMap<string, LimitKey>, recorded: RecordedDay): Map<LimitKey, number> {
    const settled = new Map<LimitKey, number>();
    for (const { app, count } of recorded.counts) {
      const key = keys.get(app);
      if (key !== undefined) settled.set(key, (settled.get(key) ?? 0) + count);
    }
    for (const [key, total] of settled) {
      const day = this.#state.days.get(key);
      if (day === undefined) continue;
      let leased = 0;
      for (const account of day.accounts.values()) leased += account.used;
      settled.set(key, Math.max(day.settled, total - leased));
    }
    return settled;
  }

  /** The journal was lost: streams that are over count by their rows, living ones by what they declare. */
  #learnAll(keys: ReadonlyMap<string, LimitKey>, recorded: RecordedDay, living: ReadonlySet<string>, over: ReadonlySet<string>): Map<LimitKey, number> {
    const open = new Map(recorded.open.filter(({ stream }) => !over.has(stream)).map(({ stream, lastSeq }) => [stream, lastSeq]));
    for (const stream of [...this.#state.marks.keys()]) {
      // declared to a supervisor before this one, dead since: its rows are in the counts
      if (!living.has(stream) && !open.has(stream)) this.#write({ t: 'settled', stream, units: [...this.#state.accountsOf(stream)].map(([day]) => [day.key, 0] as const) });
    }
    const settled = new Map<LimitKey, number>();
    const byStream = new Map<string, [LimitKey, number][]>();
    for (const { app, stream, count } of recorded.counts) {
      const key = keys.get(app);
      if (key === undefined || living.has(stream)) continue;
      if (open.has(stream)) byStream.set(stream, [...byStream.get(stream) ?? [], [key, count]]);
      else settled.set(key, (settled.get(key) ?? 0) + count);
    }
    for (const [stream, lastSeq] of open) {
      if (living.has(stream)) continue;
      const units = byStream.get(stream) ?? [];
      this.#write({ t: 'hold', stream, units });
      this.#write({ t: 'used', stream, lastSeq, units });
      this.#silent.add(stream);
    }
    return settled;
  }

  /** Wall clock, ms since the epoch: this node's, or the store's if this node's is ahead. */
  #nowMs(): number {
    return this.#clock.wallMs() - (this.#shared?.aheadMs ?? 0);
  }

  /** Units that may be lent now. */
  #free(app: string, day: QuotaDay): number {
    const limit = this.#limit(app);
    if (this.#shared === null || !this.#limits.has(app) || (!this.#shared.up && this.#shared.allowsLoss)) return limit - day.committed;
    return Math.min(limit, this.#shared.ceiling(day.key, day.committed)) - day.committed;
  }

  /** Units that the store had left. */
  #elsewhere(app: string): number {
    return this.#shared === null || !this.#limits.has(app) ? 0 : this.#shared.left(appQuota(app));
  }

  #limit(app: string): number {
    return (this.#limits.get(app) ?? NO_LIMIT).limit;
  }

  /**
   * Days of an app follow one another: a changed time zone takes effect when the running day is over, and if the new zone is still in a day of the same
   * name or an earlier one, the running day is extended to that day's end.
   */
  #open(app: string, day: Day): QuotaDay {
    const before = this.#state.today.get(app);
    let key = quotaOfDay(app, day.name);
    let startMs = day.startMs;
    if (before !== undefined) {
      startMs = Math.max(startMs, before.endMs);
      if (key <= before.key) {
        key = before.key;
        startMs = before.startMs;
      }
    }
    this.#write({ t: 'open', key, startMs, endMs: day.endMs });
    return this.#state.days.get(key) as QuotaDay;
  }

  /** Whether the day of a declared key is known; after a lost journal, today's is opened. */
  #knows(key: LimitKey): boolean {
    if (this.#state.days.has(key)) return true;
    const app = quotaApp(key);
    return this.#limits.has(app) && this.today(app).key === key;
  }

  #answer(app: string, day: QuotaDay, granted: number): LeaseGrant {
    const limit = this.#limits.get(app)?.limit ?? 0;
    return {
      key: day.key, granted, remaining: Math.max(0, this.#shared === null || limit === 0 ? limit - day.committed : this.#free(app, day) + this.#elsewhere(app)), limit,
      retryAfterMs: granted > 0 ? 0 : Math.max(1, day.endMs - this.#nowMs()),
      burst: 0, dayStartMs: day.startMs, dayEndMs: day.endMs,
    };
  }
}
