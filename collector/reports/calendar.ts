/**
 * Calendar buckets of any IANA zone as UTC instants (ms since the epoch). The bounds are computed here, not in SQL, because a zone's
 * days and hours are no fixed number of seconds: New York has days of 23 and 25 h, Lord Howe turns its clock by half an hour, Apia
 * left out 2011-12-30, Santiago's midnight may not exist.
 *
 * A day or month begins at the first instant that carries its date; an hour begins where the local clock shows :00, and where the clock
 * is turned (the hour that comes twice is two buckets, half-hour turns make short ones).
 */

/** What ranges may hold: the rollups' DateTime begins in 1970 and ends in 2106. */
export const EARLIEST_MS = Date.UTC(1971, 0, 1);
export const LATEST_MS = Date.UTC(2100, 0, 1);

export const INTERVALS = ['minute', 'hour', 'day', 'month', 'total'] as const;
export type Interval = (typeof INTERVALS)[number];

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** No zone turned its clock twice within this and came back to where it was. */
const PROBE_MS = DAY_MS / 2;
/** How far before `from` and after `to` a bucket's bounds may lie. */
const REACH_MS: Readonly<Record<Exclude<Interval, 'total'>, number>> = { minute: 2 * MINUTE_MS, hour: 3 * HOUR_MS, day: 3 * DAY_MS, month: 34 * DAY_MS };

const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(timeZone: string): Intl.DateTimeFormat {
  let format = formats.get(timeZone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone, calendar: 'iso8601', numberingSystem: 'latn', hourCycle: 'h23',
      year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit',
    });
    // names come from outside: the cache must not grow with their spellings
    if (formats.size >= 1000) formats.clear();
    formats.set(timeZone, format);
  }
  return format;
}

/** True for an IANA name that this node knows; offsets like `+05:30` are not names. */
export function isTimeZone(name: string): boolean {
  if (!/^[A-Za-z]/.test(name) || name.length > 64) return false;
  try {
    formatOf(name);
    return true;
  } catch {
    return false;
  }
}

/** Local time minus UTC, in ms, at an instant. */
export function offsetMs(timeZone: string, instantMs: number): number {
  if (timeZone === 'UTC') return 0;
  let year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
  for (const part of formatOf(timeZone).formatToParts(instantMs)) {
    if (part.type === 'year') year = Number(part.value);
    else if (part.type === 'month') month = Number(part.value);
    else if (part.type === 'day') day = Number(part.value);
    else if (part.type === 'hour') hour = Number(part.value);
    else if (part.type === 'minute') minute = Number(part.value);
    else if (part.type === 'second') second = Number(part.value);
  }
  return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(instantMs / 1000) * 1000;
}

/** A stretch of time with one offset. */
interface Run { readonly startMs: number; readonly endMs: number; readonly offsetMs: number }

function runs(timeZone: string, fromMs: number, toMs: number): Run[] {
  const found: Run[] = [];
  let startMs = fromMs;
  let offset = offsetMs(timeZone, fromMs);
  for (let at = fromMs; at < toMs;) {
    const next = Math.min(at + PROBE_MS, toMs);
    const nextOffset = offsetMs(timeZone, next);
    if (nextOffset !== offset) {
      let before = at;
      let after = next;
      while (after - before > 1000) {
        const middle = Math.floor((before + after) / 2000) * 1000;
        if (offsetMs(timeZone, middle) === offset) before = middle; else after = middle;
      }
      found.push({ startMs, endMs: after, offsetMs: offset });
      startMs = after;
      offset = nextOffset;
    }
    at = next;
  }
  found.push({ startMs, endMs: toMs, offsetMs: offset });
  return found;
}

/** First instant of local time, counted as if it were UTC, at or after `localMs` where a unit begins. */
function unitAtOrAfter(interval: Exclude<Interval, 'total'>, localMs: number): number {
  if (interval === 'month') {
    const date = new Date(localMs);
    const start = Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1);
    return start === localMs ? start : Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1);
  }
  const unit = interval === 'minute' ? MINUTE_MS : interval === 'hour' ? HOUR_MS : DAY_MS;
  return Math.ceil(localMs / unit) * unit;
}

/** Number of the local day or month; hours and minutes begin anew wherever the clock is turned, so they have none. */
function dateNumber(interval: Exclude<Interval, 'total'>, localMs: number): number | null {
  if (interval === 'day') return Math.floor(localMs / DAY_MS);
  if (interval !== 'month') return null;
  const date = new Date(localMs);
  return date.getUTCFullYear() * 12 + date.getUTCMonth();
}

/**
 * Bounds of the buckets that [fromMs, toMs) touches: the starts, ascending, then the last one's end. The first may begin before
 * `fromMs`, the last end after `toMs`. `total` is one bucket: the range itself.
 */
export function bucketBounds(interval: Interval, timeZone: string, fromMs: number, toMs: number): number[] {
  if (interval === 'total') return [fromMs, toMs];
  const reach = REACH_MS[interval];
  // whole seconds: the bisection in runs() works on them
  const startMs = Math.floor((fromMs - reach) / 1000) * 1000;
  const endMs = Math.ceil((toMs + reach) / 1000) * 1000;
  const starts: number[] = [];
  let latest = dateNumber(interval, startMs + offsetMs(timeZone, startMs));
  for (const run of runs(timeZone, startMs, endMs)) {
    const add = (instantMs: number): void => {
      const date = dateNumber(interval, instantMs + run.offsetMs);
      // the clock went back over midnight: this date has begun already
      if (date !== null && latest !== null && date <= latest) return;
      latest = date;
      if (starts.at(-1) !== instantMs) starts.push(instantMs);
    };
    if (run.startMs !== startMs) add(run.startMs);
    let local = unitAtOrAfter(interval, run.startMs + run.offsetMs);
    while (local - run.offsetMs < run.endMs) {
      add(local - run.offsetMs);
      local = unitAtOrAfter(interval, local + 1);
    }
  }
  return starts.slice(starts.findLastIndex((start) => start <= fromMs), starts.findIndex((start) => start >= toMs) + 1);
}

/** RFC 3339 with the zone's offset: `2026-11-21T00:00:00+05:30`; `Z` for UTC. Fractions of a second only where there are any. */
export function formatInstant(instantMs: number, timeZone: string): string {
  const offset = offsetMs(timeZone, instantMs);
  // offsets with seconds are older than the standard: no RFC 3339 form
  if (offset === 0 || offset % MINUTE_MS !== 0) return new Date(instantMs).toISOString().replace('.000Z', 'Z');
  const minutes = Math.abs(offset) / MINUTE_MS;
  const two = (value: number): string => String(value).padStart(2, '0');
  const local = new Date(instantMs + offset).toISOString().slice(0, -1).replace(/\.000$/, '');
  return `${local}${offset < 0 ? '-' : '+'}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}
