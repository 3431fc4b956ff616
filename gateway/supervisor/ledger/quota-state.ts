import { quotaApp } from '../../policies/limits/keys.js';
import type { LimitKey } from '../protocol.js';
import type { LedgerRecord } from './records.js';

/** What one stream has of one key. */
export interface Account {
  /** Granted and not given back, in all. */
  granted: number;
  /** Of it used, as of the stream's mark. */
  used: number;
}

/**
 * One app's quota of one day.
 *
 *   limit >= committed = settled + sum of granted      so that no unit is out twice
 */
export interface QuotaDay {
  readonly key: LimitKey;
  readonly app: string;
  readonly startMs: number;
  endMs: number;
  /** Used by streams that are over, or by nobody knows whom. */
  settled: number;
  committed: number;
  /** The store that nodes share has counted it, and nothing was forgotten since. */
  agreed: boolean;
  readonly accounts: Map<string, Account>;
}

/** The quotas' truth: what the records applied so far add up to. */
export class QuotaState {
  readonly days = new Map<LimitKey, QuotaDay>();
  /** By app: the day that the ledger is in. */
  readonly today = new Map<string, QuotaDay>();
  /** Apps that account has been kept of without a hole. */
  readonly tracked = new Set<string>();
  /** By stream: seq of the event as of which `used` holds; -1: of none yet. */
  readonly marks = new Map<string, number>();
  /** Monotonic ms before which a rate may have been granted; null: never was. */
  ratesUntilMs: number | null = null;
  /** The journal was lost and recorded events have not been counted yet. */
  lost = false;

  apply(record: LedgerRecord): void {
    switch (record.t) {
      case 'open': this.#open(record.key, record.startMs, record.endMs); return;
      case 'grant':
        this.#touch(record.stream);
        for (const [key, units] of record.units) this.#grant(key, record.stream, units);
        return;
      case 'hold':
        this.#touch(record.stream);
        for (const [key, granted] of record.units) this.#grant(key, record.stream, granted - (this.days.get(key)?.accounts.get(record.stream)?.granted ?? 0));
        return;
      case 'used':
        this.marks.set(record.stream, record.lastSeq);
        for (const [key, used] of record.units) this.#use(key, record.stream, used);
        return;
      case 'settled': this.#settle(record.stream, new Map(record.units)); return;
      case 'base':
        this.lost = false;
        for (const app of record.apps) this.tracked.add(app);
        for (const [key, settled] of record.settled) {
          const day = this.days.get(key);
          if (day === undefined) continue;
          day.committed += settled - day.settled;
          day.settled = settled;
        }
        return;
      case 'untrack':
        for (const app of record.apps) this.tracked.delete(app);
        return;
      case 'agreed': this.#agree(record.key, record.units); return;
      case 'lost':
        this.lost = true;
        for (const day of this.days.values()) day.agreed = false;
        return;
      case 'until': this.ratesUntilMs = record.monotonicMs; return;
      case 'drop':
        for (const key of record.keys) this.#drop(key);
    }
  }

  /** Records that add up to this state. */
  *snapshot(): Generator<LedgerRecord> {
    if (this.lost) yield { t: 'lost' };
    const streams = new Map<string, { held: [LimitKey, number][]; used: [LimitKey, number][] }>();
    for (const stream of this.marks.keys()) streams.set(stream, { held: [], used: [] });
    const settled: [LimitKey, number][] = [];
    for (const day of this.days.values()) {
      yield { t: 'open', key: day.key, startMs: day.startMs, endMs: day.endMs };
      if (day.settled > 0) settled.push([day.key, day.settled]);
      for (const [stream, account] of day.accounts) {
        streams.get(stream)?.held.push([day.key, account.granted]);
        streams.get(stream)?.used.push([day.key, account.used]);
      }
    }
    // while the truth is not whole, a `base` would say that it is
    if (!this.lost) yield { t: 'base', apps: [...this.tracked], settled };
    for (const { key, agreed } of this.days.values()) if (agreed) yield { t: 'agreed', key, units: 0 };
    for (const [stream, { held, used }] of streams) {
      yield { t: 'hold', stream, units: held };
      yield { t: 'used', stream, lastSeq: this.marks.get(stream) ?? -1, units: used };
    }
    if (this.ratesUntilMs !== null) yield { t: 'until', monotonicMs: this.ratesUntilMs };
  }

  /** The accounts of a stream, with their days. */
  *accountsOf(stream: string): Generator<readonly [QuotaDay, Account]> {
    for (const day of this.days.values()) {
      const account = day.accounts.get(stream);
      if (account !== undefined) yield [day, account];
    }
  }

  #touch(stream: string): void {
    if (!this.marks.has(stream)) this.marks.set(stream, -1);
  }

  #open(key: LimitKey, startMs: number, endMs: number): void {
    const known = this.days.get(key);
    const day = known ?? { key, app: quotaApp(key), startMs, endMs, settled: 0, committed: 0, agreed: false, accounts: new Map() };
    day.endMs = endMs;
    // the one opened last comes last, so that it is today's after a restart too
    this.days.delete(key);
    this.days.set(key, day);
    this.today.set(day.app, day);
  }

  #account(day: QuotaDay, stream: string): Account {
    let account = day.accounts.get(stream);
    if (account === undefined) {
      account = { granted: 0, used: 0 };
      day.accounts.set(stream, account);
    }
    return account;
  }

  #grant(key: LimitKey, stream: string, units: number): void {
    const day = this.days.get(key);
    if (day === undefined) return;
    this.#account(day, stream).granted += units;
    day.committed += units;
  }

  #use(key: LimitKey, stream: string, used: number): void {
    const day = this.days.get(key);
    if (day === undefined) return;
    this.#account(day, stream).used = used;
  }

  #agree(key: LimitKey, units: number): void {
    const day = this.days.get(key);
    if (day === undefined) return;
    day.settled += units;
    day.committed += units;
    day.agreed = true;
  }

  #settle(stream: string, used: ReadonlyMap<LimitKey, number>): void {
    this.marks.delete(stream);
    for (const [day, account] of this.accountsOf(stream)) {
      const final = used.get(day.key) ?? account.used;
      day.settled += final;
      day.committed += final - account.granted;
      day.accounts.delete(stream);
    }
  }

  #drop(key: LimitKey): void {
    const day = this.days.get(key);
    if (day === undefined) return;
    this.days.delete(key);
    if (this.today.get(day.app) === day) this.today.delete(day.app);
  }
}
