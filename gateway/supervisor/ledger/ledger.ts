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
 */
import type { Config } from '../../config/schema.js';
import type { LimitClock } from '../../policies/limits/clock.js';
import { appQuota, isQuota, quotaApp } from '../../policies/limits/keys.js';
import type { LeaseGrant, LimitKey, SupervisorMessage, WorkerMessage } from '../protocol.js';
import { Journal, type LedgerLog } from './journal.js';
import { Learning } from './learning.js';
import { limitsOf } from './limits.js';
import { QuotaBook } from './quota-book.js';
import { QuotaState } from './quota-state.js';
import { RateBook } from './rate-book.js';
import type { AppsOfDay, RecordedDay, RecordedToday, TailDrops, TailReader } from './recorded-use.js';
import type { LedgerRecord } from './records.js';

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
}

export interface LimitHeld {
  readonly key: LimitKey;
  /** A day, or a second. */
  readonly limit: number;
  /** Quotas: used today, as of the workers' last reports; rates: null. */
  readonly used: number | null;
  /** Units out with workers. */
  readonly leased: number;
}

type Send = (message: SupervisorMessage) => void;
type LedgerMessage = Extract<WorkerMessage, { type: 'used' | 'lease' | 'give_back' }>;

/** One worker's wish for units of one key (as asked: quotas without day). */
interface Ask {
  readonly stream: string;
  readonly id: number;
  readonly key: LimitKey;
  readonly want: number;
}

/** A recall under way, and who waits for what it brings. */
interface Recall {
  readonly id: number;
  readonly key: LimitKey;
  readonly missing: Set<string>;
  readonly deadlineMs: number;
  asks: Ask[];
}

/** How far ahead rates are promised to the journal; a supervisor does not start faster. */
const RATES_AHEAD_MS = 100;
/** After a restart, rates wait this long for workers to say what they hold. */
const UNHEARD_MS = 1000;
/** A rate is recalled no more often: its tokens come by themselves. */
const RATE_RECALL_MS = 100;
const COMPACT_CHECK_MS = 5000;
const FORGET_MS = 60_000;

export class Ledger {
  readonly #clock: LimitClock;
  readonly #journal: Journal;
  readonly #state = new QuotaState();
  readonly #quotas: QuotaBook;
  readonly #rates: RateBook;
  readonly #learning: Learning;
  readonly #recallWaitMs: number;
  readonly #links = new Map<string, Send>();
  /** Have declared in this life what they hold; connected or only away. */
  readonly #heard = new Set<string>();
  /** Settled in this life: nothing of theirs counts any more. */
  readonly #over = new Set<string>();
  /** In the journal, and not heard of in this life. */
  readonly #unheard: Set<string>;
  readonly #unheardUntilMs: number;
  readonly #recalls = new Map<LimitKey, Recall>();
  readonly #lastRateRecallMs = new Map<LimitKey, number>();
  /** By key: streams that were told there is none. */
  readonly #toldEmpty = new Map<LimitKey, Set<string>>();
  /** By stream and key: cannot be answered before more is known. */
  readonly #parked = new Map<string, Ask>();
  readonly #write = (record: LedgerRecord): void => {
    this.#state.apply(record);
    this.#records.push(record);
  };
  #records: LedgerRecord[] = [];
  #outbox: { readonly stream: string; readonly message: SupervisorMessage }[] = [];
  #lastRecall = 0;
  #compactAtMs: number;
  #forgetAtMs: number;

  constructor(options: LedgerOptions) {
    this.#clock = options.clock;
    this.#learning = new Learning(options.recordedToday, options.clock, options.log, (days, recorded) => { this.#learned(days, recorded); });
    this.#recallWaitMs = options.recallWaitMs ?? 250;
    this.#journal = new Journal(options.folder, options.bootId, options.log);
    const { found, records } = this.#journal.read();
    for (const record of records) this.#state.apply(record);
    if (found !== 'whole') this.#state.apply({ t: 'lost' });
    const nowMs = this.#clock.monotonicMs();
    const fromMs = found === 'lost' ? nowMs : this.#state.ratesUntilMs;
    this.#journal.compact(this.#state.snapshot());
    this.#quotas = new QuotaBook(this.#state, this.#write, this.#clock);
    this.#rates = new RateBook(this.#clock, fromMs);
    this.#unheard = new Set(this.#state.marks.keys());
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
      if (this.#overdrawn(key)) this.#startRecall(key, null);
      this.#supply(key);
    }
    this.#learn();
    this.#unpark();
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
      if (held > 0 && (this.#toldEmpty.has(asked) || this.#overdrawn(asked))) this.#startRecall(asked, null);
    }
    this.#unpark();
    this.#supplyAll();
    this.#finish();
  }

  /** The connection of a worker that has said hello is gone: it may be dead, or only away. What it holds stays its own. */
  gone(stream: string): void {
    this.#links.delete(stream);
    for (const [id, ask] of this.#parked) if (ask.stream === stream) this.#parked.delete(id);
    for (const recall of [...this.#recalls.values()]) {
      recall.asks = recall.asks.filter((ask) => ask.stream !== stream);
      this.#recallAnswered(recall, stream);
    }
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
    for (const app of apps) this.#supply(appQuota(app));
    this.#unpark();
    this.#finish();
  }

  /** Streams with something to settle: those among them that are over already must be given to `settle` at start. */
  get streams(): readonly string[] {
    return [...this.#state.marks.keys()];
  }

  /** Call it every 50 ms or so. */
  tick(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const recall of [...this.#recalls.values()]) if (nowMs >= recall.deadlineMs) this.#endRecall(recall);
    if (this.#unheard.size > 0 && nowMs >= this.#unheardUntilMs) this.#unheard.clear();
    if (this.#parked.size > 0) this.#unpark();
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

  /** Every limit that units were lent of. */
  status(): LimitHeld[] {
    const limits: LimitHeld[] = [...this.#rates.status()];
    for (const day of this.#state.today.values()) {
      let used = day.settled;
      for (const account of day.accounts.values()) used += account.used;
      limits.push({ key: day.key, limit: this.#quotas.denied(day.app).limit, used, leased: day.committed - used });
    }
    return limits;
  }

  close(): void {
    this.#learning.forget();
    this.#journal.close();
  }

  #lease(stream: string, message: Extract<WorkerMessage, { type: 'lease' }>): void {
    const grants: LeaseGrant[] = [];
    for (const { key, want, used } of message.wants) {
      if (used > 0) this.#rates.used(key, stream, used);
      if (want < 1) continue;
      const grant = this.#ask({ stream, id: message.id, key, want });
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
    for (const key of keys) this.#supply(key);
    if (message.recall === null) return;
    for (const recall of this.#recalls.values()) {
      if (recall.id !== message.recall) continue;
      this.#recallAnswered(recall, stream);
      return;
    }
  }

  /** The answer, or null if it comes later. */
  #ask(ask: Ask): LeaseGrant | null {
    if (this.#blocked(ask.key)) {
      this.#parked.set(`${ask.stream} ${ask.key}`, ask);
      return null;
    }
    const under = this.#recalls.get(ask.key);
    // who waits longer comes first
    const grant = under !== undefined && under.asks.length > 0 ? null : this.#tryGrant(ask);
    if (grant !== null) return grant;
    if (under !== undefined || this.#startRecall(ask.key, ask.stream)) {
      const recall = this.#recalls.get(ask.key) as Recall;
      recall.asks = [...recall.asks.filter((other) => other.stream !== ask.stream), ask];
      return null;
    }
    return this.#deny(ask);
  }

  #blocked(key: LimitKey): boolean {
    return isQuota(key) ? this.#quotas.blocked(quotaApp(key)) : this.#unheard.size > 0;
  }

  #tryGrant(ask: Ask): LeaseGrant | null {
    const workers = this.#links.size;
    if (isQuota(ask.key)) return this.#quotas.tryGrant(quotaApp(ask.key), ask.stream, ask.want, workers);
    const nowMs = this.#clock.monotonicMs();
    if (nowMs >= (this.#state.ratesUntilMs ?? Number.NEGATIVE_INFINITY)) this.#write({ t: 'until', monotonicMs: nowMs + RATES_AHEAD_MS });
    return this.#rates.tryGrant(ask.key, ask.stream, ask.want, workers);
  }

  #deny(ask: Ask): LeaseGrant {
    const told = this.#toldEmpty.get(ask.key);
    if (told === undefined) this.#toldEmpty.set(ask.key, new Set([ask.stream]));
    else told.add(ask.stream);
    return isQuota(ask.key) ? this.#quotas.denied(quotaApp(ask.key)) : this.#rates.denied(ask.key);
  }

  #overdrawn(key: LimitKey): boolean {
    return isQuota(key) ? this.#quotas.overdrawn(quotaApp(key)) : this.#rates.overdrawn(key);
  }

  #available(key: LimitKey): number {
    return isQuota(key) ? this.#quotas.available(quotaApp(key)) : this.#rates.available(key);
  }

  /** Asks everyone but `except` for what they hold; answers false if nobody holds anything. */
  #startRecall(key: LimitKey, except: string | null): boolean {
    const nowMs = this.#clock.monotonicMs();
    if (!isQuota(key) && except !== null && nowMs - (this.#lastRateRecallMs.get(key) ?? Number.NEGATIVE_INFINITY) < RATE_RECALL_MS) return false;
    const holders = isQuota(key) ? this.#quotas.holders(quotaApp(key)) : this.#rates.holders(key);
    const missing = new Set(holders.filter((stream) => stream !== except && this.#links.has(stream)));
    if (missing.size === 0) return false;
    if (!isQuota(key)) this.#lastRateRecallMs.set(key, nowMs);
    const recall: Recall = { id: ++this.#lastRecall, key, missing, deadlineMs: nowMs + this.#recallWaitMs, asks: this.#recalls.get(key)?.asks ?? [] };
    this.#recalls.set(key, recall);
    const named = isQuota(key) ? this.#quotas.today(quotaApp(key)).key : key;
    for (const stream of missing) this.#post(stream, { type: 'recall', recall: recall.id, keys: [named] });
    return true;
  }

  #recallAnswered(recall: Recall, stream: string): void {
    if (recall.missing.delete(stream) && recall.missing.size === 0) this.#endRecall(recall);
  }

  #endRecall(recall: Recall): void {
    if (this.#recalls.get(recall.key) === recall) this.#recalls.delete(recall.key);
    for (const ask of recall.asks) this.#reply(ask, this.#tryGrant(ask) ?? this.#deny(ask));
    this.#announce(recall.key);
  }

  /** Units may have come: first to those who wait for the recall, then to those who were told there are none. */
  #supply(key: LimitKey): void {
    const recall = this.#recalls.get(key);
    while (recall?.asks[0] !== undefined) {
      const grant = this.#tryGrant(recall.asks[0]);
      if (grant === null) return;
      this.#reply(recall.asks[0], grant);
      recall.asks.shift();
    }
    this.#announce(key);
  }

  #supplyAll(): void {
    for (const key of [...this.#toldEmpty.keys()]) this.#supply(key);
  }

  #announce(key: LimitKey): void {
    const told = this.#toldEmpty.get(key);
    if (told === undefined || this.#blocked(key) || this.#available(key) < 1) return;
    this.#toldEmpty.delete(key);
    for (const stream of told) this.#post(stream, { type: 'available', keys: [key] });
  }

  #unpark(): void {
    for (const [id, ask] of [...this.#parked]) {
      if (this.#blocked(ask.key)) continue;
      this.#parked.delete(id);
      const grant = this.#ask(ask);
      if (grant !== null) this.#reply(ask, grant);
    }
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
    this.#unpark();
    this.#supplyAll();
    this.#finish();
  }

  #reply(ask: Ask, grant: LeaseGrant): void {
    this.#post(ask.stream, { type: 'granted', id: ask.id, grants: [grant] });
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
