/**
 * Who gets units, who waits for them, and whom they are looked for with: the way of one question, from a worker's want to its answer.
 *
 *   want -> the books have some                      -> granted
 *        -> the store that nodes share may have some -> it is asked, STORE_WAIT_MS at most
 *        -> workers hold some, or other nodes        -> recall
 *        -> none of these                            -> granted 0, and `available` once there are some
 */
import type { LimitClock } from '../../policies/limits/clock.js';
import { isQuota, quotaApp } from '../../policies/limits/keys.js';
import type { LeaseGrant, LimitKey, SupervisorMessage } from '../protocol.js';
import type { QuotaBook } from './quota-book.js';
import type { RateBook } from './rate-book.js';
import { Recalls, STORE, type Ask, type Recall } from './recalls.js';
import type { SharedLimits } from './shared-limits.js';

export interface LendingOptions {
  readonly quotas: QuotaBook;
  readonly rates: RateBook;
  /** Null: this node is alone. */
  readonly shared: SharedLimits | null;
  readonly clock: LimitClock;
  /** Longest wait for workers to give back what they hold, ms. */
  readonly recallWaitMs: number;
  /** The connected workers, by stream. */
  readonly links: ReadonlyMap<string, unknown>;
  /** Workers that have not said yet what they hold of rates. */
  readonly unheard: ReadonlySet<string>;
  /** Units of a rate are about to be lent. */
  readonly beforeRate: (nowMs: number) => void;
  readonly post: (stream: string, message: SupervisorMessage) => void;
}

/** Longest wait for the store: two round trips, or one and the other nodes between. A worker's request waits a second at most. */
const STORE_WAIT_MS = 600;
/** A rate is recalled no more often: its tokens come by themselves. */
const RATE_RECALL_MS = 100;

export class Lending {
  readonly #quotas: QuotaBook;
  readonly #rates: RateBook;
  readonly #shared: SharedLimits | null;
  readonly #clock: LimitClock;
  readonly #recallWaitMs: number;
  readonly #links: ReadonlyMap<string, unknown>;
  readonly #unheard: ReadonlySet<string>;
  readonly #beforeRate: (nowMs: number) => void;
  readonly #post: (stream: string, message: SupervisorMessage) => void;
  readonly #recalls = new Recalls();
  readonly #lastRateRecallMs = new Map<LimitKey, number>();
  /** By key: streams that were told there is none. */
  readonly #toldEmpty = new Map<LimitKey, Set<string>>();
  /** By stream and key: cannot be answered before more is known. */
  readonly #parked = new Map<string, Ask>();

  constructor(options: LendingOptions) {
    this.#quotas = options.quotas;
    this.#rates = options.rates;
    this.#shared = options.shared;
    this.#clock = options.clock;
    this.#recallWaitMs = options.recallWaitMs;
    this.#links = options.links;
    this.#unheard = options.unheard;
    this.#beforeRate = options.beforeRate;
    this.#post = options.post;
  }

  limitChanged(key: LimitKey): void {
    if (this.#overdrawn(key)) this.#startRecall(key, null);
    this.#shared?.changed(key);
    this.supply(key);
  }

  /** A worker is back that holds units of it: it was away when they were looked for. */
  lookFor(key: LimitKey): void {
    if (this.#toldEmpty.has(key) || this.#overdrawn(key)) this.#startRecall(key, null);
  }

  /** The worker is away: it neither waits nor answers. */
  gone(stream: string): void {
    for (const [id, ask] of this.#parked) if (ask.stream === stream) this.#parked.delete(id);
    for (const recall of this.#recalls.all()) {
      recall.asks = recall.asks.filter((ask) => ask.stream !== stream);
      this.#recallAnswered(recall, stream);
    }
  }

  /** The worker has answered this recall. */
  gaveBack(id: number, stream: string): void {
    const recall = this.#recalls.byId(id);
    if (recall !== undefined) this.#recallAnswered(recall, stream);
  }

  storeAnswered(key: LimitKey): void {
    this.supply(key);
    const recall = this.#recalls.of(key);
    if (recall !== undefined) this.#recallAnswered(recall, STORE);
  }

  /** Recalls what the workers hold; `done` when they have answered, or their time is over. */
  collect(key: LimitKey, done: () => void): void {
    const recall = this.#recalls.of(key);
    // a recall that only waits for the store must not be waited for: the other nodes may be waiting for us
    if (recall !== undefined && [...recall.missing].some((stream) => stream !== STORE)) recall.done.push(done);
    else if (this.#startRecall(key, null, false)) this.#recalls.of(key)?.done.push(done);
    else done();
  }

  /** Ends the recalls whose time is over. Who waits for the store is told that the ledger is there: a worker that hears nothing makes units of a rate itself. */
  endRecalls(nowMs: number): void {
    for (const recall of this.#recalls.all()) {
      if (nowMs >= recall.deadlineMs) this.#endRecall(recall);
      else if (recall.missing.has(STORE) && !isQuota(recall.key)) for (const { stream, id } of recall.asks) this.#post(stream, { type: 'granted', id, grants: [] });
    }
  }

  /** The answer, or null if it comes later. */
  lend(ask: Ask): LeaseGrant | null {
    if (this.#blocked(ask.key)) {
      this.#parked.set(`${ask.stream} ${ask.key}`, ask);
      return null;
    }
    const under = this.#recalls.of(ask.key);
    // who waits longer comes first
    const grant = under !== undefined && under.asks.length > 0 ? null : this.#tryGrant(ask);
    if (grant !== null) return grant;
    if (under !== undefined || this.#askStore(ask) || this.#startRecall(ask.key, ask.stream)) {
      const recall = this.#recalls.of(ask.key) as Recall;
      recall.asks = [...recall.asks.filter((other) => other.stream !== ask.stream), ask];
      return null;
    }
    return this.#deny(ask);
  }

  #blocked(key: LimitKey): boolean {
    return isQuota(key) ? this.#quotas.blocked(quotaApp(key)) : this.#unheard.size > 0;
  }

  #tryGrant(ask: Ask): LeaseGrant | null {
    const grant = this.#grant(ask);
    if (grant !== null) this.#shared?.lent(ask.key, grant.granted);
    return grant;
  }

  #grant(ask: Ask): LeaseGrant | null {
    const workers = this.#links.size;
    if (isQuota(ask.key)) return this.#quotas.tryGrant(quotaApp(ask.key), ask.stream, ask.want, workers);
    const nowMs = this.#clock.monotonicMs();
    this.#beforeRate(nowMs);
    return this.#rates.tryGrant(ask.key, ask.stream, ask.want, workers);
  }

  /** `silent`: the store was asked, and its time is over. */
  #deny(ask: Ask, silent = false): LeaseGrant {
    const told = this.#toldEmpty.get(ask.key);
    if (told === undefined) this.#toldEmpty.set(ask.key, new Set([ask.stream]));
    else told.add(ask.stream);
    const denied = isQuota(ask.key) ? this.#quotas.denied(quotaApp(ask.key)) : this.#rates.denied(ask.key);
    return silent ? { ...denied, retryAfterMs: STORE_WAIT_MS, unavailable: true } : denied;
  }

  #overdrawn(key: LimitKey): boolean {
    return isQuota(key) ? this.#quotas.overdrawn(quotaApp(key)) : this.#rates.overdrawn(key);
  }

  #available(key: LimitKey): number {
    return isQuota(key) ? this.#quotas.available(quotaApp(key)) : this.#rates.available(key);
  }

  /** The store may have some that nobody holds; answers false if there is no sense in asking it. */
  #askStore({ key, want }: Ask): boolean {
    if (this.#shared?.ask(key, want) !== true) return false;
    this.#recalls.start(key, new Set([STORE]), this.#clock.monotonicMs() + STORE_WAIT_MS, true, null);
    return true;
  }

  /** Asks everyone but `except` for what they hold; answers false if nobody holds anything. */
  #startRecall(key: LimitKey, except: string | null, elsewhere = true): boolean {
    const nowMs = this.#clock.monotonicMs();
    if (!isQuota(key) && except !== null && nowMs - (this.#lastRateRecallMs.get(key) ?? Number.NEGATIVE_INFINITY) < RATE_RECALL_MS) return false;
    const holders = isQuota(key) ? this.#quotas.holders(quotaApp(key)) : this.#rates.holders(key);
    const missing = new Set(holders.filter((stream) => stream !== except && this.#links.has(stream)));
    const workers = [...missing];
    const others = elsewhere && except !== null && this.#shared?.recall(key) === true;
    if (others) missing.add(STORE);
    if (missing.size === 0) return false;
    if (!isQuota(key)) this.#lastRateRecallMs.set(key, nowMs);
    const recall = this.#recalls.start(key, missing, nowMs + (others ? STORE_WAIT_MS : this.#recallWaitMs), false, except);
    const named = isQuota(key) ? this.#quotas.today(quotaApp(key)).key : key;
    for (const stream of workers) this.#post(stream, { type: 'recall', recall: recall.id, keys: [named] });
    return true;
  }

  #recallAnswered(recall: Recall, stream: string): void {
    if (!recall.missing.delete(stream)) return;
    if (recall.missing.size === 0) this.#endRecall(recall);
    else if (recall.missing.size === 1 && recall.missing.has(STORE)) this.#collected(recall);
  }

  #endRecall(recall: Recall): void {
    this.#recalls.end(recall);
    const silent = recall.missing.has(STORE);
    const left: Ask[] = [];
    for (const ask of recall.asks) {
      const grant = left.length > 0 ? null : this.#tryGrant(ask);
      if (grant === null) left.push(ask);
      else this.#reply(ask, grant);
    }
    this.#collected(recall);
    if (!silent && this.#lookFurther(recall, left)) {
      (this.#recalls.of(recall.key) as Recall).asks = left;
      return;
    }
    for (const ask of left) this.#reply(ask, this.#deny(ask, silent));
    this.#announce(recall.key);
  }

  /**
   * What came was too little for all who wait: the store may have more; and others, if only the store was asked, or if a worker that came later waits
   * for what the one holds for which the others were asked. Answers whether they are asked.
   */
  #lookFurther(recall: Recall, left: readonly Ask[]): boolean {
    const [first] = left;
    if (first === undefined) return false;
    if (this.#shared?.unknown(recall.key) === false && this.#askStore(first)) return true;
    const unasked = recall.first || (recall.spared !== null && left.some(({ stream }) => stream !== recall.spared));
    return unasked && this.#startRecall(recall.key, left.length === 1 ? first.stream : '');
  }

  #collected(recall: Recall): void {
    const { done } = recall;
    recall.done = [];
    for (const call of done) call();
  }

  /** Units may have come: first to those who wait for the recall, then to those who were told there are none. */
  supply(key: LimitKey): void {
    const recall = this.#recalls.of(key);
    while (recall?.asks[0] !== undefined) {
      const grant = this.#tryGrant(recall.asks[0]);
      if (grant === null) return;
      this.#reply(recall.asks[0], grant);
      recall.asks.shift();
    }
    this.#announce(key);
  }

  supplyAll(): void {
    for (const key of [...this.#toldEmpty.keys()]) this.supply(key);
  }

  /**
   * The store answers again, or does not any more. Whoever was told that nothing is known asks anew, all of them: the first few units that come would
   * call only those who are told before these are taken.
   */
  standing(): void {
    this.supplyAll();
    if (this.#shared?.up !== true) return;
    const called = new Map<string, LimitKey[]>();
    for (const [key, told] of this.#toldEmpty) {
      if (this.#blocked(key)) continue;
      this.#toldEmpty.delete(key);
      for (const stream of told) {
        const keys = called.get(stream);
        if (keys === undefined) called.set(stream, [key]);
        else keys.push(key);
      }
    }
    for (const [stream, keys] of called) this.#post(stream, { type: 'available', keys });
  }

  #announce(key: LimitKey): void {
    const told = this.#toldEmpty.get(key);
    if (told === undefined || this.#blocked(key) || this.#available(key) < 1) return;
    this.#toldEmpty.delete(key);
    for (const stream of told) this.#post(stream, { type: 'available', keys: [key] });
  }

  /** Those whose question could not be answered, if it can now. */
  unpark(): void {
    for (const [id, ask] of [...this.#parked]) {
      if (this.#blocked(ask.key)) continue;
      this.#parked.delete(id);
      const grant = this.lend(ask);
      if (grant !== null) this.#reply(ask, grant);
    }
  }

  #reply(ask: Ask, grant: LeaseGrant): void {
    this.#post(ask.stream, { type: 'granted', id: ask.id, grants: [grant] });
  }
}
