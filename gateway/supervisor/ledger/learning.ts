import { TidegateError } from '../../../errors/tidegate-error.js';
import type { LimitClock } from '../../policies/limits/clock.js';
import type { LedgerLog } from './journal.js';
import type { AppsOfDay, RecordedDay, RecordedToday } from './recorded-use.js';

const RETRY_MS = 1000;
/** A collector may take so long to start, and is waited for without a word; then one line each time it has passed. */
const STARTING_MS = 10_000;

/** Asks what recorded events say of some days: one question at a time, again a second later if there is no answer. */
export class Learning {
  readonly #recordedToday: RecordedToday;
  readonly #clock: LimitClock;
  readonly #log: LedgerLog;
  readonly #learned: (days: readonly AppsOfDay[], recorded: RecordedDay) => void;
  /** Counts the questions; an answer to an older one is of no use. */
  #question = 0;
  #asking = false;
  /** Until then nothing is said of a collector that does not listen; monotonic ms. */
  #quietUntilMs: number | null = null;
  #retryAtMs = Number.NEGATIVE_INFINITY;

  constructor(recordedToday: RecordedToday, clock: LimitClock, log: LedgerLog, learned: (days: readonly AppsOfDay[], recorded: RecordedDay) => void) {
    this.#recordedToday = recordedToday;
    this.#clock = clock;
    this.#log = log;
    this.#learned = learned;
  }

  /** Whether a question may be put now. */
  get idle(): boolean {
    return !this.#asking && this.#clock.monotonicMs() >= this.#retryAtMs;
  }

  ask(days: readonly AppsOfDay[]): void {
    this.#asking = true;
    const question = ++this.#question;
    this.#recordedToday(days).then((recorded) => {
      if (question !== this.#question) return;
      this.#asking = false;
      this.#quietUntilMs = null;
      this.#learned(days, recorded);
    }, (error: unknown) => {
      if (question !== this.#question) return;
      this.#asking = false;
      this.#retryAtMs = this.#clock.monotonicMs() + RETRY_MS;
      this.#tellOf(error);
    });
  }

  #tellOf(error: unknown): void {
    const what = 'recorded events cannot be counted yet; quotas wait';
    if (!(error instanceof TidegateError) || error.code !== 'collector_unavailable') {
      this.#log.warn({ err: error }, what);
      return;
    }
    const nowMs = this.#clock.monotonicMs();
    this.#quietUntilMs ??= nowMs + STARTING_MS;
    if (nowMs < this.#quietUntilMs) return;
    this.#quietUntilMs = nowMs + STARTING_MS;
    this.#log.warn({ code: error.code }, `${what}: ${error.message}`);
  }

  /** What is being counted is out of date, or nobody wants to know any more. */
  forget(): void {
    this.#question++;
    this.#asking = false;
  }
}
