import { TidegateError } from '../../errors/tidegate-error.js';
import type { QueryParams } from '../store/store.js';

/** The part of the store that reports use: rows as JSON objects. Values travel as typed parameters, `{app:String}`, never in the text. */
export interface QueryStore {
  query(sql: string, params: QueryParams): Promise<readonly unknown[]>;
}

export type Row = Readonly<Record<string, unknown>>;

/**
 * In every report's statement: what one report may take of the engine. The time bound matters most: chDB answers one statement of a
 * handle at a time and cannot be interrupted (an aborted query ran on for minutes, and everything behind it waited).
 */
export const REPORT_SETTINGS = 'SETTINGS max_execution_time = 10, max_memory_usage = 2000000000';

/** Rows of one report, and buckets of its range. */
export const MAX_ROWS = 50_000;

/** Waiting reports beyond this are refused: the last of them would wait a minute or more. */
const MAX_WAITING = 32;

/**
 * Lets one report at a time to the store, in order, so that one whose asker has left while it waited is never run, and the line
 * is bounded.
 */
export class ReportStore {
  readonly #store: QueryStore;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(store: QueryStore) {
    this.#store = store;
  }

  /** @throws report_too_large past the bounds of REPORT_SETTINGS; report_busy; the signal's reason */
  async query(sql: string, params: QueryParams, signal?: AbortSignal): Promise<readonly Row[]> {
    if (this.#waiting >= MAX_WAITING) throw new TidegateError('report_busy', `${MAX_WAITING} reports are waiting`);
    this.#waiting += 1;
    const turn = this.#last.then(async () => {
      signal?.throwIfAborted();
      return (await this.#store.query(sql, params)) as readonly Row[];
    });
    this.#last = turn.catch(() => undefined);
    try {
      return await turn;
    } catch (error) {
      throw tooLarge(error) ?? error;
    } finally {
      this.#waiting -= 1;
    }
  }
}

/** TIMEOUT_EXCEEDED and MEMORY_LIMIT_EXCEEDED, as the engine numbers them, of an error or of what caused it. */
function tooLarge(error: unknown): TidegateError | null {
  for (let at = error; at instanceof Error; at = at.cause) {
    const code = String((at as { readonly code?: unknown }).code);
    if (code === '159') return new TidegateError('report_too_large', 'The report took longer than 10 s.', { cause: error });
    if (code === '241') return new TidegateError('report_too_large', 'The report took more than 2 GB of memory.', { cause: error });
  }
  return null;
}
