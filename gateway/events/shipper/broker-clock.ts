/**
 * How far this machine's clock is ahead of Kafka's, as its answers say (topic-time.ts), and what to send to a Kafka that refuses this machine's time.
 *
 * A refused message is sent without a time: Kafka takes it whatever the clock says, and keeps the file that holds nothing else by the time at which it was last written. But in a
 * file that also holds messages with a time it goes with these, so it is not sent to a Kafka that takes this machine's.
 */
import type { ErrorCode } from '../../../errors/codes.js';
import { TidegateError } from '../../../errors/tidegate-error.js';
import type { SpoolLog } from '../spool-log.js';
import type { LogTopics } from './topics.js';

/** What is not as it should be, and stops nothing. */
export interface ClockWarning { readonly code: ErrorCode; readonly detail: string }

/** Of a request for which Kafka wrote its own time. All ms since the epoch. */
export interface Answered {
  readonly sentAtMs: number;
  readonly answeredAtMs: number;
  /** By the clock of Kafka, of each partition that took something. */
  readonly appendedAtMs: readonly number[];
}

/** Less than that is told by the metric alone. */
export const CLOCK_OFF_MS = 60_000;
/** Kafka's default of what it takes, where the topic does not say. */
const AHEAD_TAKEN_MS = 3_600_000;
/** After so long it is tried again whether Kafka takes this machine's time. */
const WITHOUT_TIME_MS = 600_000;

export class BrokerClock {
  readonly #log: SpoolLog;
  readonly #monotonicMs: () => number;
  #topics: Pick<LogTopics, 'brokerTime' | 'aheadTakenMs'> | null = null;
  #aheadMs: number | null = null;
  /** By a clock that is never set; negative infinity: it was not refused. */
  #refusedAtMs = Number.NEGATIVE_INFINITY;
  #toldOff = false;

  constructor(log: SpoolLog, monotonicMs: () => number = () => performance.now()) {
    this.#log = log;
    this.#monotonicMs = monotonicMs;
  }

  connected(topics: Pick<LogTopics, 'brokerTime' | 'aheadTakenMs'>): void {
    this.#topics = topics;
  }

  /** Kafka does not take this machine's time. @returns whether it may take the same without one */
  refused(): boolean {
    if (this.withoutTime) return false;
    this.#refusedAtMs = this.#monotonicMs();
    this.#set(this.#topics?.aheadTakenMs ?? AHEAD_TAKEN_MS);
    return true;
  }

  /** Whether messages go without a time. */
  get withoutTime(): boolean {
    return this.#monotonicMs() - this.#refusedAtMs < WITHOUT_TIME_MS;
  }

  /** What was sent has been taken. The difference is what neither the way there nor the way back can explain. */
  answered({ sentAtMs, answeredAtMs, appendedAtMs }: Answered): void {
    if (appendedAtMs.length === 0) {
      // by this machine's time, or without one: then nothing new is known of it
      if (!this.withoutTime) this.#set(null);
      return;
    }
    // somebody else has altered the topic
    if (this.#topics?.brokerTime === false) this.#topics = { ...this.#topics, brokerTime: true };
    this.#refusedAtMs = Number.NEGATIVE_INFINITY;
    // of several brokers the one that agrees best: another's clock may be the one that is off
    const aheads = appendedAtMs.map((atMs) => (atMs < sentAtMs ? sentAtMs - atMs : Math.min(0, answeredAtMs - atMs)));
    this.#set(aheads.reduce((least, aheadMs) => (Math.abs(aheadMs) < Math.abs(least) ? aheadMs : least)));
  }

  /** Negative: it is behind. Where Kafka refuses this machine's time, the least that it must be. Null: Kafka has not told its own time. */
  get aheadSeconds(): number | null {
    return this.#aheadMs === null ? null : this.#aheadMs / 1000;
  }

  /** Whether Kafka keeps events by its own clock; null: not known yet. */
  get brokerTime(): boolean | null {
    return this.#topics?.brokerTime ?? null;
  }

  get warnings(): readonly ClockWarning[] {
    const off: ClockWarning[] = this.#isOff ? [{ code: 'kafka_clock_off', detail: this.#offText() }] : [];
    return this.brokerTime === false ? [...off, { code: 'kafka_topic_clock', detail: 'Kafka keeps events by the clocks of gateways' }] : off;
  }

  get #isOff(): boolean {
    return this.#aheadMs !== null && Math.abs(this.#aheadMs) >= CLOCK_OFF_MS;
  }

  #offText(): string {
    const aheadS = Math.round((this.#aheadMs ?? 0) / 1000);
    if (this.withoutTime) return `the clock of this machine is more than ${aheadS} s ahead of that of Kafka, which does not take its time`;
    return `the clock of this machine is ${Math.abs(aheadS)} s ${aheadS > 0 ? 'ahead of' : 'behind'} that of Kafka`;
  }

  #set(aheadMs: number | null): void {
    this.#aheadMs = aheadMs;
    if (this.#isOff === this.#toldOff) return;
    this.#toldOff = this.#isOff;
    const fields = { ahead_s: aheadMs === null ? undefined : Math.round(aheadMs / 1000) };
    if (!this.#toldOff) {
      this.#log.info(fields, 'the clock of this machine and that of Kafka agree again');
      return;
    }
    const error = new TidegateError('kafka_clock_off', this.#offText());
    this.#log.warn({ code: error.code, ...fields, detail: error.message, remedy: error.remedy }, 'the clock of this machine and that of Kafka differ');
  }
}
