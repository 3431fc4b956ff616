/**
 * How a time is written by whoever asks, in commands and in the API alike: an instant (RFC 3339), how long ago (`45m`, `24h`, `7d`), or a day: `2026-11-23`, `today`,
 * `yesterday`, `monday`. A day stands for its first instant in the zone that is asked about, so that ranges of days are half open as all others are.
 */
import { InvalidParameterError } from '../../errors/invalid-parameter.js';
import { bucketBounds, EARLIEST_MS, LATEST_MS, offsetMs } from './calendar.js';

export interface Clock {
  readonly nowMs: number;
  /** Whose midnight a day begins at. */
  readonly timeZone: string;
}

/** A day of a zone: [startMs, endMs). */
export interface NamedDay {
  /** `2026-11-23` */
  readonly date: string;
  readonly startMs: number;
  readonly endMs: number;
}

export const WEEKDAYS = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'] as const;

const DAY_MS = 86_400_000;
const QUARTER_MS = 900_000;
const STEP_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: DAY_MS };
const RFC3339 = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/;
const DATE = /^\d{4}-\d\d-\d\d$/;
const FORMS = 'a day (2026-11-23, today, yesterday, monday), how long ago (45m, 24h, 7d), or an RFC 3339 instant such as 2026-11-21T00:00:00Z (a + in a URL is written %2B)';

/** How long ago: `45m`, `24h`, `7d`. */
export const isAgo = (text: string): boolean => /^\d{1,6}[mhd]$/.test(text);
/** It names a day: which instant that is depends on the zone. */
export const isDay = (text: string): boolean => DATE.test(text) || isDayWord(text);
/** It means another time tomorrow. */
export const isRelative = (text: string): boolean => isAgo(text) || isDayWord(text);

const isDayWord = (text: string): boolean => /^(today|yesterday)$/i.test(text) || weekdayOf(text) >= 0;
const weekdayOf = (text: string): number => WEEKDAYS.indexOf(text.toLowerCase() as (typeof WEEKDAYS)[number]);

/** @returns ms since the epoch. @throws invalid_parameter naming `parameter` */
export function parseInstant(parameter: string, text: string, clock: Clock): number {
  if (isAgo(text)) return inRange(parameter, endOfStep(text, agoMs(text, clock.nowMs)));
  if (isDay(text)) return inRange(parameter, bucketFrom(clock.timeZone, dateMs(parameter, text, clock))[0]);
  const ms = RFC3339.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms)) throw new InvalidParameterError(parameter, `must be ${FORMS}`);
  return inRange(parameter, ms);
}

/** The instant that is so long ago: no later, as the start of a report's range is. */
export const agoMs = (text: string, nowMs: number): number => nowMs - Number(text.slice(0, -1)) * (STEP_MS[text.slice(-1)] ?? 0);

/**
 * The end of the quarter of an hour (of `45m`: the minute) that is under way at an instant, so that a report of a time that is so long can be read from the rollups.
 * @param ago how the time's length was said
 */
export function endOfStep(ago: string, thenMs: number): number {
  const step = ago.endsWith('m') ? 60_000 : QUARTER_MS;
  return (Math.floor(thenMs / step) + 1) * step;
}

/** @throws invalid_parameter: it is no day, or one that the zone has left out */
export function parseDay(parameter: string, text: string, clock: Clock): NamedDay {
  if (!isDay(text)) throw new InvalidParameterError(parameter, 'must be a day: 2026-11-21, from 1971 to 2099, today, yesterday, monday');
  const date = parseDate(parameter, text, clock);
  const [startMs, endMs] = bucketFrom(clock.timeZone, Date.parse(`${date}T00:00:00Z`));
  if (dateAt(clock.timeZone, startMs) !== date) throw new InvalidParameterError(parameter, `${clock.timeZone} has no such day`);
  if (startMs < EARLIEST_MS || endMs > LATEST_MS) throw new InvalidParameterError(parameter, 'must lie between 1971 and 2100');
  return { date, startMs, endMs };
}

/** The local date of a day, or of so many days ago: `2026-11-23`. @throws invalid_parameter */
export function parseDate(parameter: string, text: string, clock: Clock): string {
  const days = /^(\d{1,6})d$/.exec(text)?.[1];
  if (days === undefined && !isDay(text)) throw new InvalidParameterError(parameter, 'must be a date such as 2026-11-21, from 1971 to 2099, or today, yesterday, monday, 7d');
  return isoDate(days === undefined ? dateMs(parameter, text, clock) : todayMs(clock) - Number(days) * DAY_MS);
}

/** Where the local date begins that an instant lies in. */
export const dayStart = (timeZone: string, instantMs: number): number => bucketBounds('day', timeZone, instantMs, instantMs + 1)[0] as number;

/** The date's midnight as if it were one of UTC. @throws invalid_parameter: there is no such date */
function dateMs(parameter: string, text: string, clock: Clock): number {
  if (!DATE.test(text)) return wordMs(text.toLowerCase(), clock);
  const atMs = Date.parse(`${text}T00:00:00Z`);
  // the 30th of February is read as a day of March
  if (Number.isNaN(atMs) || isoDate(atMs) !== text) throw new InvalidParameterError(parameter, `there is no ${text}: it must be a date such as 2026-11-21`);
  // the engine's calendar
  if (atMs < EARLIEST_MS || atMs > LATEST_MS) throw new InvalidParameterError(parameter, 'must be a date from 1971 to 2099');
  return atMs;
}

function wordMs(word: string, clock: Clock): number {
  const nowDateMs = todayMs(clock);
  if (word === 'today') return nowDateMs;
  // the day before, which is not yesterday's date where the zone has left one out
  if (word === 'yesterday') return Date.parse(dateAt(clock.timeZone, dayStart(clock.timeZone, dayStart(clock.timeZone, clock.nowMs) - 1)));
  // the last one that has begun: on a Monday, monday is today
  return nowDateMs - ((new Date(nowDateMs).getUTCDay() - weekdayOf(word) + 7) % 7) * DAY_MS;
}

const todayMs = ({ nowMs, timeZone }: Clock): number => Date.parse(dateAt(timeZone, dayStart(timeZone, nowMs)));

/** First instant with this local date or a later one, and where the day ends that begins there. Local midnight lies within a day of UTC's. */
function bucketFrom(timeZone: string, midnightMs: number): readonly [startMs: number, endMs: number] {
  const bounds = bucketBounds('day', timeZone, midnightMs - DAY_MS, midnightMs + 2 * DAY_MS);
  const date = isoDate(midnightMs);
  const index = bounds.findIndex((start) => dateAt(timeZone, start) >= date);
  return [bounds[index] as number, bounds[index + 1] as number];
}

const dateAt = (timeZone: string, instantMs: number): string => isoDate(instantMs + offsetMs(timeZone, instantMs));
const isoDate = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

function inRange(parameter: string, ms: number): number {
  if (ms < EARLIEST_MS || ms > LATEST_MS) throw new InvalidParameterError(parameter, 'must lie between 1971 and 2100');
  return ms;
}
