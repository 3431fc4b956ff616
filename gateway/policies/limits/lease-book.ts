/**
 * What one worker holds of every limit. Units come from the ledger in small allowances and are taken without waiting; more is asked for
 * before they run out. A request waits for the ledger only when nothing is held. The ledger away, or silent: what is held is gone on with, and
 * of a rate this worker makes its share itself.
 *
 * `send` is called only between `connected()` and `disconnected()`.
 */
import type { LeaseGrant, LeaseHolding, LimitKey, SupervisorMessage, WorkerMessage } from '../../supervisor/protocol.js';
import type { LimitClock } from './clock.js';
import { appQuota, isQuota, quotaApp } from './keys.js';
import { Lease, type AskResult, type LeaseAnswer } from './lease.js';
import { LedgerOutbox } from './ledger-outbox.js';

export type { AskResult } from './lease.js';
export type TakeResult = 'taken' | 'empty' | 'unavailable' | 'ask';
/** Units a second, and how many may be unspent, by key. */
type Rates = ReadonlyMap<LimitKey, { readonly qps: number; readonly burst: number }>;
type Granted = Extract<SupervisorMessage, { type: 'granted' }>;

export interface LeaseBookOptions {
  readonly send: (message: WorkerMessage) => void;
  readonly clock: LimitClock;
  /** Seq of the last row that is in the spool (or was dropped and tallied); -1 before the first. Every row up to it has been told by `recorded`. */
  readonly lastWrittenSeq: () => number;
  /** Runs the flush at the turn's end. Default: setImmediate. */
  readonly defer?: (flush: () => void) => void;
  /** Longest wait of a request for the ledger, ms. Default 1000. */
  readonly askTimeoutMs?: number;
  /** Demand that an allowance of a rate is to cover, ms; more is asked for at half of it. Default 200. */
  readonly horizonMs?: number;
  /** The same of a quota with much left, ms: what is held outlives a restart of the supervisor. Default 5000. */
  readonly quotaHorizonMs?: number;
  /** A rate's ask that has no answer for this long, the link being up: the supervisor is stalled, and this worker makes its share. Default 300. */
  readonly silentMs?: number;
  /** Workers that share a rate while the ledger is away or silent. Default 1. */
  readonly shares?: () => number;
  /** What nobody used for this long is given back, ms. Default 10000. */
  readonly idleMs?: number;
}

const SWEEP_MS = 1000;

export class LeaseBook {
  /** By what is asked for: rates, and today's lease of each quota. */
  readonly #leases = new Map<LimitKey, Lease>();
  /** Quotas by dated key: today's, and those of days past that requests still hold units of. */
  readonly #days = new Map<LimitKey, Lease>();
  readonly #outbox: LedgerOutbox;
  readonly #clock: LimitClock;
  readonly #askTimeoutMs: number;
  readonly #silentMs: number;
  readonly #shares: () => number;
  readonly #idleSweeps: number;
  readonly #waiting = new Set<Lease>();
  #downAtMs = 0;
  /** When the ledger spoke last (monotonic ms): since then it may be stalled, before it was not. */
  #heardAtMs = 0;
  #rates: Rates = new Map();
  /** The node's part of every rate while it goes on by itself; as the ledger said last. */
  #share = 1;
  #sweep = 0;
  #sweptAtMs = Number.NEGATIVE_INFINITY;
  #asked = 0;
  #granted = 0;
  #denied = 0;
  #unanswered = 0;

  constructor(options: LeaseBookOptions) {
    this.#outbox = new LedgerOutbox(options);
    this.#clock = options.clock;
    this.#askTimeoutMs = options.askTimeoutMs ?? 1000;
    this.#silentMs = options.silentMs ?? 300;
    this.#shares = options.shares ?? (() => 1);
    this.#idleSweeps = Math.max(1, Math.ceil((options.idleMs ?? 10_000) / SWEEP_MS));
  }

  /** The rates of the configuration in force: of one that the ledger was never asked for, a share can be made too. */
  configure(rates: Rates): void {
    this.#rates = rates;
  }

  /** Takes one unit if one is held. `nowMs`: the request's moment, ms since the epoch. No promise, nothing allocated. */
  tryTake(askKey: LimitKey, nowMs: number): TakeResult {
    const lease = this.#leases.get(askKey);
    if (lease === undefined || nowMs >= lease.dayEndMs) return 'ask';
    if (lease.held === 0 && this.#mayMint(lease) && !this.#mint(lease)) return 'empty';
    if (lease.held === 0) {
      if (lease.emptyUntilMs === 0 || this.#clock.monotonicMs() >= lease.emptyUntilMs) return 'ask';
      return lease.unknown ? 'unavailable' : 'empty';
    }
    lease.take();
    lease.lastSweep = this.#sweep;
    if (lease.held <= lease.lowWater && !lease.queued && !lease.pending) this.#outbox.ask(lease);
    return 'taken';
  }

  /**
   * Waits for the ledger, `askTimeoutMs` at most, and takes one unit. Everyone who waits for a key shares its round trip.
   * `empty`: the limit is reached; `unavailable`: the ledger did not answer.
   */
  ask(askKey: LimitKey): Promise<AskResult> {
    this.#asked++;
    const lease = this.#lease(askKey);
    lease.lastSweep = this.#sweep;
    return new Promise((resolve) => {
      lease.waiters.push({ resolve, deadlineMs: this.#clock.monotonicMs() + this.#askTimeoutMs });
      this.#waiting.add(lease);
      if (!lease.queued && !lease.pending) this.#outbox.ask(lease);
    });
  }

  /** A unit taken for a request that turned out not to count. For a quota, `key` is the dated one. */
  giveBack(key: LimitKey): void {
    const lease = isQuota(key) ? this.#days.get(key) : this.#leases.get(key);
    if (lease === undefined) return;
    if (!lease.quota) {
      // a unit that was told as used has been minted anew: it must not be spent twice
      if (lease.unreported === 0) return;
      lease.unreported--;
      lease.held++;
    } else {
      if (lease.inFlight === 0) return;
      lease.inFlight--;
      lease.held++;
    }
    this.#serve(lease);
    if (lease.drained && lease.held > 0) this.#outbox.return(lease, lease.held);
  }

  /** The counted row of a request that took a unit of this quota (dated key) is in the spool. */
  recorded(key: LimitKey): void {
    const lease = this.#days.get(key);
    if (lease === undefined) return;
    if (lease.inFlight > 0) lease.inFlight--;
    lease.used++;
    this.#outbox.used(lease);
  }

  /** The lease that the last `taken` of this quota came from: dated key and bounds of its day. Null before the first grant. */
  today(askKey: LimitKey): { readonly key: LimitKey; readonly dayStartMs: number; readonly dayEndMs: number } | null {
    return this.#leases.get(askKey) ?? null;
  }

  /** What RateLimit fields say of a limit now; null: nothing is known of it. The object is the lease's own and is filled in anew each time. */
  answer(askKey: LimitKey, nowMs: number): LeaseAnswer | null {
    const lease = this.#leases.get(askKey);
    return lease === undefined || lease.limit === 0 ? null : lease.answerAt(nowMs, this.#clock);
  }

  /** What `hello` declares. Call it while the link is down, just before `connected`. */
  holdings(): LeaseHolding[] {
    const held: LeaseHolding[] = [];
    for (const lease of this.#leases.values()) {
      if (!lease.quota && (lease.held > 0 || lease.unsettled > 0)) held.push({ key: lease.key, held: lease.held, used: lease.unsettled });
      lease.unreported = 0;
      lease.minted = 0;
      lease.unsettled = 0;
    }
    for (const lease of this.#days.values()) held.push({ key: lease.key, held: lease.outstanding, used: lease.used });
    return held;
  }

  /** `hello` is on its way: tells what was used, and asks for what is wanted. */
  connected(): void {
    this.#outbox.open(this.#days.values());
    for (const lease of this.#leases.values()) {
      // the ledger that said so may be gone, and with it the memory of whom it told
      lease.mayAsk();
      if (lease.waiters.length > 0 && !lease.queued) this.#outbox.ask(lease);
    }
  }

  /** The link is down. Nothing that was sent on it to this worker may be handed in any more. */
  disconnected(): void {
    if (this.#outbox.up) this.#downAtMs = this.#clock.monotonicMs();
    this.#outbox.close();
    for (const lease of this.#leases.values()) {
      lease.pending = false;
      lease.unansweredFromMs = Number.POSITIVE_INFINITY;
    }
  }

  onGranted(message: Granted): void {
    this.#heardAtMs = this.#clock.monotonicMs();
    for (const grant of message.grants) this.#credit(grant, message.id);
  }

  onRecall(message: Extract<SupervisorMessage, { type: 'recall' }>): void {
    const returns: [LimitKey, number][] = [];
    const told: Lease[] = [];
    for (const key of message.keys) {
      const lease = isQuota(key) ? this.#days.get(key) : this.#leases.get(key);
      if (lease === undefined) continue;
      const units = lease.held + lease.returning;
      if (units > 0) returns.push([key, units]);
      lease.held = 0;
      lease.returning = 0;
      lease.drained = lease.quota;
      told.push(lease);
    }
    this.#outbox.tellUsed();
    this.#outbox.tell(told);
    this.#outbox.giveBack(returns, message.recall);
  }

  onAvailable(message: Extract<SupervisorMessage, { type: 'available' }>): void {
    for (const key of message.keys) {
      const lease = this.#leases.get(key);
      if (lease !== undefined) lease.mayAsk();
    }
  }

  /** Call it every 50 ms or so: ends waits that are over; each second tells what was used and gives back what lies idle. */
  tick(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const lease of this.#waiting) {
      if (this.#mayMint(lease) && this.#mint(lease)) this.#serve(lease);
      this.#expire(lease, nowMs);
    }
    if (nowMs - this.#sweptAtMs < SWEEP_MS) return;
    this.#sweptAtMs = nowMs;
    this.#sweep++;
    if (!this.#outbox.up) return;
    this.#sweepLeases(nowMs);
    this.#outbox.tellUsed();
    this.#outbox.flush();
  }

  /** Before the worker leaves in good order: tells what was used and gives everything back. */
  surrender(): void {
    if (!this.#outbox.up) return;
    for (const lease of this.#days.values()) if (lease.held > 0) this.#outbox.return(lease, lease.held);
    this.#outbox.tellUsed();
    this.#outbox.flush();
  }

  /** For `tidegate_quota_leases_total{result}`: waits for the ledger and how the ledger answered. */
  counts(): readonly (readonly [result: string, count: number])[] {
    return [['asked', this.#asked], ['granted', this.#granted], ['empty', this.#denied], ['unavailable', this.#unanswered]];
  }

  /** Leases kept in memory. */
  get size(): number { return this.#leases.size + this.#days.size; }

  #lease(askKey: LimitKey): Lease {
    let lease = this.#leases.get(askKey);
    if (lease === undefined) {
      lease = new Lease(askKey);
      const rate = this.#rates.get(askKey);
      if (rate !== undefined) {
        lease.limit = rate.qps;
        lease.burst = rate.burst;
      }
      lease.lastSweep = this.#sweep;
      this.#leases.set(askKey, lease);
    }
    return lease;
  }

  /** The ledger is away, or does not answer: a rate goes on with this worker's share of it. Quotas are never made here. */
  #mayMint(lease: Lease): boolean {
    if (lease.quota || lease.limit === 0) return false;
    return !this.#outbox.up || this.#clock.monotonicMs() - this.#silentFromMs(lease) >= this.#silentMs;
  }

  /** An ask that waits for the store that nodes share waits longer, and the ledger says meanwhile that it is there. */
  #silentFromMs(lease: Lease): number { return Math.max(lease.unansweredFromMs, this.#heardAtMs); }

  #mint(lease: Lease): boolean {
    const { up } = this.#outbox;
    if (!lease.mint(this.#clock.monotonicMs(), up ? this.#silentFromMs(lease) : this.#downAtMs, this.#shares() / this.#share)) return false;
    // told as it is made: when the supervisor goes on, it reads that before it lends the same units to another
    if (up) this.#outbox.made(lease);
    return true;
  }

  #credit(grant: LeaseGrant, id: number): void {
    const askKey = isQuota(grant.key) ? appQuota(quotaApp(grant.key)) : grant.key;
    let lease = this.#leases.get(askKey);
    if (lease === undefined) {
      // forgotten meanwhile
      if (grant.granted > 0) this.#outbox.giveBack([[grant.key, grant.granted]], null);
      return;
    }
    if (lease.quota && lease.key !== grant.key) lease = this.#turnDay(lease, grant.key);
    lease.pending = false;
    lease.unansweredFromMs = Number.POSITIVE_INFINITY;
    lease.limit = grant.limit;
    lease.burst = grant.burst;
    lease.ledgerRemaining = grant.remaining;
    if (lease.quota) {
      lease.dayStartMs = grant.dayStartMs;
      lease.dayEndMs = grant.dayEndMs;
    } else this.#share = grant.share ?? 1;
    if (grant.granted > 0) {
      this.#granted++;
      lease.credit(grant.granted, id);
      lease.drained = false;
      lease.mayAsk();
      this.#serve(lease);
      // fewer than wait: again, within their time
      if (lease.waiters.length > 0 && !lease.queued) this.#outbox.ask(lease);
      return;
    }
    const unknown = grant.unavailable === true;
    if (unknown) this.#unanswered++;
    else this.#denied++;
    lease.knowEmpty(this.#clock.monotonicMs() + grant.retryAfterMs, unknown);
    lease.serve();
    lease.dismiss(unknown ? 'unavailable' : 'empty');
    this.#waiting.delete(lease);
  }

  /** The ledger has turned the day: what is left of the day before goes back, and is kept in mind until its requests have ended. */
  #turnDay(before: Lease, key: LimitKey): Lease {
    if (before.key === '') {
      before.key = key;
      this.#days.set(key, before);
      return before;
    }
    // the same day again cannot come back: the ledger never turns one back
    const lease = new Lease(before.askKey);
    lease.key = key;
    lease.target = before.target;
    lease.consumed = before.consumed;
    lease.askedAtMs = before.askedAtMs;
    lease.queued = before.queued;
    lease.lastSweep = this.#sweep;
    lease.waiters = before.waiters;
    before.waiters = [];
    before.drained = true;
    if (before.queued) this.#outbox.replace(before, lease);
    if (this.#waiting.delete(before)) this.#waiting.add(lease);
    if (before.held > 0) this.#outbox.return(before, before.held);
    this.#leases.set(lease.askKey, lease);
    this.#days.set(key, lease);
    return lease;
  }

  #serve(lease: Lease): void {
    lease.serve();
    if (lease.waiters.length === 0) this.#waiting.delete(lease);
  }

  #expire(lease: Lease, nowMs: number): void {
    const over = lease.expire(nowMs);
    this.#unanswered += over;
    // whoever comes next asks anew: the ledger may have lost the question
    if (over > 0) lease.pending = false;
    if (lease.waiters.length === 0) this.#waiting.delete(lease);
  }

  #sweepLeases(nowMs: number): void {
    const told: Lease[] = [];
    const returns: [LimitKey, number][] = [];
    for (const lease of this.#leases.values()) {
      if (lease.emptyUntilMs !== 0 && nowMs >= lease.emptyUntilMs) lease.mayAsk();
      if (!lease.queued) told.push(lease);
      if (this.#sweep - lease.lastSweep < this.#idleSweeps || lease.queued || lease.pending) continue;
      if (lease.held > 0) returns.push([lease.key, lease.held]);
      lease.held = 0;
      lease.target = 1;
      lease.lowWater = 0;
      // a quota's count of used units is the ledger's only witness until its day is over
      if (!lease.quota || lease.key === '') this.#leases.delete(lease.askKey);
    }
    for (const lease of this.#days.values()) {
      const over = this.#leases.get(lease.askKey) !== lease;
      if (over && lease.outstanding === 0 && !lease.usedChanged) this.#days.delete(lease.key);
    }
    this.#outbox.tell(told);
    if (returns.length > 0) this.#outbox.giveBack(returns, null);
  }
}
