/**
 * Billing: closes the days of all apps, each when it is over, its grace is over and its record is whole, and answers what the days have come to.
 *
 * Open, until the day's end in the app's zone; closing, until it can be closed; closed, for ever. An app's days are closed in their order. With each, what came later for the days
 * before it becomes an adjustment. Any collector may close: the ledger lets one of them (ledger.ts).
 */
import { createHash } from 'node:crypto';
import { InvalidParameterError } from '../../errors/invalid-parameter.js';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { AppConfig } from '../../gateway/config/schema.js';
import type { SpoolLog } from '../../gateway/events/spool-log.js';
import type { Completeness } from '../completeness/completeness.js';
import { MAX_ROWS } from '../reports/report-store.js';
import type { Store } from '../store/store.js';
import { nextDay, type AppDay } from './app-days.js';
import { boundsOf, closableDays, countedKey, groupsOf, notNext, type Book, type DayGroup } from './book.js';
import { adjustmentEntry, creditEntry, usageEntry, type DueDay } from './closing.js';
import { dayCounts, droppedDays, RawDays } from './day-counts.js';
import { entryId } from './entry-checksum.js';
import type { BillingEntry, ClosedEntries, DayStatus, EntrySelection } from './entry.js';
import { inStatements, Ledger, type BatchProof, type LedgerEntry } from './ledger.js';
import { OperatorNotes, type OperatorNote } from './operator-notes.js';
import { TermsBook } from './terms-book.js';

export interface BillingDeps {
  readonly store: Store;
  /** ms since the epoch: everything that had reached the log before it is stored. */
  asOfMs(): number;
  /** See collector/completeness: of [fromMs, toMs). */
  judge(fromMs: number, toMs: number): Promise<Pick<Completeness, 'complete' | 'reasons' | 'streams'>>;
  readonly log: SpoolLog;
  readonly nowMs?: () => number;
}

/** What the configuration in force says. */
export interface BillingConfig {
  readonly apps: readonly AppConfig[];
  readonly graceMs: number;
  /** For how long raw events are kept, ms: of what can be counted again. */
  readonly keepEventsMs: number;
  /** ms since the epoch: since when it has been in force. */
  readonly sinceMs: number;
}

/** A day as GET /v1/billing/days tells it; one that is not closed with what it waits for, and to the operator what was noted on it. */
export type ToldDay = BillingEntry & { readonly reasons?: readonly string[]; readonly notes?: readonly Omit<OperatorNote, 'entry_id'>[] };

export interface BillingStatus {
  /** Days that are over and not closed, of all apps; and since when the oldest of them is over. */
  readonly closing: number;
  readonly closing_since: string | null;
  /** Of them, those whose record is not whole. */
  readonly incomplete: number;
  readonly failing: string | null;
}

/** `raw`: read before it was judged. */
type GroupVerdict = Pick<Completeness, 'complete' | 'reasons' | 'streams'> & { readonly raw: RawDays };

/** What another collector noted is seen within this. */
const LOOK_AGAIN_MS = 300_000;
/** A record that is not whole may be by now. */
const JUDGE_AGAIN_MS = 60_000;
/** Another collector wrote a batch in between: so often, at most, an operator's word is tried again. */
const TRIES = 10;
const DAY_MS = 86_400_000;
/** When the last zone, UTC-12, has a date, all days before that date may have been exported. */
const LAST_ZONE_MS = 12 * 3_600_000;
const OTHERS_WRITE = 'Other collectors write to the ledger all the time.';
export const MOST_REASON = 500;
/** What a double counts exactly, with room for sums. */
const MOST_CREDIT = 1_000_000_000_000;

export class Billing implements ClosedEntries {
  readonly notes: OperatorNotes;
  readonly #deps: BillingDeps;
  readonly #nowMs: () => number;
  readonly #ledger: Ledger;
  readonly #terms: TermsBook;
  #config: BillingConfig | null = null;
  /** What came into force and is not noted yet, in its order: the store may be away meanwhile. */
  readonly #unnoted: BillingConfig[] = [];
  /** Another collector has noted another configuration than this one's. */
  #contradicted: string | null = null;
  /** When there may be something to close. */
  #dueMs = 0;
  /** By bounds: days that wait for nothing but a record that is not whole. */
  readonly #incomplete = new Set<string>();
  /** By bounds and apps: how many raw events there were when they were counted last. */
  readonly #counted = new Map<string, string>();
  #line: Promise<unknown> = Promise.resolve();
  #closing: { readonly count: number; readonly sinceMs: number | null } = { count: 0, sinceMs: null };
  #failing: string | null = null;
  #stepping = false;
  #stopped = false;

  constructor(deps: BillingDeps) {
    this.#deps = deps;
    this.#nowMs = deps.nowMs ?? Date.now;
    this.#ledger = new Ledger(deps.store);
    this.#terms = new TermsBook(deps.store);
    this.notes = new OperatorNotes(deps.store);
  }

  /** From the next step on. */
  configure(config: BillingConfig): void {
    this.#config = config;
    this.#unnoted.push(config);
    this.#dueMs = 0;
  }

  /** Closes what can be closed by now. Never throws: it is called again, and nothing waits for it. */
  async step(): Promise<void> {
    if (this.#config === null || this.#stopped || this.#stepping || (this.#unnoted.length === 0 && this.#nowMs() < this.#dueMs)) return;
    this.#stepping = true;
    try {
      await this.#alone(() => this.#closeDue());
      if (this.#failing !== null) this.#deps.log.info({}, 'days are closed again');
      this.#failing = null;
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      if (detail !== this.#failing) this.#deps.log.error({ err: error }, 'days cannot be closed; storing goes on, and they are closed later');
      this.#failing = detail;
    } finally {
      this.#stepping = false;
    }
  }

  /** Waits for what is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#line;
  }

  status(): BillingStatus {
    const { count, sinceMs } = this.#closing;
    return { closing: count, closing_since: sinceMs === null ? null : iso(sinceMs), incomplete: this.#incomplete.size, failing: this.#failing ?? this.#contradicted };
  }

  closed(selection: EntrySelection): AsyncIterable<readonly BillingEntry[]> {
    return this.#ledger.closed(selection);
  }

  async unclosed(selection: EntrySelection, limit: number): Promise<readonly { readonly app: string; readonly day: string; readonly status: DayStatus; readonly reasons: readonly string[] }[]> {
    const found: { app: string; day: string; status: DayStatus; reasons: readonly string[] }[] = [];
    for (const { app, day } of this.#daysToCome(await this.#read(), selection)) {
      if (found.push({ app, day: day.day, ...this.#standing(day) }) >= limit) break;
    }
    return found;
  }

  /** Entries, of all customers where they are null: of closed days; then credits that wait for their day; then days that are not closed, with what they have come to so far. @throws report_too_large; billing_damaged; what the store throws */
  async days(selection: EntrySelection, customers: readonly string[] | null = null, signal?: AbortSignal): Promise<readonly ToldDay[]> {
    const book = await this.#read();
    const told: ToldDay[] = [];
    const add = (days: readonly ToldDay[]): void => {
      told.push(...days.filter(({ customer }) => customers?.includes(customer) ?? true));
      if (told.length > MAX_ROWS) throw new TidegateError('report_too_large', `These are more than ${MAX_ROWS} rows.`);
    };
    for await (const page of this.#ledger.closed(selection)) add(page);
    add((await this.#ledger.waiting(selection)).map((entry) => ({ ...entry, status: 'open', checksum: '' })));
    for (const { startMs, endMs, due } of groupsOf([...this.#daysToCome(book, selection)])) {
      signal?.throwIfAborted();
      const counts = await dayCounts(this.#deps.store, startMs, endMs, selection.apps);
      add(due.map((each) => {
        const { status, reasons } = this.#standing(each.day);
        return { ...exported(usageEntry(each, counts.get(each.app), false, '')), entry_id: '', status, checksum: '', reasons };
      }));
    }
    return told;
  }

  /**
   * Closes days by an operator's word, their grace being over.
   * @param app null: of all apps @param acceptGap why a day is closed whose record is not whole; null: it is not @param note for operators alone; null: none
   * @returns what was closed. @throws billing_day_open, billing_day_closed, billing_day_incomplete; invalid_parameter: nobody knows the app
   */
  close(day: string, app: string | null, acceptGap: string | null, note: string | null = null): Promise<readonly BillingEntry[]> {
    return this.#alone(async () => {
      const notedMs = this.#nowMs();
      const closed: BillingEntry[] = [];
      for (let tries = 0; tries < TRIES; tries++) {
        const book = await this.#load();
        const due = closableDays(book, day, app);
        if (due.length === 0) {
          if (closed.length > 0) return closed;
          throw notNext(book, day, app);
        }
        const [group] = groupsOf(due) as [DayGroup];
        const verdict = this.#isOver(group) ? await this.#judge(group) : null;
        if (verdict === null || (!verdict.complete && acceptGap === null)) {
          // what is closed is closed: of the rest, in another zone, tidegate billing days tells
          if (closed.length > 0) return closed;
          throw verdict === null ? new TidegateError('billing_day_open', `${day} waits for late events until ${iso(this.#overMs(group))}`)
            : new TidegateError('billing_day_incomplete', `${day}: ${verdict.reasons.join('; ')}`);
        }
        if (note !== null) await this.notes.add(group.due.map((each) => entryId('usage', each.app, each.day.day)), note, notedMs);
        const entries = await this.#closeGroup(book.batch, group, verdict, verdict.complete ? '' : acceptGap ?? '');
        closed.push(...entries.filter(({ kind }) => kind === 'usage'));
        // the day after may have waited for this one
        this.#dueMs = 0;
        if (entries.length > 0) tries = 0;
      }
      throw new TidegateError('report_busy', OTHERS_WRITE);
    });
  }

  /**
   * Notes a credit (or, above 0, a charge) for a closed day on the app's next day that is not.
   * @param requests more on the bill, or less; never less than nothing @param id the caller's: said again, it is the same credit @param note for operators alone
   * @throws billing_day_open; invalid_parameter
   */
  async adjust({ app, day, requests, reason, id, note }: { readonly app: string; readonly day: string; readonly requests: number; readonly reason: string; readonly id: string; readonly note?: string }): Promise<BillingEntry> {
    if (!Number.isSafeInteger(requests) || requests === 0 || Math.abs(requests) > MOST_CREDIT) throw new InvalidParameterError('requests', 'must be a whole number other than 0: -500 takes 500 off the bill');
    return this.#alone(async () => {
      const notedMs = this.#nowMs();
      for (let tries = 0; tries < TRIES; tries++) {
        const book = await this.#load();
        const known = await this.#ledger.entry(entryId('credit', app, day, id));
        if (known !== null) {
          if (known.billable !== requests || known.reason !== reason) throw new InvalidParameterError('id', `is that of another credit: of ${known.billable} requests (${known.reason})`);
          if (note !== undefined) await this.notes.add([known.entry_id], note, notedMs);
          return known;
        }
        const account = book.accounts.get(app);
        if (account === undefined) throw new InvalidParameterError('app', 'no configuration has named it');
        const billed = await this.#ledger.billedDay(app, day);
        if (billed === null) throw new TidegateError('billing_day_open', `${day} of ${app} is not closed${account.last === null ? '' : `; its last closed day is ${account.last.day}`}`);
        if (account.next === null) throw new InvalidParameterError('app', 'was removed so long ago that it has no day on which a credit could stand: name it in the configuration again');
        if (billed.billable + requests < 0) throw new InvalidParameterError('requests', `would take ${-requests} off the ${billed.billable} that are billed of ${day}`);
        const entry = creditEntry({ app, terms: account.terms, day: account.next }, billed, requests, reason, id);
        if (note !== undefined) await this.notes.add([entry.entry_id], note, notedMs);
        if (await this.#ledger.append(book.batch + 1, [entry], { asOfMs: this.#deps.asOfMs(), coverage: '' })) return exported(entry);
      }
      throw new TidegateError('report_busy', OTHERS_WRITE);
    });
  }

  async #closeDue(): Promise<void> {
    const { graceMs } = this.#config as BillingConfig;
    for (let progress = true; progress && !this.#stopped;) {
      progress = false;
      const book = await this.#load();
      const nowMs = this.#nowMs();
      this.#compareConfigurations(book);
      const next = [...book.accounts].flatMap(([app, { terms, next: day }]): DueDay[] => (day === null ? [] : [{ app, terms, day }]));
      const over = next.filter(({ day }) => day.endMs <= nowMs);
      this.#closing = { count: over.length, sinceMs: least(over.map(({ day }) => day.endMs)) };
      const groups = groupsOf(over.filter(({ day }) => day.endMs + graceMs <= nowMs));
      const known = new Set(groups.map(boundsOf));
      for (const bounds of this.#incomplete) if (!known.has(bounds)) this.#incomplete.delete(bounds);
      for (const group of groups) {
        const verdict = await this.#judge(group);
        if (!verdict.complete) continue;
        await this.#closeGroup(book.batch, group, verdict, '');
        // read again before more is written
        progress = true;
        break;
      }
      this.#dueMs = nowMs + Math.min(LOOK_AGAIN_MS, groups.length > 0 ? JUDGE_AGAIN_MS : Math.max(0, (least(next.map(({ day }) => day.endMs)) ?? Infinity) + graceMs - nowMs));
    }
  }

  /** @returns what was written; less, or nothing, where another collector wrote in between */
  async #closeGroup(batch: number, { startMs, endMs, due }: DayGroup, { complete, streams, raw }: GroupVerdict, reason: string): Promise<readonly BillingEntry[]> {
    const proof: BatchProof = { asOfMs: this.#deps.asOfMs(), coverage: createHash('sha256').update(JSON.stringify(streams)).digest('hex') };
    const counts = await dayCounts(this.#deps.store, startMs, endMs);
    const late = await this.#lateEntries(due, raw);
    const written: BillingEntry[] = [];
    // dropped, or set aside as damaged, since it was judged: what was counted is no count
    if (complete && ((await droppedDays(this.#deps.store, startMs, endMs)).length > 0 || (await RawDays.read(this.#deps.store)).lacks(raw, startMs, endMs))) return written;
    let next = batch;
    // an app's entries stay together: those of one batch come all or not at all
    for (const apps of inStatements(due.map((each) => [...late.entries.get(each.app) ?? [], usageEntry(each, counts.get(each.app), complete, reason)]))) {
      const chunk = apps.flat();
      next += 1;
      if (!await this.#ledger.append(next, chunk, proof)) return written;
      written.push(...chunk.map(exported));
    }
    for (const [key, state] of [...late.counted, [countedKey(startMs, endMs, due), raw.stateOf(startMs, endMs)] as const]) this.#counted.set(key, state);
    this.#incomplete.delete(boundsOf({ startMs, endMs }));
    this.#deps.log.info({ from: iso(startMs), to: iso(endMs), apps: due.length, adjustments: written.length - due.length, complete }, 'a billing day was closed');
    return written;
  }

  /** By app: what closed days have more than is billed. `counted`: what was looked at. */
  async #lateEntries(due: readonly DueDay[], raw: RawDays): Promise<{ readonly entries: ReadonlyMap<string, readonly LedgerEntry[]>; readonly counted: readonly (readonly [string, string])[] }> {
    const byApp = new Map(due.map((each) => [each.app, each]));
    const entries = new Map<string, LedgerEntry[]>();
    const counted: (readonly [string, string])[] = [];
    // what is older is kept in part only, and would count for less than it was
    for (const [startMs, endMs] of await this.#ledger.bounds(this.#nowMs() - (this.#config as BillingConfig).keepEventsMs)) {
      const key = countedKey(startMs, endMs, due);
      const state = raw.stateOf(startMs, endMs);
      if (this.#counted.get(key) === state) continue;
      const billed = (await this.#ledger.billedWithin(startMs, endMs)).filter(({ app }) => byApp.has(app));
      const whole = billed.length > 0 && (await droppedDays(this.#deps.store, startMs, endMs)).length === 0;
      const counts = whole ? await dayCounts(this.#deps.store, startMs, endMs) : null;
      for (const day of counts === null ? [] : billed) {
        const entry = adjustmentEntry(byApp.get(day.app) as DueDay, day, counts?.get(day.app));
        if (entry !== null) entries.set(day.app, [...entries.get(day.app) ?? [], entry]);
      }
      counted.push([key, state]);
    }
    return { entries, counted };
  }

  async #judge(group: DayGroup): Promise<GroupVerdict> {
    const raw = await RawDays.read(this.#deps.store);
    const judged = await this.#deps.judge(group.startMs, group.endMs);
    // completeness speaks of what was stored, not of what has gone since
    const dropped = await droppedDays(this.#deps.store, group.startMs, group.endMs);
    const gone = dropped.map((day) => `raw events of ${day} (UTC) were dropped before it was closed, as store.keep.events or store.max_bytes says`);
    const verdict = { ...judged, raw, complete: judged.complete && gone.length === 0, reasons: [...judged.reasons, ...gone] };
    if (verdict.complete) return verdict;
    const bounds = boundsOf(group);
    if (!this.#incomplete.has(bounds)) this.#deps.log.warn({ from: iso(group.startMs), to: iso(group.endMs), reasons: verdict.reasons }, 'a billing day is over and its record is not whole: it is not closed');
    this.#incomplete.add(bounds);
    return verdict;
  }

  /** Since when its grace is over, too. */
  #overMs({ endMs }: Pick<AppDay, 'endMs'>): number {
    return endMs + (this.#config?.graceMs ?? 0);
  }

  #isOver(day: Pick<AppDay, 'endMs'>): boolean {
    return this.#nowMs() >= this.#overMs(day);
  }

  #standing({ startMs, endMs }: AppDay): { readonly status: DayStatus; readonly reasons: readonly string[] } {
    const nowMs = this.#nowMs();
    const fromMs = this.#overMs({ endMs });
    if (nowMs < endMs) return { status: 'open', reasons: [`ends at ${iso(endMs)}`] };
    if (nowMs < fromMs) return { status: 'closing', reasons: [`waits for late events until ${iso(fromMs)}`] };
    // an app may ask: it learns of no stream
    return { status: 'closing', reasons: [this.#incomplete.has(boundsOf({ startMs, endMs })) ? 'its record is not whole: see the day\'s completeness' : 'is being closed, or waits for the day before it'] };
  }

  /** Days of the selection that have begun and are not closed, app by app. */
  *#daysToCome({ accounts }: Book, { fromDay, toDay, apps }: EntrySelection): Generator<DueDay> {
    const nowMs = this.#nowMs();
    for (const app of apps ?? accounts.keys()) {
      const account = accounts.get(app);
      for (let day = account?.next ?? null; day !== null && day.day < toDay && day.startMs <= nowMs;) {
        if (day.day >= fromDay) yield { app, terms: account?.terms ?? [], day };
        day = nextDay(account?.terms ?? [], day);
      }
    }
  }

  async #load(): Promise<Book> {
    for (let config = this.#unnoted[0]; config !== undefined; config = this.#unnoted[0]) {
      const nowMs = this.#nowMs();
      const exported = await this.#ledger.lastBatch() > 0;
      // days of which raw events have gone, as before this store kept bills, are no days to bill
      const keptMs = Math.min(nowMs, nowMs - config.keepEventsMs + 2 * DAY_MS);
      await this.#terms.note(config.apps, Math.max(config.sinceMs, keptMs), exported ? iso(nowMs - LAST_ZONE_MS).slice(0, 10) : '');
      this.#unnoted.shift();
    }
    return this.#read();
  }

  /** The last to note is believed: an app that it does not name would have no days any more, and nobody would learn of it. */
  #compareConfigurations({ accounts }: Book): void {
    const terms = new Map([...accounts].map(([app, account]) => [app, account.terms]));
    const apps = TermsBook.contradicted(terms, this.#config?.apps ?? []);
    const text = apps.length === 0 ? null : `another collector has another configuration of ${apps.slice(0, 5).join(', ')}${apps.length > 5 ? ` and ${apps.length - 5} more apps` : ''}: bills follow the one noted last`;
    if (text !== null && text !== this.#contradicted) this.#deps.log.error({ apps: apps.slice(0, 20) }, `${text}; give all nodes the same apps`);
    this.#contradicted = text;
  }

  /** The batch first: whatever is written after it was read, the next batch is not made without it. */
  async #read(): Promise<Book> {
    const batch = await this.#ledger.lastBatch();
    const lastDays = await this.#ledger.lastDays();
    const book = await this.#terms.all();
    // of several servers another may have answered, and lack what the first had
    if (await this.#ledger.lastBatch() !== batch) return this.#read();
    return { batch, accounts: new Map([...book].map(([app, terms]) => {
      const last = lastDays.get(app) ?? null;
      return [app, { terms, last, next: nextDay(terms, last) }];
    })) };
  }

  /** One at a time, in the order they are asked. */
  #alone<T>(job: () => Promise<T>): Promise<T> {
    const done = this.#line.then(job);
    this.#line = done.catch(() => undefined);
    return done;
  }
}

/** Without what is not told. */
function exported({ over: _, ...entry }: LedgerEntry): BillingEntry {
  return entry;
}

const iso = (ms: number): string => new Date(ms).toISOString();
const least = (numbers: readonly number[]): number | null => numbers.reduce<number | null>((min, number) => (min === null || number < min ? number : min), null);
