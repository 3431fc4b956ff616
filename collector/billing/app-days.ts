/**
 * The days of an app's bill. A day is one of the app's zone, its bounds instants; a day begins where the one before it ended, so that days leave nothing out and count nothing
 * twice, whatever became of the zone meanwhile: a changed zone starts at the old one's next midnight, and its first day lasts until the new zone has come to a later date.
 * Labels only ever go up.
 */
import { bucketBounds, formatInstant } from '../reports/calendar.js';

/** What the configuration said of an app from `fromMs` on. */
export interface Terms {
  readonly app: string;
  /** ms since the epoch. */
  readonly fromMs: number;
  readonly customer: string;
  /** IANA name. */
  readonly timeZone: string;
  /** Requests a day; 0: none. */
  readonly quota: number;
  readonly over: 'refuse' | 'bill';
  /** The configuration named the app no more. The rest is as it was before. */
  readonly removed: boolean;
  /** Where the app begins with this: its first date is not before it, because days before may have been exported; '': any may be. */
  readonly leastDay: string;
}

export interface AppDay {
  /** `2026-11-21` */
  readonly day: string;
  /** ms since the epoch, half open. */
  readonly startMs: number;
  readonly endMs: number;
  readonly timeZone: string;
}

/** The end of the app's last day that is closed. */
export type LastDay = Pick<AppDay, 'day' | 'endMs'>;

/** For so long an app that was removed has days still: what comes late, and credits, need one to stand on. */
export const DAYS_AFTER_REMOVAL_MS = 31 * 86_400_000;

/**
 * The app's day after `last`, or its first: the one in which it was first configured. Null: it has no more.
 * @param terms of the app, ascending
 */
export function nextDay(terms: readonly Terms[], last: LastDay | null): AppDay | null {
  const first = terms.find(({ removed }) => !removed);
  if (first === undefined) return null;
  if (last === null) return dayOf(first.timeZone, first.fromMs, null, first.leastDay);
  const now = termsAt(terms, last.endMs);
  if (now === null || !now.removed || last.endMs < now.fromMs + DAYS_AFTER_REMOVAL_MS) return dayOf((now ?? first).timeZone, last.endMs, last, '');
  const again = terms.find(({ fromMs, removed }) => !removed && fromMs > last.endMs);
  return again === undefined ? null : dayOf(again.timeZone, again.fromMs, last, again.leastDay);
}

/** What was said last before the end of the day holds for the whole of it. @param terms ascending, not empty */
export function termsOf(terms: readonly Terms[], { endMs }: Pick<AppDay, 'endMs'>): Terms {
  return termsAt(terms, endMs - 1) ?? terms[0] as Terms;
}

function termsAt(terms: readonly Terms[], atMs: number): Terms | null {
  return terms.findLast(({ fromMs }) => fromMs <= atMs) ?? null;
}

/** The zone's day that holds the instant, from where `last` ended on; it lasts until the zone has come to a date after that of `last`, and not before `leastDay`. */
function dayOf(timeZone: string, atMs: number, last: LastDay | null, leastDay: string): AppDay {
  const [firstMs, firstEndMs] = zoneDay(timeZone, atMs);
  let endMs = firstEndMs;
  let day = dateOf(timeZone, firstMs);
  while (day < leastDay || (last !== null && day <= last.day)) {
    day = dateOf(timeZone, endMs);
    [, endMs] = zoneDay(timeZone, endMs);
  }
  // days follow on each other, but where the app was away for a while
  const startMs = last === null ? firstMs : atMs === last.endMs ? last.endMs : Math.max(firstMs, last.endMs);
  return { day, startMs, endMs, timeZone };
}

function zoneDay(timeZone: string, atMs: number): readonly [number, number] {
  const [startMs, endMs] = bucketBounds('day', timeZone, atMs, atMs + 1);
  return [startMs as number, endMs as number];
}

/** A day begins at the first instant that carries its date. */
function dateOf(timeZone: string, startMs: number): string {
  return formatInstant(startMs, timeZone).slice(0, 10);
}
