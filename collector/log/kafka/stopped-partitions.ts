/** Partitions that stay unread in this generation, and why: time does not mend it, and the other partitions go on. */
import type { ErrorCode } from '../../../errors/codes.js';
import { TidegateError } from '../../../errors/tidegate-error.js';
import type { SpoolLog } from '../../../gateway/events/spool-log.js';
import type { Standing } from '../event-log.js';

const STOPS: ReadonlySet<string> = new Set<ErrorCode>(['log_place_lost', 'log_store_behind', 'log_intent_unreadable', 'log_range_gone', 'log_intent_old', 'log_went_back']);

export class StoppedPartitions {
  readonly #log: SpoolLog;
  readonly #stopped = new Map<number, TidegateError>();

  constructor(log: SpoolLog) {
    this.#log = log;
  }

  /** Whether it stops its partition. */
  static isOf(error: unknown): error is TidegateError {
    return error instanceof TidegateError && STOPS.has(error.code);
  }

  /** @param why of a partition that has not stopped yet */
  add(partition: number, why: () => TidegateError): void {
    if (this.#stopped.has(partition)) return;
    const error = why();
    this.#stopped.set(partition, error);
    this.#log.error({ code: error.code, partition, detail: error.message }, 'a partition is not read until this is mended');
  }

  has(partition: number): boolean {
    return this.#stopped.has(partition);
  }

  clear(): void {
    this.#stopped.clear();
  }

  /** Null: none has stopped. */
  standing(): Standing | null {
    const [first] = this.#stopped;
    if (first === undefined) return null;
    const [partition, { code, message }] = first;
    const others = this.#stopped.size - 1;
    return { code, detail: `partition ${partition} is not read: ${message}${others > 0 ? ` (and ${others} more)` : ''}` };
  }
}
