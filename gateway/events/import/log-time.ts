/** Times as logs write them, in ms since the epoch. Each names its zone, or lies in none: what does not is refused, for nobody can say which day it was. */

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
/** `17/May/2015:10:05:03 +0000` */
export const CLF_TIME_BYTES = 26;
const DATE_BYTES = 11;
const ZONE_AT = 20;
const RFC3339 = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:[Zz]|[+-]\d\d:?\d\d)$/;
/** A number this large is ms, a smaller one s: the year 5138, or 1973. */
const LEAST_MS = 1e11;
/** As reports take them (collector/reports/traffic-query.ts). */
const EARLIEST_MS = Date.UTC(1971, 0, 1);
const LATEST_MS = Date.UTC(2100, 0, 1);

export const inBounds = (ms: number): boolean => ms >= EARLIEST_MS && ms < LATEST_MS;

/** Reads times of the common log format; lines of one day and zone share what is costly. */
export class ClfClock {
  readonly #day = Buffer.alloc(DATE_BYTES + CLF_TIME_BYTES - ZONE_AT);
  /** The day's start where the log was written; NaN: none is known. */
  #dayMs = Number.NaN;
  #text = '';
  #textMs = Number.NaN;

  /** ms since the epoch; NaN: no time. Reads CLF_TIME_BYTES at `at`, which must be there. */
  read(text: Buffer, at: number): number {
    if (!this.#sameDay(text, at)) {
      text.copy(this.#day, 0, at, at + DATE_BYTES);
      text.copy(this.#day, DATE_BYTES, at + ZONE_AT, at + CLF_TIME_BYTES);
      this.#dayMs = dayStart(text.latin1Slice(at, at + CLF_TIME_BYTES));
    }
    const hour = two(text, at + 12);
    const minute = two(text, at + 15);
    const second = two(text, at + 18);
    const formed = text[at + 11] === COLON && text[at + 14] === COLON && text[at + 17] === COLON && hour < 24 && minute < 60 && second <= 60;
    return formed ? this.#dayMs + hour * 3_600_000 + minute * 60_000 + second * 1000 : Number.NaN;
  }

  /** A time of its own, as JSON has it; lines of one second share what is costly. */
  parse(text: string): number {
    if (text !== this.#text) {
      this.#textMs = parseText(text, this);
      this.#text = text;
    }
    return this.#textMs;
  }

  #sameDay(text: Buffer, at: number): boolean {
    const day = this.#day;
    for (let i = 0; i < DATE_BYTES; i++) if (text[at + i] !== day[i]) return false;
    for (let i = DATE_BYTES; i < day.length; i++) if (text[at + ZONE_AT - DATE_BYTES + i] !== day[i]) return false;
    return true;
  }
}

const COLON = 0x3a;

/** Two digits; 99, or more: they are none. */
function two(text: Buffer, at: number): number {
  const tens = (text[at] as number) - 0x30;
  const ones = (text[at + 1] as number) - 0x30;
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : 99;
}

function dayStart(time: string): number {
  const [, day, name = '', year, sign, hours, minutes] = /^(\d\d)\/([A-Z][a-z]{2})\/(\d{4}).{9} ([+-])(\d\d)(\d\d)$/.exec(time) ?? [];
  const month = MONTHS.indexOf(name);
  const ms = Date.UTC(Number(year), month, Number(day));
  if (month === -1 || new Date(ms).getUTCDate() !== Number(day) || Number(minutes) > 59) return Number.NaN;
  const offsetMs = (Number(hours) * 60 + Number(minutes)) * 60_000;
  return sign === '-' ? ms + offsetMs : ms - offsetMs;
}

/** Of a JSON value: RFC 3339 with its zone, the common log format's, or seconds or ms since the epoch. NaN: none of these. */
export function parseLogTime(value: unknown, clock: ClfClock): number {
  if (typeof value === 'number') return Math.round(value < LEAST_MS ? value * 1000 : value);
  return typeof value === 'string' ? clock.parse(value) : Number.NaN;
}

function parseText(text: string, clock: ClfClock): number {
  if (/^\d{1,13}(?:\.\d+)?$/.test(text)) return parseLogTime(Number(text), clock);
  if (RFC3339.test(text)) return Date.parse(text.replace(',', '.').replace(' ', 'T').replace(/([+-]\d\d)(\d\d)$/, '$1:$2'));
  const bytes = Buffer.from(text, 'latin1');
  return bytes.length === CLF_TIME_BYTES ? clock.read(bytes, 0) : Number.NaN;
}
