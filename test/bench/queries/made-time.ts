/**
 * When the made-up events happen: 90 days with a daily rhythm and quiet weekends, the same share of the events in the same quarter of an hour however
 * many there are. Worker n's stream of a day holds every other event of that day, so which event is which row of which stream is known without making it.
 */

const DAY_MS = 86_400_000;
export const QUARTER_MS = 900_000;
export const DAYS = 90;
/** A Monday. Until 2026-10-31: Europe's clocks go back in it. */
export const FIRST_MS = Date.UTC(2026, 7, 3);
export const END_MS = FIRST_MS + DAYS * DAY_MS;
export const WORKERS = 2;
const QUARTERS_A_DAY = DAY_MS / QUARTER_MS;
/** Of 12 h. */
const BUSIEST_HOUR = 14;
const WEEKEND_SHARE = 0.55;

/** Rows `from` up to `to`, without it, of one stream. */
export interface StreamPart {
  readonly day: number;
  readonly worker: number;
  readonly from: number;
  readonly to: number;
}

export class MadeTime {
  readonly events: number;
  /** Events before each quarter of an hour; one more at the end. */
  readonly #before: Float64Array;

  constructor(events: number) {
    this.events = events;
    const weights = Array.from({ length: DAYS * QUARTERS_A_DAY }, (_, quarter) => weightOf(quarter));
    const sum = weights.reduce((all, weight) => all + weight, 0);
    this.#before = new Float64Array(weights.length + 1);
    let soFar = 0;
    for (const [quarter, weight] of weights.entries()) this.#before[quarter + 1] = Math.round((events * (soFar += weight)) / sum);
  }

  /** Events before a day; of day 90, all. */
  beforeDay(day: number): number {
    return this.#before[day * QUARTERS_A_DAY] as number;
  }

  /** The quarter of an hour of event `index`. @param from one that is not later, to begin the search at */
  quarterOf(index: number, from = 0): number {
    let quarter = from;
    while ((this.#before[quarter + 1] as number) <= index) quarter++;
    return quarter;
  }

  dayOf(index: number): number {
    return Math.floor(this.quarterOf(index) / QUARTERS_A_DAY);
  }

  /**
   * Each event has its own slot of the quarter of an hour, so they come in order.
   * @param within where in the slot, from 0 to 1, without 1
   * @returns ms since the epoch
   */
  timeMs(index: number, quarter: number, within: number): number {
    const first = this.#before[quarter] as number;
    const count = (this.#before[quarter + 1] as number) - first;
    return FIRST_MS + quarter * QUARTER_MS + Math.floor((QUARTER_MS * (index - first + within)) / count);
  }

  /** Rows of a worker's stream that come before event `index` of its day. */
  rowsBefore(day: number, worker: number, index: number): number {
    return Math.floor((index - this.beforeDay(day) - worker + WORKERS - 1) / WORKERS);
  }

  /** The streams that have rows among events `from` up to `to`, by day and worker. */
  parts(from: number, to: number): StreamPart[] {
    const parts: StreamPart[] = [];
    for (let day = this.dayOf(from); day < DAYS && this.beforeDay(day) < to; day++) {
      const [first, end] = [Math.max(from, this.beforeDay(day)), Math.min(to, this.beforeDay(day + 1))];
      for (let worker = 0; worker < WORKERS; worker++) {
        const part = { day, worker, from: this.rowsBefore(day, worker, first), to: this.rowsBefore(day, worker, end) };
        if (part.to > part.from) parts.push(part);
      }
    }
    return parts;
  }

  /** Which event is a stream's row, before rows are put into the order of ends. */
  indexOf(day: number, worker: number, row: number): number {
    return this.beforeDay(day) + worker + row * WORKERS;
  }
}

/** 16 hexadecimal digits: spread over all numbers, as the random ones of real workers are. */
export function streamName(day: number, worker: number): string {
  return ((BigInt(day * WORKERS + worker + 1) * 0x9e37_79b9_7f4a_7c15n) & 0xffff_ffff_ffff_ffffn).toString(16).padStart(16, '0');
}

/** From 0.3 at night to 1.7 at the busiest, weekends a good half of that. */
function weightOf(quarter: number): number {
  const hour = (quarter % QUARTERS_A_DAY) / 4;
  const weekend = Math.floor(quarter / QUARTERS_A_DAY) % 7 >= 5;
  return (1 + 0.7 * Math.cos(((hour - BUSIEST_HOUR) * 2 * Math.PI) / 24)) * (weekend ? WEEKEND_SHARE : 1);
}
