/**
 * What the collector says of itself, asked each second, so that who wants to know waits for nobody. The lag, how long ago everything recorded was
 * stored, goes on ageing while it does not answer; kept in a file of the run directory, where a restarted supervisor finds it.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { CollectorStatus } from '../control/control-deps.js';
import type { CollectorStatusClient } from './collector-status.js';

export interface CollectorLagOptions {
  readonly client: Pick<CollectorStatusClient, 'read'>;
  /** Where what the collector told last is kept. */
  readonly file: string;
  /** ms since the epoch; for tests. */
  readonly nowMs?: () => number;
}

const EVERY_MS = 1000;
/** A busy collector is not away: it may answer late. */
const WITHIN_MS = 10_000;
/** Until then it is taken to be as it was. */
const SILENT_AFTER_MS = 500;
/** So many seconds after a question without its answer it is taken to stand still: what it is busy with, a report say, is not done on its event loop. */
const STANDS_STILL_AFTER = 8;

export class CollectorLag {
  readonly #options: CollectorLagOptions;
  readonly #nowMs: () => number;
  #caughtUpMs: number | null;
  #status: CollectorStatus | null = null;
  /** Monotonic; null: no question is out. */
  #askedAtMs: number | null = null;
  /** Seconds that the question has been out, by ticks: a supervisor that was busy itself counts one. */
  #ticksOut = 0;
  /** The last question was out for so long, and ended without an answer. */
  #leftUnanswered = false;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: CollectorLagOptions) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? Date.now;
    this.#caughtUpMs = readKept(options.file);
  }

  start(): void {
    this.#timer = setInterval(() => { void this.ask(); }, EVERY_MS);
    void this.ask();
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
  }

  /** Null: no collector of this run has answered yet. */
  get seconds(): number | null {
    return this.#caughtUpMs === null ? null : Math.max(0, this.#nowMs() - this.#caughtUpMs) / 1000;
  }

  /** As of the last question, at most a second ago; null: it does not answer. */
  get status(): CollectorStatus | null {
    const silent = this.#askedAtMs !== null && performance.now() - this.#askedAtMs > SILENT_AFTER_MS;
    return silent ? null : this.#status;
  }

  /** It takes questions and has answered none for some seconds. One that is not there, or starts, refuses them at once: that is another thing. */
  get standsStill(): boolean {
    return this.#leftUnanswered || this.#ticksOut >= STANDS_STILL_AFTER;
  }

  /** What the collector told, whoever asked. Null: it did not answer, and nothing changes. */
  take(caughtUpMs: number | null): void {
    if (caughtUpMs === null || caughtUpMs === this.#caughtUpMs) return;
    this.#caughtUpMs = caughtUpMs;
    const { file } = this.#options;
    try {
      writeFileSync(`${file}.new`, String(caughtUpMs), { mode: 0o600 });
      renameSync(`${file}.new`, file);
    } catch {
      // a full disk, or the run is over: a restarted supervisor then says that it does not know
    }
  }

  /** One question at a time. */
  async ask(): Promise<void> {
    if (this.#askedAtMs !== null) {
      this.#ticksOut++;
      return;
    }
    this.#askedAtMs = performance.now();
    try {
      const answer = await this.#options.client.read(WITHIN_MS);
      this.#leftUnanswered = answer === null && this.#ticksOut >= STANDS_STILL_AFTER;
      this.#status = answer?.status ?? null;
      this.take(answer?.caughtUpMs ?? null);
    } finally {
      this.#askedAtMs = null;
      this.#ticksOut = 0;
    }
  }
}

function readKept(file: string): number | null {
  try {
    const kept = Number(readFileSync(file, 'utf8'));
    return Number.isSafeInteger(kept) && kept > 0 ? kept : null;
  } catch {
    return null;
  }
}
