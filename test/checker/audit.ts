/** Asks the public API for everything, waits until all that was answered is there, and judges. */
import { setTimeout as pause } from 'node:timers/promises';
import type { BegunRequest, Journal } from './journal.js';
import type { Completeness, PublicApi, Range, Row } from './public-api.js';
import { verdictOf, type Rows, type Verdict } from './verdict.js';

export interface Audit {
  readonly verdict: Verdict;
  /** Lost and not known as such before: each is told, or not. */
  readonly told: readonly BegunRequest[];
  readonly untold: readonly BegunRequest[];
  /** Sums of the API that differ from its own pages; a sentence each. */
  readonly sums: readonly string[];
  readonly days: ReadonlyMap<string, Completeness>;
}

/** A time in which a documented loss may have happened: the disk was full, a part damaged. */
export interface MayLose {
  readonly fromMs: number;
  toMs: number;
}

const DAY_MS = 86_400_000;
/** Clocks are set by two hours at most. */
const SKEW_MS = 3 * 3_600_000;
const LOOK_MS = 1000;
/** Nothing has come for so long: what is missing then stays missing. Sooner where the day counts what is missing, or says that it is whole. */
const STILL_MS = { behind: 60_000, counted: 30_000, complete: 15_000 } as const;
const QUARTER_MS = 900_000;
/** Of a request around a time of loss: its row is made a moment after its last byte, or was held back before. */
const AROUND_MS = 10_000;
/** Sums are compared with pages while rollups and days follow. */
const SUMS_WITHIN_MS = 30_000;

export class Auditor {
  readonly #api: PublicApi;
  readonly #journal: Journal;
  readonly #beganMs = Date.now();
  readonly #log: (line: string) => void;
  /** Told at an earlier audit. */
  readonly #excused = new Set<BegunRequest>();
  readonly mayLose: MayLose[] = [];
  /** Parts of raw events are gone: the rollups, which still have them, hold more. */
  rawDamaged = false;

  constructor(api: PublicApi, journal: Journal, log: (line: string) => void) {
    this.#api = api;
    this.#journal = journal;
    this.#log = log;
  }

  get excused(): number {
    return this.#excused.size;
  }

  /** The load rests. @param withinMs for what was answered to be stored */
  async audit(withinMs: number): Promise<Audit> {
    const rows = await this.#rows(withinMs);
    const verdict = verdictOf(this.#journal, rows);
    const lost = verdict.lost.filter((request) => !this.#excused.has(request));
    const days = new Map<string, Completeness>();
    for (const day of this.#days()) days.set(day, await this.#api.completeness(day));
    const told = this.#told(lost, days);
    for (const request of told) this.#excused.add(request);
    return { verdict, told, untold: lost.filter((request) => !this.#excused.has(request)), sums: await this.#sums(rows), days };
  }

  /** Where a loss is documented, the day says that it is incomplete, and by at least so many where it counts them. */
  #told(lost: readonly BegunRequest[], days: ReadonlyMap<string, Completeness>): readonly BegunRequest[] {
    const may = lost.filter(({ beganMs, answer }) => this.mayLose.some(({ fromMs, toMs }) => beganMs < toMs + AROUND_MS && (answer?.atMs ?? beganMs) > fromMs - AROUND_MS));
    const incomplete = [...days.values()].filter(({ complete }) => !complete);
    if (incomplete.length === 0) return [];
    const counted = sum(incomplete.map(countedOf));
    return this.rawDamaged || counted >= this.#excused.size + may.length ? may : [];
  }

  /** All rows, once everything that was answered is among them, or nothing more comes, or the time is over. */
  async #rows(withinMs: number): Promise<Rows> {
    const untilMs = performance.now() + withinMs;
    let before = -1;
    let changedMs = performance.now();
    for (;;) {
      const sums = await this.#api.totals(this.#range(), 'raw').catch(() => null);
      const stored = sums === null ? -1 : sum([...sums.values()]);
      if (stored !== before) changedMs = performance.now();
      const stillMs = performance.now() - changedMs;
      const expected = this.#journal.answered - this.#excused.size;
      if (stored >= expected && stored === before) {
        const rows = await this.#pages();
        if (this.#missing(rows) === 0) return rows;
      }
      if (performance.now() > untilMs || (stillMs > STILL_MS.complete && stillMs > STILL_MS[await this.#says()])) return this.#pages();
      this.#log(`audit: ${stored < 0 ? 'no answer' : stored} rows, ${expected} answered`);
      before = stored;
      await pause(LOOK_MS);
    }
  }

  #missing(rows: Rows): number {
    return verdictOf(this.#journal, rows).lost.filter((request) => !this.#excused.has(request)).length;
  }

  async #says(): Promise<keyof typeof STILL_MS> {
    const days = await Promise.all(this.#days().map((one) => this.#api.completeness(one)));
    return days.every(({ complete }) => complete) ? 'complete' : sum(days.map(countedOf)) > 0 ? 'counted' : 'behind';
  }

  async #pages(): Promise<Rows> {
    const rows = new Map<string, Row[]>();
    for await (const page of this.#api.calls(this.#range())) {
      for (const row of page) {
        const of = rows.get(row.id);
        if (of === undefined) rows.set(row.id, [row]);
        else of.push(row);
      }
      this.#log(`audit: ${rows.size} rows read`);
    }
    return rows;
  }

  /** Raw sums, rollups and billed days are the same numbers as the pages, app by app. */
  async #sums(rows: Rows): Promise<readonly string[]> {
    const paged = new Map<string, number>();
    for (const { app } of [...rows.values()].flat()) paged.set(app, (paged.get(app) ?? 0) + 1);
    const untilMs = performance.now() + SUMS_WITHIN_MS;
    for (;;) {
      const [from, to] = [this.#range().fromMs, this.#range().toMs + DAY_MS];
      const all = [
        ...differences('raw events by report', await this.#api.totals(this.#range(), 'raw'), paged, false),
        ...differences('rollups by report', await this.#api.totals(this.#range(), 'rollups'), paged, this.rawDamaged),
        ...differences('billing days', await this.#api.billed(day(from), day(to)), new Map([...paged].filter(([app]) => app !== '')), false),
      ];
      if (all.length === 0 || performance.now() > untilMs) return all;
      await pause(LOOK_MS);
    }
  }

  #range(): Range {
    return { fromMs: floor(this.#beganMs - SKEW_MS), toMs: floor(Date.now() + SKEW_MS) + QUARTER_MS };
  }

  #days(): string[] {
    const days: string[] = [];
    const { fromMs, toMs } = this.#range();
    for (let at = fromMs; day(at) <= day(toMs); at += DAY_MS) days.push(day(at));
    return days;
  }
}

function differences(what: string, sums: ReadonlyMap<string, number>, paged: ReadonlyMap<string, number>, mayHoldMore: boolean): string[] {
  return [...new Set([...sums.keys(), ...paged.keys()])].sort().flatMap((app) => {
    const [says, holds] = [sums.get(app) ?? 0, paged.get(app) ?? 0];
    return says === holds || (mayHoldMore && says > holds) ? [] : [`${what}: ${says} of ${app === '' ? '(no app)' : app}, and ${holds} on the pages of /v1/requests`];
  });
}

/** What the day itself says to be gone. */
const countedOf = ({ dropped, streams }: Completeness): number => sum(dropped.map(({ count }) => count)) + sum(streams.map(({ missing }) => missing));
const floor = (ms: number): number => Math.floor(ms / QUARTER_MS) * QUARTER_MS;
const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
const sum = (numbers: readonly number[]): number => numbers.reduce((all, number) => all + number, 0);
