import type { LimitAnswer } from '../../exchange.js';
import type { LeaseWant, LimitKey } from '../../supervisor/protocol.js';
import type { LimitClock } from './clock.js';
import { isQuota, policyName } from './keys.js';

/** Demand is measured over this at least, so that one burst is not taken for a rate. */
const LEAST_SPAN_MS = 50;

/** A sixteenth of what is left is a small part. */
const SMALL_PART = 16;

export type AskResult = 'taken' | 'empty' | 'unavailable';

/** A request that waits for the ledger. */
export interface Waiter {
  readonly resolve: (result: AskResult) => void;
  /** Monotonic ms. */
  readonly deadlineMs: number;
}

/** The one object per limit that RateLimit fields are read from; it is filled in anew each time a policy speaks. */
export class LeaseAnswer implements LimitAnswer {
  readonly policy: string;
  limit = 0;
  windowSeconds = 1;
  remaining = 0;
  resetSeconds = 1;

  constructor(key: LimitKey) {
    this.policy = policyName(key);
  }
}

/**
 * What a worker holds of one limit.
 *
 *   granted and not given back = held + inFlight + returning + used          (quotas)
 *   granted and not given back = held + unreported + what was reported used  (rates)
 */
export class Lease {
  /** What is asked for: `qpd:app:A` for a quota. */
  readonly askKey: LimitKey;
  /** What is granted: `qpd:app:A:DAY` for a quota; '' before the first grant. */
  key: LimitKey;
  readonly quota: boolean;
  readonly answer: LeaseAnswer;
  /** Units that the next requests may take. */
  held = 0;
  /** Quota: units of requests whose row is not written yet. */
  inFlight = 0;
  /** Quota: units freed that go back with the next flush. */
  returning = 0;
  /** Quota: units of rows written, in all. */
  used = 0;
  /** Quota: `used` is to be told. */
  usedChanged = false;
  /** Rate: units taken since the ledger was last told. */
  unreported = 0;
  /** Quota: the ledger is empty and asked for what this worker holds; units that come free go back at once. */
  drained = false;
  /** Units that are wanted in hand. */
  target = 1;
  /** At this many held, more is asked for; -1: the ledger is known to have none. */
  lowWater = 0;
  /** Units taken since the last ask, and when that was (monotonic ms): the demand. */
  consumed = 0;
  askedAtMs = 0;
  /** To be asked for at the turn's end. */
  queued = false;
  /** Asked for; no answer yet. */
  pending = false;
  /** Until then (monotonic ms) the ledger is known to have none. */
  emptyUntilMs = 0;
  /** Until then it is rather not known: the store that nodes share could not be asked. */
  unknown = false;
  /** Quota: the day (ms since the epoch, half open). Rates have no day. */
  dayStartMs = Number.NEGATIVE_INFINITY;
  dayEndMs = Number.POSITIVE_INFINITY;
  /** As the ledger said last: what it had left. */
  ledgerRemaining = 0;
  limit = 0;
  /** Rate: units that all workers together may have unspent. */
  burst = 0;
  /** When the oldest ask that has no answer was made (monotonic ms); infinity: there is none. */
  unansweredFromMs = Number.POSITIVE_INFINITY;
  /** Rate: up to then (monotonic ms) this worker has made units itself, the ledger being away or silent. */
  mintedToMs = 0;
  /** Rate: units made so, not told yet. */
  minted = 0;
  /** Rate: units made so that the ledger may not have reckoned with in what it grants. */
  unsettled = 0;
  /** Rate: the message that told of units made so last. */
  mintedToldId = 0;
  /** Sweep in which it was last used. */
  lastSweep = 0;
  waiters: Waiter[] = [];

  constructor(askKey: LimitKey) {
    this.askKey = askKey;
    this.quota = isQuota(askKey);
    this.key = this.quota ? '' : askKey;
    this.answer = new LeaseAnswer(askKey);
  }

  /** Units that the ledger counts as out and that this worker has not used. */
  get outstanding(): number {
    return this.held + this.inFlight + this.returning;
  }

  take(): void {
    this.held--;
    this.consumed++;
    if (this.quota) this.inFlight++;
    else this.unreported++;
  }

  /**
   * Makes units of a rate: this worker's share of what the ledger would have since `fromMs` (monotonic), its share of the burst at most; answers
   * whether there is one. The ledger is told, and takes them off what it has.
   */
  mint(nowMs: number, fromMs: number, shares: number): boolean {
    const unitsPerMs = this.limit / shares / 1000;
    const mostUnits = Math.max(1, Math.floor(this.burst / shares));
    const sinceMs = Math.max(this.mintedToMs, fromMs, nowMs - (mostUnits + 1) / unitsPerMs);
    const units = Math.min(mostUnits, Math.floor((nowMs - sinceMs) * unitsPerMs));
    if (units < 1) {
      this.emptyUntilMs = sinceMs + 1 / unitsPerMs;
      return false;
    }
    this.mintedToMs = sinceMs + units / unitsPerMs;
    this.held += units;
    this.minted += units;
    this.unsettled += units;
    return true;
  }

  /** Units granted in answer to message `id`. Asked for before the ledger was told of units made here, they are those units: not to be spent again. */
  credit(units: number, id: number): void {
    if (id > this.mintedToldId && this.minted === 0) this.unsettled = 0;
    const spent = Math.min(units, this.unsettled);
    this.unsettled -= spent;
    this.unreported += spent;
    this.held += units - spent;
  }

  /**
   * What to ask for now: demand since the last ask tells how much `horizonMs` of it takes; up to `longHorizonMs` of it while that is a small part of what
   * the ledger has left (what a worker holds when it dies is out until its stream is settled). Up at once, down by halves.
   */
  nextWant(id: number, nowMs: number, horizonMs: number, longHorizonMs: number): LeaseWant {
    const perMs = this.consumed / Math.max(LEAST_SPAN_MS, nowMs - this.askedAtMs);
    const demand = Math.ceil(Math.max(perMs * horizonMs, Math.min(perMs * longHorizonMs, this.ledgerRemaining / SMALL_PART)));
    this.target = Math.max(1, demand >= this.target ? demand : Math.ceil((this.target + demand) / 2));
    this.consumed = 0;
    this.askedAtMs = nowMs;
    this.queued = false;
    this.pending = true;
    this.unansweredFromMs = Math.min(this.unansweredFromMs, nowMs);
    return this.tell(id, Math.max(1, this.target + this.waiters.length - this.held));
  }

  /** What message `id` says of it: the wish for `want` units, and of a rate the units used and made since it was told last. */
  tell(id: number, want: number): LeaseWant {
    const { unreported: used, minted: made } = this;
    this.unreported = 0;
    if (made === 0) return { key: this.askKey, want, used };
    this.minted = 0;
    this.mintedToldId = id;
    return { key: this.askKey, want, used, made };
  }

  /** The ledger may have some again. */
  mayAsk(): void {
    this.emptyUntilMs = 0;
    this.unknown = false;
    this.lowWater = this.target >> 1;
  }

  knowEmpty(untilMs: number, unknown: boolean): void {
    this.emptyUntilMs = untilMs;
    this.unknown = unknown;
    this.lowWater = -1;
  }

  /** Gives what is held to who waits, in their order. */
  serve(): void {
    if (this.waiters.length === 0) return;
    let served = 0;
    while (served < this.waiters.length && this.held > 0) {
      this.take();
      this.waiters[served++]?.resolve('taken');
    }
    this.waiters.splice(0, served);
  }

  dismiss(result: AskResult): void {
    for (const waiter of this.waiters) waiter.resolve(result);
    this.waiters = [];
  }

  /** Ends the waits that are over; answers how many. They came in order, so their deadlines are in order. */
  expire(nowMs: number): number {
    let over = 0;
    while (over < this.waiters.length && (this.waiters[over]?.deadlineMs ?? 0) <= nowMs) this.waiters[over++]?.resolve('unavailable');
    this.waiters.splice(0, over);
    return over;
  }

  /** What RateLimit fields say now. `nowMs`: ms since the epoch. */
  answerAt(nowMs: number, clock: LimitClock): LeaseAnswer {
    const { answer } = this;
    answer.limit = this.limit;
    answer.remaining = this.held + this.ledgerRemaining;
    if (this.quota) {
      answer.windowSeconds = Math.round((this.dayEndMs - this.dayStartMs) / 1000);
      answer.resetSeconds = Math.max(1, Math.ceil((this.dayEndMs - nowMs) / 1000));
    } else {
      answer.resetSeconds = this.held > 0 || this.emptyUntilMs === 0 ? 1 : Math.max(1, Math.ceil((this.emptyUntilMs - clock.monotonicMs()) / 1000));
    }
    return answer;
  }
}
