/**
 * Days of time zones as instants. A day of a zone begins at the first instant whose local date is that day or a later one, and ends where the
 * next begins: days partition time, also where a day has 23 or 25 hours, where midnight does not exist (America/Santiago in spring), where a
 * day was skipped (Pacific/Apia, 2011-12-30), and where clocks went back across midnight.
 */
import { TidegateError } from '../../../errors/tidegate-error.js';

export interface Day {
  /** `2026-11-21` */
  readonly name: string;
  /** ms since the epoch, half open. */
  readonly startMs: number;
  readonly endMs: number;
}

const HOUR_MS = 3_600_000;
/** Every offset in use is a multiple of it; other offsets (local mean times of old) are found by halving. */
const STEP_MS = HOUR_MS / 4;
/** No zone has ever been further from UTC. */
const FARTHEST_MS = 16 * HOUR_MS;
/** Days kept per zone: today, and those that late events ask for. */
const KEPT_DAYS = 8;

interface Zone {
  readonly format: Intl.DateTimeFormat;
  days: Day[];
}

const zones = new Map<string, Zone>();

/** The day of `zone` (IANA name) that holds the instant. Throws config_value for a zone that this runtime does not know. */
export function dayAt(zone: string, instantMs: number): Day {
  const known = zones.get(zone) ?? openZone(zone);
  for (const day of known.days) if (instantMs >= day.startMs && instantMs < day.endMs) return day;
  let day = findDay(known.format, nextDate(dateAt(known.format, instantMs), -1));
  while (instantMs >= day.endMs) day = findDay(known.format, dateAt(known.format, day.endMs));
  known.days = [day, ...known.days].slice(0, KEPT_DAYS);
  return day;
}

/** Name of the day of `zone` that holds the instant. */
export function dayName(zone: string, instantMs: number): string {
  return dayAt(zone, instantMs).name;
}

function openZone(name: string): Zone {
  try {
    const zone = { format: new Intl.DateTimeFormat('en-u-ca-iso8601-nu-latn', { timeZone: name, year: 'numeric', month: '2-digit', day: '2-digit' }), days: [] };
    zones.set(name, zone);
    return zone;
  } catch (error) {
    throw new TidegateError('config_value', `unknown time zone ${name}`, { cause: error });
  }
}

function dateAt(format: Intl.DateTimeFormat, instantMs: number): string {
  let year = '';
  let month = '';
  let day = '';
  for (const part of format.formatToParts(instantMs)) {
    if (part.type === 'year') year = part.value;
    else if (part.type === 'month') month = part.value;
    else if (part.type === 'day') day = part.value;
  }
  return `${year.padStart(4, '0')}-${month}-${day}`;
}

function nextDate(date: string, days: number): string {
  return new Date(Date.parse(`${date}T00:00:00Z`) + days * 24 * HOUR_MS).toISOString().slice(0, 10);
}

/** The day of the date; where the zone skipped that date, the day of nothing: start and end agree. */
function findDay(format: Intl.DateTimeFormat, date: string): Day {
  return { name: date, startMs: firstInstant(format, date), endMs: firstInstant(format, nextDate(date, 1)) };
}

/** The first instant whose local date is `date` or later. */
function firstInstant(format: Intl.DateTimeFormat, date: string): number {
  const midnightUtcMs = Date.parse(`${date}T00:00:00Z`);
  let after = midnightUtcMs - FARTHEST_MS;
  while (dateAt(format, after) < date) after += STEP_MS;
  let before = after - STEP_MS;
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (dateAt(format, middle) < date) before = middle;
    else after = middle;
  }
  return after;
}
