/**
 * Whether the store still holds what was stored of each day (ADR 0044). Coverage says what was stored, and nothing of what has become of it: a part of `events` that the engine finds
 * damaged when it starts is set aside, and the day would be told complete, and billed, without it.
 *
 *   rows by day, noted and held ── equal ──► nothing else is read: milliseconds
 *        └─ differ, in two looks ──► by stream (a third of a second for 100,000,000 rows); before a day closes always, for one stream's loss may be as many rows as another has too many
 *
 * Rows that are missing are told at once. Rows that no note speaks of are there for a moment within each insert, and told when they stand.
 */
import { TidegateError } from '../../errors/tidegate-error.js';
import { REPORT_SETTINGS } from '../reports/report-store.js';
import type { Store } from '../store/store.js';
import { dayDifferences, streamDifferences, type Differences, type Expected } from './day-rows.js';
import { iso, type Span } from './completeness.js';
import { livesNotWhole, type Life } from './old-days.js';

/** A stream in a day (UTC) of which `events` holds other rows than were stored. */
export interface DayFault {
  /** `2026-11-23` */
  readonly day: string;
  /** 16 hexadecimal digits; '': of which streams was not counted within the bounds of a report. */
  readonly stream: string;
  /** Stored, and not held any more. */
  readonly missing: number;
  /** Held, and never noted as stored. */
  readonly unknown: number;
}

export interface DaysCompared {
  /** Why the time is not complete: one sentence each. */
  readonly reasons: readonly string[];
  readonly warnings: readonly string[];
  readonly faults: readonly DayFault[];
  /** Days that could not be compared: something of them was stored before the record began, or it was not counted within the bounds of a report. */
  readonly notCompared: readonly string[];
}

/** What the looks of each minute find. */
export interface MissingRows {
  /** By day: rows that were stored and are not held any more. */
  readonly rows: ReadonlyMap<string, number>;
  /** Why days before the record could not be counted: `rows` has what was found of them last. Null: they were. */
  readonly olderUncounted: string | null;
}

const DAY_MS = 86_400_000;
/** The record's beginning is by the store's clock, a request's time by its node's. */
const CLOCKS_WITHIN_MS = 3_600_000;
/** Rows that no note speaks of are an insert's under way for less than this, unless it stands still. */
const STANDS_MS = 10_000;
/** A day that differs by as much as when it was looked at by stream is not looked at again for so long, nor are lives of streams. */
const KNOWN_FOR_MS = 60_000;
/** What a look by stream may take of the engine, s: of a report's turn, and before a day closes for good. */
const [ASKED_S, CLOSING_S] = [10, 600];
/** Lives that the engine did not count are not looked at again for so long by the looks of each minute. */
const UNCOUNTED_FOR_MS = 600_000;
/** Streams named of a day. */
const MOST_NAMED = 10;

interface Known { readonly difference: number; readonly atMs: number; readonly streams: Differences }
interface KnownLives { readonly atMs: number; readonly lives: readonly Life[] | Uncounted }
/** Why the engine did not count: past its bounds of time or memory, say. */
interface Uncounted { readonly why: string }

export class StoredDays {
  readonly #store: Pick<Store, 'query'>;
  readonly #steadyMs: () => number;
  #sinceMs: number | null = null;
  /** By day. */
  readonly #known = new Map<string, Known>();
  readonly #lives = new Map<string, KnownLives>();
  /** What was found of days before the record began, while they held so many rows. */
  #older: { readonly held: string; readonly lives: readonly Life[] } = { held: '', lives: [] };
  #olderFailed: { readonly atMs: number; readonly why: string } | null = null;
  /** By day and stream: of rows that no note speaks of, how many there were, and since when. */
  #unknown: ReadonlyMap<string, { readonly rows: number; readonly sinceMs: number }> = new Map();

  /** @param steadyMs a clock that is never set */
  constructor(store: Pick<Store, 'query'>, steadyMs: () => number = () => performance.now()) {
    this.#store = store;
    this.#steadyMs = steadyMs;
  }

  /**
   * The days (UTC) that [fromMs, toMs) has a part of. Days whose raw events were dropped are left out.
   * @param closing all streams are looked at, and nothing that was found before counts. @throws what the store throws
   */
  async compare(fromMs: number, toMs: number, closing = false): Promise<DaysCompared> {
    const [only] = await this.compareEach([{ fromMs, toMs }], closing);
    return only as DaysCompared;
  }

  /** The same of times that follow each other: the store is read once. @param spans one or more, ascending. @throws what the store throws */
  async compareEach(spans: readonly Span[], closing = false): Promise<readonly DaysCompared[]> {
    const [fromMs, toMs] = [(spans[0] as Span).fromMs, (spans.at(-1) as Span).toMs];
    const dropped = await this.#dropped(fromMs, toMs);
    const recordedFrom = await this.#recordedFrom();
    const found = await counted(() => this.#differing(idOf(fromMs), idOf(toMs - 1), dropped, closing));
    const faults = 'why' in found ? [] : this.#faultsOf(found, closing);
    const recordedFromMs = recordedFrom === '' ? fromMs : startOf(recordedFrom);
    const olderToMs = Math.min(toMs, recordedFromMs);
    const older = fromMs >= olderToMs ? [] : await this.#livesIn(fromMs, olderToMs, recordedFrom, closing);
    const lives = 'why' in older ? [] : older;
    const names = await this.#namesOf([...faults.map(({ stream }) => stream), ...lives.map(({ stream }) => stream)]);
    return spans.map((span): DaysCompared => {
      const kept = daysOf(span.fromMs, span.toMs).filter((id) => !dropped.has(id));
      const keptDays = new Set(kept.map(dashed));
      const own = faults.filter(({ day }) => keptDays.has(day));
      const ownOlderToMs = Math.min(span.toMs, recordedFromMs);
      const ownLives = span.fromMs >= ownOlderToMs ? [] : lives.filter(({ firstMs, lastMs }) => firstMs < ownOlderToMs && lastMs >= span.fromMs);
      // a report says so; a bill is not closed by what nobody has counted
      const uncounted = [
        ...('why' in found ? [{ why: found.why, days: kept }] : []),
        ...('why' in older ? [{ why: older.why, days: kept.filter((id) => id < recordedFrom) }] : []),
      ].map(({ why, days }) => ({ days: days.map(dashed), why })).filter(({ days }) => days.length > 0);
      const uncountedTexts = uncounted.map(({ days, why }) => `${days[0]}${days.length === 1 ? '' : ` to ${days.at(-1)}`} (UTC) could not be compared with what was stored: ${why}`);
      const lost = ownLives.filter((life) => !life.dropped);
      const untold = ownLives.filter((life) => life.dropped);
      const untoldDays = new Set(untold.flatMap((life) => daysOf(Math.max(life.firstMs, span.fromMs), Math.min(life.lastMs + 1, span.toMs))).filter((id) => !dropped.has(id) && id < recordedFrom).map(dashed));
      const notCompared = new Set([...untoldDays, ...(closing ? [] : uncounted.flatMap(({ days }) => days))]);
      return {
        faults: own, notCompared: [...notCompared].sort(),
        reasons: [
          ...faultTexts(own, names),
          ...lost.slice(0, MOST_NAMED).map(({ stream, missing, firstMs, lastMs }) =>
            `${missing} rows of ${names.get(stream) ?? stream} that were stored between ${iso(firstMs)} and ${iso(lastMs)} are not in the store any more; of which of its days they were was not noted yet`),
          ...more(lost.length),
          ...(closing ? uncountedTexts : []),
        ],
        warnings: [...(closing ? [] : uncountedTexts), ...untoldDays.size === 0 ? [] : [`${[...untoldDays].sort().join(', ')} (UTC) could not be compared with what was stored: it was stored before a record of that was kept, and older days of the same streams were dropped`]],
      };
    });
  }

  /**
   * Of all days that raw events are kept of. Of a stream's life that began before the record rows are told of its last day before it: which of its days lacks them is not known.
   * @throws what the store throws while days of the record are compared
   */
  async missing(): Promise<MissingRows> {
    const dropped = await this.#dropped(0, Number.MAX_SAFE_INTEGER);
    const found = await this.#differing('', '99999999', dropped, false);
    const missing = new Map<string, number>();
    for (const [name, difference] of [...found].sort()) {
      const day = dashed(name.slice(0, 8));
      if (difference > 0) missing.set(day, (missing.get(day) ?? 0) + difference);
    }
    const recordedFrom = await this.#recordedFrom();
    if (recordedFrom === '') return { rows: missing, olderUncounted: null };
    const olderUncounted = await this.#lookAtOlder(recordedFrom);
    for (const life of this.#older.lives) {
      // dropped since it was counted, it may be
      if (daysOf(life.firstMs, life.lastMs + 1).some((id) => dropped.has(id))) continue;
      const day = dashed(idOf(Math.min(life.lastMs, startOf(recordedFrom) - 1)));
      missing.set(day, (missing.get(day) ?? 0) + life.missing);
    }
    return { rows: new Map([...missing].sort()), olderUncounted };
  }

  /**
   * Lives are compared anew only when days before the record hold other rows than they did: it reads all rows of them, and they hardly ever change. Reports and storing may wait for the
   * engine meanwhile, so it has the bounds of a report.
   * @returns why they could not be counted
   */
  async #lookAtOlder(recordedFrom: string): Promise<string | null> {
    try {
      const rows = await this.#store.query<{ day: string; rows: number }>(
        `SELECT partition_id AS day, sum(rows) AS rows FROM system.parts
         WHERE database = 'tidegate' AND table = 'events' AND active AND partition_id < {recorded:String} GROUP BY day ORDER BY day`, { recorded: recordedFrom });
      const held = JSON.stringify(rows);
      if (this.#older.held === held) return null;
      if (this.#olderFailed !== null && this.#steadyMs() - this.#olderFailed.atMs < UNCOUNTED_FOR_MS) return this.#olderFailed.why;
      this.#older = { held, lives: await this.#standingLives(0, startOf(recordedFrom), recordedFrom, ASKED_S) };
      this.#olderFailed = null;
      return null;
    } catch (error) {
      // whatever it is: what was compared of the days of the record is told all the same
      const code = error instanceof TidegateError ? error.code : 'internal_error';
      const why = `days before ${dashed(recordedFrom)} (UTC) could not be compared with what was stored (${code}): ${error instanceof Error ? error.message : String(error)}`;
      this.#olderFailed = { atMs: this.#steadyMs(), why };
      return why;
    }
  }

  /** By day and stream. Days whose raw events were dropped are none; of an older day than the record no note has to speak. */
  async #differing(firstDay: string, lastDay: string, dropped: ReadonlySet<string>, closing: boolean): Promise<Differences> {
    const recordedFrom = await this.#recordedFrom();
    const expected: Expected = (day, difference) => dropped.has(day) || (difference < 0 && day < recordedFrom);
    if (closing) return streamDifferences(this.#store, daysOf(startOf(firstDay), startOf(lastDay) + 1), expected, CLOSING_S);
    const nowMs = this.#steadyMs();
    for (const [day, { atMs }] of this.#known) if (nowMs - atMs > KNOWN_FOR_MS) this.#known.delete(day);
    const days = await dayDifferences(this.#store, firstDay, lastDay, expected, new Map([...this.#known].map(([day, { difference }]) => [day, difference])));
    // in hand before anything is waited for: another look beside this one may forget them
    const streamsOf = new Map([...days.keys()].map((day) => [day, this.#known.get(day)?.streams]));
    const again = [...days].filter(([day, difference]) => this.#known.get(day)?.difference !== difference);
    if (again.length > 0) {
      const streams = await counted(() => streamDifferences(this.#store, again.map(([day]) => day), expected, ASKED_S));
      for (const [day, difference] of again) {
        const own = 'why' in streams ? new Map([[`${day} `, difference]]) : new Map([...streams].filter(([name]) => name.startsWith(day)));
        this.#known.set(day, { difference, atMs: nowMs, streams: own });
        streamsOf.set(day, own);
      }
    }
    return new Map([...streamsOf.values()].flatMap((streams) => [...streams ?? []]));
  }

  #faultsOf(found: Differences, closing: boolean): readonly DayFault[] {
    const nowMs = this.#steadyMs();
    const unknown = new Map(this.#unknown);
    for (const [name, { sinceMs }] of unknown) if (nowMs - sinceMs > KNOWN_FOR_MS && !found.has(name)) unknown.delete(name);
    const faults = [...found].sort().flatMap(([name, difference]): DayFault[] => {
      const [id, stream] = name.split(' ') as [string, string];
      const fault = { day: dashed(id), stream, missing: Math.max(0, difference), unknown: Math.max(0, -difference) };
      if (difference > 0) return [fault];
      const before = unknown.get(name);
      const sinceMs = before?.rows === difference ? before.sinceMs : nowMs;
      unknown.set(name, { rows: difference, sinceMs });
      return closing || nowMs - sinceMs >= STANDS_MS ? [fault] : [];
    });
    this.#unknown = unknown;
    return faults;
  }

  async #livesIn(fromMs: number, toMs: number, recordedFrom: string, closing: boolean): Promise<readonly Life[] | Uncounted> {
    const nowMs = this.#steadyMs();
    const range = `${fromMs}-${toMs}`;
    for (const [name, { atMs }] of this.#lives) if (nowMs - atMs > KNOWN_FOR_MS) this.#lives.delete(name);
    const known = this.#lives.get(range);
    if (known !== undefined && !closing) return known.lives;
    const lives = await counted(() => this.#standingLives(fromMs, toMs, recordedFrom, closing ? CLOSING_S : ASKED_S));
    this.#lives.set(range, { atMs: nowMs, lives });
    return lives;
  }

  /** Those that lack the same in two looks. */
  async #standingLives(fromMs: number, toMs: number, recordedFrom: string, seconds: number): Promise<readonly Life[]> {
    const look = (): Promise<readonly Life[]> => livesNotWhole(this.#store, fromMs, toMs, recordedFrom, seconds);
    const first = await look();
    return first.length === 0 ? first : (await look()).filter(({ stream, missing }) => first.some((life) => life.stream === stream && life.missing === missing));
  }

  /** The first day of which all is noted, as partitions are named; '': of all there are. */
  async #recordedFrom(): Promise<string> {
    if (this.#sinceMs === null) {
      const [row] = await this.#store.query<{ since: number }>("SELECT toUnixTimestamp64Milli(max(since)) AS since FROM tidegate.record_starts WHERE record = 'stored_days'");
      this.#sinceMs = Number(row?.since ?? 0);
    }
    return this.#sinceMs === 0 ? '' : idOf(this.#sinceMs + CLOCKS_WITHIN_MS + DAY_MS);
  }

  async #dropped(fromMs: number, toMs: number): Promise<ReadonlySet<string>> {
    const rows = await this.#store.query<{ id: string; ms: number }>("SELECT DISTINCT formatDateTime(t.day, '%Y%m%d') AS id, toRelativeDayNum(t.day) * 86400000 AS ms FROM tidegate.dropped_days AS t");
    return new Set(rows.filter(({ ms }) => Number(ms) < toMs && Number(ms) + DAY_MS > fromMs).map(({ id }) => id));
  }

  async #namesOf(streams: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const named = streams.filter((stream) => stream !== '');
    if (named.length === 0) return new Map();
    const rows = await this.#store.query<{ stream: string; node: string; worker: number }>(
      `SELECT leftPad(lower(hex(c.stream)), 16, '0') AS stream, any(c.node) AS node, any(c.worker) AS worker FROM tidegate.coverage AS c
       WHERE c.stream IN (${named.slice(0, 1000).map((stream) => `0x${stream}`).join(', ')}) GROUP BY c.stream ${REPORT_SETTINGS}`);
    return new Map(rows.map(({ stream, node, worker }) => [stream, `stream ${stream} (node ${node}, worker ${worker})`]));
  }
}

/** What is past the engine's bounds is not counted; what else it throws is thrown. */
async function counted<T extends object>(count: () => Promise<T>): Promise<T | Uncounted> {
  try {
    return await count();
  } catch (error) {
    if (!(error instanceof TidegateError) || error.code !== 'store_failed') throw error;
    return { why: `the store did not count it (${error.code}): ${error.message}` };
  }
}

function faultTexts(faults: readonly DayFault[], names: ReadonlyMap<string, string>): readonly string[] {
  const days = [...new Set(faults.map(({ day }) => day))].sort();
  return days.flatMap((day) => {
    const own = faults.filter((fault) => fault.day === day).sort((a, b) => b.missing + b.unknown - a.missing - a.unknown);
    return [
      ...own.slice(0, MOST_NAMED).map(({ stream, missing, unknown }) => {
        const name = stream === '' ? 'streams that were not looked for in time' : names.get(stream) ?? `stream ${stream}`;
        return missing > 0 ? `${missing} rows of ${name}, stored of ${day} (UTC), are not in the store any more`
          : `${unknown} rows of ${name} are in the store, of ${day} (UTC), that were never noted as stored`;
      }),
      ...more(own.length),
    ];
  });
}

const more = (faults: number): readonly string[] => (faults > MOST_NAMED ? [`the same holds of ${faults - MOST_NAMED} more streams`] : []);
/** As partitions are named. */
const idOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10).replaceAll('-', '');
const dashed = (id: string): string => `${id.slice(0, 4)}-${id.slice(4, 6)}-${id.slice(6)}`;
const startOf = (id: string): number => Date.parse(dashed(id));

/** Those that [fromMs, toMs) has a part of. */
function daysOf(fromMs: number, toMs: number): string[] {
  const days: string[] = [];
  for (let at = Math.floor(fromMs / DAY_MS) * DAY_MS; at < toMs; at += DAY_MS) days.push(idOf(at));
  return days;
}
