import { TidegateError } from '../../errors/tidegate-error.js';
import type { QueryParams } from '../store/store.js';
import type { Principal } from './principal.js';

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

/** Of all askers, the one that runs included; what comes beyond is refused: it would wait a minute or more. */
const MAX_WAITING = 32;
/** Of one app: however many it asks for at once, the line has room for the others. */
const MAX_WAITING_OF_APP = 4;

/** On whose behalf the store is read. `signal`: aborts when the asker has left. */
export interface Asker {
  readonly principal: Principal;
  readonly signal?: AbortSignal;
}

export type Query = (sql: string, params: QueryParams) => Promise<readonly Row[]>;

/**
 * Lets one report at a time to the store, in order, so that one whose asker has left while it waited is never run, and the line
 * is bounded. What the ledger asks (counted.ts) does not stand in it: it waits for the statement that runs, and for nothing else.
 */
export class ReportStore {
  readonly #store: QueryStore;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  /** By app; absent: none. */
  readonly #waitingOf = new Map<string, number>();

  constructor(store: QueryStore) {
    this.#store = store;
  }

  /** One statement. @throws as turn() */
  query(sql: string, params: QueryParams, asker: Asker): Promise<readonly Row[]> {
    return this.turn(asker, (query) => query(sql, params));
  }

  /**
   * Runs `job` when its turn has come, and nobody else until it is done.
   * @throws report_too_large past the bounds of REPORT_SETTINGS; report_busy; the signal's reason
   */
  async turn<T>({ principal, signal }: Asker, job: (query: Query) => Promise<T>): Promise<T> {
    const app = principal.kind === 'app' ? principal.app : null;
    this.#enter(app);
    const turn = this.#last.then(() => {
      signal?.throwIfAborted();
      return job((sql, params) => this.#store.query(sql, params) as Promise<readonly Row[]>);
    });
    this.#last = turn.catch(() => undefined);
    try {
      return await turn;
    } catch (error) {
      throw tooLarge(error) ?? error;
    } finally {
      this.#leave(app);
    }
  }

  #enter(app: string | null): void {
    if (this.#waiting >= MAX_WAITING) throw new TidegateError('report_busy', `${MAX_WAITING} reports are waiting`);
    if (app !== null) {
      const waiting = this.#waitingOf.get(app) ?? 0;
      if (waiting >= MAX_WAITING_OF_APP) throw new TidegateError('report_busy', `${MAX_WAITING_OF_APP} reports of this app are waiting`);
      this.#waitingOf.set(app, waiting + 1);
    }
    this.#waiting += 1;
  }

  #leave(app: string | null): void {
    this.#waiting -= 1;
    if (app === null) return;
    const waiting = (this.#waitingOf.get(app) ?? 1) - 1;
    if (waiting === 0) this.#waitingOf.delete(app);
    else this.#waitingOf.set(app, waiting);
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
