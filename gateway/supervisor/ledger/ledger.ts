/**
 * The ledger of limits: lends units of rates and quotas to workers, and knows where each is. One per node, in the supervisor.
 *
 * Each call changes state, writes what changed to the journal in one write, and only then sends what is to be sent: nothing that a
 * worker is told can be forgotten by a kill.
 *
 *   want -> enough left            -> granted
 *        -> nothing left           -> recall from every other holder -> granted as units come back
 *                                                                    -> all have answered, or recallWaitMs is over: granted 0
 *   units come back later          -> `available` to whoever was told 0
 *
 * Where nodes share limits through a store (shared-limits.ts), the store is asked first for what is free, and stands among the holders in a recall:
 * it asks the other nodes.
 */
import type { Config } from '../../config/schema.js';
import type { LimitClock } from '../../policies/limits/clock.js';
import { appQuota, isQuota, quotaApp } from '../../policies/limits/keys.js';
import type { LeaseGrant, LimitKey, SupervisorMessage, WorkerMessage } from '../protocol.js';
import { Journal, type LedgerLog } from './journal.js';
import { Learning } from './learning.js';
import { Lending } from './lending.js';
import { limitsOf } from './limits.js';
import { QuotaBook } from './quota-book.js';
import { QuotaState } from './quota-state.js';
import { RateBook } from './rate-book.js';
import type { AppsOfDay, RecordedDay, RecordedToday, TailDrops, TailReader } from './recorded-use.js';
import type { LedgerRecord } from './records.js';
import type { NodeQuota, NodeRate, SharedLimits, SharingLedger } from './shared-limits.js';

export interface LedgerOptions {
  /** data_dir/ledger */
  readonly folder: string;
  /** The kernel's boot id: a journal of another start of the machine may lack its end. */
  readonly bootId: string;
  readonly clock: LimitClock;
  readonly log: LedgerLog;
  readonly recordedToday: RecordedToday;
  /** Longest wait for workers to give back what they hold, ms. Default 250. */
  readonly recallWaitMs?: number;
  /** The store through which nodes share limits. Default: none, this node is alone. */
  readonly shared?: (ledger: SharingLedger) => SharedLimits;
}

export interface LimitHeld {
  readonly key: LimitKey;
  /** A day, or a second. */
  readonly limit: number;
  /** Quotas: used today, as of the workers' last reports, or null while that is not known; rates: null. */
  readonly used: number | null;
  /** Units out with workers. */
  readonly leased: number;
}

type Send = (message: SupervisorMessage) => void;
type LedgerMessage = Extract<WorkerMessage, { type: 'used' | 'lease' | 'give_back' }>;

/** How far ahead rates are promised to the journal; a supervisor does not start faster. */
const RATES_AHEAD_MS = 100;
/** After a restart, rates wait this long for workers to say what they hold. */
const UNHEARD_MS = 1000;
const COMPACT_CHECK_MS = 5000;
const FORGET_MS = 60_000;

export class Ledger implements SharingLedger {
  readonly #clock: LimitClock;
  readonly #journal: Journal;
  readonly #state = new QuotaState();
  readonly #quotas: QuotaBook;
  readonly #rates: RateBook;
  readonly #learning: Learning;
  readonly #links = new Map<string, Send>();
  /** Have declared in this life what they hold; connected or only away. */
  readonly #heard = new Set<string>();
  /** Settled in this life: nothing of theirs counts any more. */
  readonly #over = new Set<string>();
  /** In the journal, and not heard of in this life. */
  readonly #unheard: Set<string>;
  readonly #unheardUntilMs: number;
  readonly #lending: Lending;
  readonly #write = (record: LedgerRecord): void => {
    this.#state.apply(record);
    this.#records.push(record);
  };
  #records: LedgerRecord[] = [];
  #outbox: { readonly stream: string; readonly message: SupervisorMessage }[] = [];
  #compactAtMs: number;
  #forgetAtMs: number;

  constructor(options: LedgerOptions) {
    this.#clock = options.clock;
    this.#learning = new Learning(options.recordedToday, options.clock, options.log, (days, recorded) => { this.#learned(days, recorded); });
    this.#journal = new Journal(options.folder, options.bootId, options.log);
    const { found, records } = this.#journal.read();
    for (const record of records) this.#state.apply(record);
    if (found !== 'whole') this.#state.apply({ t: 'lost' });
    const nowMs = this.#clock.monotonicMs();
    const fromMs = found === 'lost' ? nowMs : this.#state.ratesUntilMs;
    this.#journal.compact(this.#state.snapshot());
    const shared = options.shared?.(this) ?? null;
    this.#quotas = new QuotaBook(this.#state, this.#write, this.#clock, shared);
    this.#rates = new RateBook(this.#clock, fromMs, shared);
    this.#unheard = new Set(this.#state.marks.keys());
    this.#lending = new Lending({
      quotas: this.#quotas, rates: this.#rates, shared, clock: this.#clock, recallWaitMs: options.recallWaitMs ?? 250, links: this.#links, unheard: this.#unheard,
      beforeRate: (at) => { this.#promiseRates(at); }, post: (stream, message) => { this.#post(stream, message); },
    });
    this.#unheardUntilMs = nowMs + UNHEARD_MS;
    this.#compactAtMs = nowMs + COMPACT_CHECK_MS;
    this.#forgetAtMs = nowMs + FORGET_MS;
  }

  /** Limits as they are from now on; nothing is reset. Call it before workers are told of the configuration. */
  configure(config: Config): void {
    const limits = limitsOf(config);
    const rates = this.#rates.configure(limits.rates);
    const apps = this.#quotas.configure(limits.quotas);
    for (const key of [...rates, ...apps.map(appQuota)]) {
      this.#lending.limitChanged(key);
    }
    this.#learn();
    this.#lending.unpark();
    this.#finish();
  }

  /** A worker has connected and says what it holds. Connections that it had before must be closed, and what came by them no longer handed in. */
  hello(hello: Extract<WorkerMessage, { type: 'hello' }>, send: Send): void {
    const { stream } = hello;
    // a word of the dead, left in the socket
    if (this.#over.has(stream)) return;
    this.#links.set(stream, send);
    this.#heard.add(stream);
    this.#unheard.delete(stream);
    this.#quotas.declare(stream, hello.held.filter(({ key }) => isQuota(key)));
    this.#rates.declare(stream, hello.held.filter(({ key }) => !isQuota(key)));
    for (const { key, held } of hello.held) {
      const asked = isQuota(key) ? appQuota(quotaApp(key)) : key;
      // it was away when its units were looked for
      if (held > 0) this.#lending.lookFor(asked);
    }
    this.#lending.unpark();
    this.#lending.supplyAll();
    this.#finish();
  }

  /** The connection of a worker that has said hello is gone: it may be dead, or only away. What it holds stays its own. */
  gone(stream: string): void {
    this.#links.delete(stream);
    this.#lending.gone(stream);
    this.#finish();
  }

  message(stream: string, message: LedgerMessage): void {
    if (!this.#links.has(stream)) return;
    switch (message.type) {
      case 'used': this.#quotas.used(stream, message.lastSeq, message.used); break;
      case 'lease': this.#lease(stream, message); break;
      case 'give_back': this.#giveBack(stream, message); break;
    }
    this.#finish();
  }

  /**
   * The worker of this stream is proven dead: what its rows do not say was used comes back. Call it for every stream that ends, before the
   * seal is written (a sealed stream's segments may be deleted), each once; a second time changes nothing.
   * Throws what `read` throws: then nothing is settled.
   * @param read the stream's readable rows from a seq on
   * @param lastSeq the last seq that was given out, if more is known than the rows say (drops); null: not known
   * @param drops null: what was dropped is not known by app
   */
  settle(stream: string, read: TailReader, lastSeq: number | null, drops: TailDrops | null = null): void {
    if (this.#over.has(stream)) return;
    this.gone(stream);
    // if its rows cannot be read, nothing is settled, and it is called again
    const apps = this.#quotas.settle(stream, read, lastSeq, drops);
    this.#over.add(stream);
    this.#heard.delete(stream);
    this.#unheard.delete(stream);
    this.#rates.declare(stream, []);
    if (this.#quotas.lost) {
      // recorded events are asked again: what was read before may lack its last rows
      this.#learning.forget();
      this.#learn();
    }
    for (const app of apps) this.#lending.supply(appQuota(app));
    this.#lending.unpark();
    this.#finish();
  }

  /** Streams with something to settle: those among them that are over already must be given to `settle` at start. */
  get streams(): readonly string[] {
    return [...this.#state.marks.keys()];
  }

  /** Call it every 50 ms or so. */
  tick(): void {
    const nowMs = this.#clock.monotonicMs();
    this.#lending.endRecalls(nowMs);
    if (this.#unheard.size > 0 && nowMs >= this.#unheardUntilMs) this.#unheard.clear();
    this.#lending.unpark();
    this.#learn();
    if (nowMs >= this.#forgetAtMs) {
      this.#forgetAtMs = nowMs + FORGET_MS;
      this.#quotas.forget();
    }
    this.#finish();
    if (nowMs >= this.#compactAtMs) {
      this.#compactAtMs = nowMs + COMPACT_CHECK_MS;
      if (this.#journal.due) this.#journal.compact(this.#state.snapshot());
    }
  }

  /** Every limit in force that units are lent of. */
  status(): LimitHeld[] {
    return [...this.#rates.status(), ...this.#quotas.status()];
  }

  /** Of them, the quotas. */
  quotas(): LimitHeld[] {
    return [...this.#quotas.status()];
  }

  close(): void {
    this.#learning.forget();
    this.#journal.close();
  }

  quota(key: LimitKey): NodeQuota | null {
    const quota = this.#quotas.node(quotaApp(key));
    // it may have opened a day
    this.#finish();
    return quota;
  }

  rate(key: LimitKey): NodeRate | null { return this.#rates.node(key); }

  agree(dated: LimitKey, units: number): void {
    this.#quotas.agree(dated, units);
    this.#finish();
  }

  early(key: LimitKey): void {
    this.#quotas.early(quotaApp(key));
    this.#finish();
  }

  turn(key: LimitKey, day: string, startMs: number, endMs: number): void {
    this.#quotas.turn(quotaApp(key), day, startMs, endMs);
    this.#finish();
  }

  idle(key: LimitKey): number { return this.#rates.available(key); }

  told(key: LimitKey, made: number): void { this.#rates.told(key, made); }

  credit(key: LimitKey, units: number): void { this.#rates.credit(key, units); }

  takeIdle(key: LimitKey): number { return this.#rates.takeIdle(key); }

  answered(key: LimitKey): void {
    this.#lending.storeAnswered(key);
    this.#finish();
  }

  collect(key: LimitKey, done: () => void): void {
    this.#lending.collect(key, done);
    this.#finish();
  }

  standing(): void {
    this.#rates.standing();
    this.#lending.standing();
    this.#finish();
  }

  #lease(stream: string, message: Extract<WorkerMessage, { type: 'lease' }>): void {
    const grants: LeaseGrant[] = [];
    for (const { key, want, used, made = 0 } of message.wants) {
      if (made > 0) this.#rates.made(key, stream, made);
      if (used > 0) this.#rates.used(key, stream, used);
      if (want < 1) continue;
      const grant = this.#lending.lend({ stream, id: message.id, key, want });
      if (grant !== null) grants.push(grant);
    }
    if (grants.length > 0) this.#post(stream, { type: 'granted', id: message.id, grants });
  }

  #giveBack(stream: string, message: Extract<WorkerMessage, { type: 'give_back' }>): void {
    const keys = new Set<LimitKey>();
    for (const [key, units] of message.returns) {
      if (isQuota(key)) this.#quotas.giveBack(key, stream, units);
      else this.#rates.giveBack(key, stream, units);
      keys.add(isQuota(key) ? appQuota(quotaApp(key)) : key);
    }
    for (const key of keys) this.#lending.supply(key);
    if (message.recall === null) return;
    this.#lending.gaveBack(message.recall, stream);
  }

  /** Asks what recorded events say of apps that the ledger has no account of. */
  #learn(): void {
    if (!this.#quotas.ignorant || !this.#learning.idle) return;
    const days = this.#quotas.unknownDays();
    if (days.length > 0) this.#learning.ask(days);
    // no quota is in force, so there is nothing to be mistaken about
    else this.#quotas.learn([], { open: [], counts: [] }, this.#heard, this.#over);
  }

  #learned(days: readonly AppsOfDay[], recorded: RecordedDay): void {
    this.#quotas.learn(days, recorded, this.#heard, this.#over);
    // the configuration may have changed meanwhile
    this.#learn();
    this.#lending.unpark();
    this.#lending.supplyAll();
    this.#finish();
  }

  /** A restart finds out up to when rates may have been lent. */
  #promiseRates(nowMs: number): void {
    if (nowMs >= (this.#state.ratesUntilMs ?? Number.NEGATIVE_INFINITY)) this.#write({ t: 'until', monotonicMs: nowMs + RATES_AHEAD_MS });
  }

  #post(stream: string, message: SupervisorMessage): void {
    this.#outbox.push({ stream, message });
  }

  /** Writes down, then speaks. What cannot be written down is not said: who asked finds the ledger unavailable. */
  #finish(): void {
    const records = this.#records;
    const outbox = this.#outbox;
    this.#records = [];
    this.#outbox = [];
    try {
      this.#journal.append(records);
    } catch {
      return;
    }
    for (const { stream, message } of outbox) this.#links.get(stream)?.(message);
  }
}
