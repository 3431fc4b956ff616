/**
 * What a worker has to tell the ledger, gathered until the turn's end: one `lease` for all that is wanted and was made, one `give_back` for all that came free.
 * Nothing is said while the link is down; what is wanted then is asked for when it is up again.
 */
import type { LeaseWant, LimitKey, WorkerMessage } from '../../supervisor/protocol.js';
import type { LimitClock } from './clock.js';
import type { Lease } from './lease.js';

export interface LedgerOutboxOptions {
  readonly send: (message: WorkerMessage) => void;
  readonly clock: LimitClock;
  /** Seq of the last row that is in the spool (or was dropped and tallied); -1 before the first. */
  readonly lastWrittenSeq: () => number;
  /** Runs the flush at the turn's end. Default: setImmediate. */
  readonly defer?: (flush: () => void) => void;
  /** Demand that an allowance of a rate is to cover, ms. Default 200. */
  readonly horizonMs?: number;
  /** The same of a quota, ms. Default 5000. */
  readonly quotaHorizonMs?: number;
}

type Units = readonly (readonly [LimitKey, number])[];

export class LedgerOutbox {
  readonly #send: (message: WorkerMessage) => void;
  readonly #clock: LimitClock;
  readonly #lastWrittenSeq: () => number;
  readonly #defer: (flush: () => void) => void;
  readonly #horizonMs: number;
  readonly #quotaHorizonMs: number;
  readonly #flushNow = (): void => { this.flush(); };
  #wanted: Lease[] = [];
  #made: Lease[] = [];
  #usedChanged: Lease[] = [];
  #returning: Lease[] = [];
  #flushing = false;
  #up = false;
  #nextId = 1;

  constructor(options: LedgerOutboxOptions) {
    this.#send = options.send;
    this.#clock = options.clock;
    this.#lastWrittenSeq = options.lastWrittenSeq;
    this.#defer = options.defer ?? ((flush) => { setImmediate(flush); });
    this.#horizonMs = options.horizonMs ?? 200;
    this.#quotaHorizonMs = options.quotaHorizonMs ?? 5000;
  }

  get up(): boolean { return this.#up; }

  /** `hello` is on its way. `days`: all quotas held, which it declared. */
  open(days: Iterable<Lease>): void {
    this.#up = true;
    for (const lease of days) {
      // declared as held by hello: still to be given back
      if (lease.returning > 0) this.#returning.push(lease);
      this.used(lease);
    }
    this.tellUsed();
    this.#schedule();
  }

  close(): void {
    this.#up = false;
    this.#returning = [];
    // hello declares it
    this.#made = [];
  }

  /** More of it is wanted. */
  ask(lease: Lease): void {
    lease.queued = true;
    this.#wanted.push(lease);
    this.#schedule();
  }

  /** `lease` is asked for in the place of `before`. */
  replace(before: Lease, lease: Lease): void {
    this.#wanted[this.#wanted.indexOf(before)] = lease;
  }

  /** Units of a rate were made without the ledger. */
  made(lease: Lease): void {
    this.#made.push(lease);
    this.#schedule();
  }

  /** Units that are held go back. */
  return(lease: Lease, units: number): void {
    lease.held -= units;
    if (lease.returning === 0) this.#returning.push(lease);
    lease.returning += units;
    this.#schedule();
  }

  /** The used units of a quota are others than told. */
  used(lease: Lease): void {
    if (lease.usedChanged) return;
    lease.usedChanged = true;
    this.#usedChanged.push(lease);
  }

  flush(): void {
    this.#flushing = false;
    if (!this.#up) return;
    const made = this.#made;
    this.#made = [];
    // what was made before what is wanted: a grant must reckon with it
    this.tell(made);
    if (this.#wanted.length > 0) {
      const nowMs = this.#clock.monotonicMs();
      const id = this.#nextId++;
      const wants: LeaseWant[] = [];
      for (const lease of this.#wanted) wants.push(lease.nextWant(id, nowMs, this.#horizonMs, lease.quota ? this.#quotaHorizonMs : this.#horizonMs));
      this.#wanted = [];
      this.#send({ type: 'lease', id, wants });
    }
    if (this.#returning.length > 0) {
      const returns: [LimitKey, number][] = [];
      for (const lease of this.#returning) {
        if (lease.returning > 0) returns.push([lease.key, lease.returning]);
        lease.returning = 0;
      }
      this.#returning = [];
      if (returns.length > 0) this.giveBack(returns, null);
    }
  }

  /** Says at once what was used and made of these rates, and asks for nothing. */
  tell(leases: readonly Lease[]): void {
    const id = this.#nextId;
    const wants: LeaseWant[] = [];
    for (const lease of leases) if (lease.unreported > 0 || lease.minted > 0) wants.push(lease.tell(id, 0));
    if (wants.length === 0) return;
    this.#nextId++;
    this.#send({ type: 'lease', id, wants });
  }

  /** Says at once that units go back. */
  giveBack(returns: Units, recall: number | null): void {
    this.#send({ type: 'give_back', recall, returns });
  }

  /** Says at once what was used of quotas. Everything that changed goes in one message: the mark `lastSeq` holds for all keys of the stream. */
  tellUsed(): void {
    const used: [LimitKey, number][] = [];
    for (const lease of this.#usedChanged) {
      lease.usedChanged = false;
      used.push([lease.key, lease.used]);
    }
    this.#usedChanged = [];
    this.#send({ type: 'used', lastSeq: this.#lastWrittenSeq(), used });
  }

  #schedule(): void {
    if (this.#flushing || !this.#up) return;
    this.#flushing = true;
    this.#defer(this.#flushNow);
  }
}
