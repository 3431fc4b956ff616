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
/** Of one app, or of one token that is not the operator's: however many it asks for at once, the line has room for the others. */
const MAX_WAITING_OF_ONE = 4;

/** Of one asker who is not the operator, and of all: reports that are sent as they are read. One that nobody reads on takes some megabytes. */
const MAX_STREAMS_OF_ONE = 4;
const MAX_STREAMS = 64;

/** On whose behalf the store is read. `signal`: aborts when the asker has left. */
export interface Asker {
  readonly principal: Principal;
  readonly signal?: AbortSignal;
  /** None of its turns is refused: a part of the answer is sent (beginStream), or it is for all who look on. */
  readonly streams?: true;
}

export type Query = (sql: string, params: QueryParams) => Promise<readonly Row[]>;

/**
 * Lets one report at a time to the store. Askers have their turns by rounds, whatever each has asked for: an app that asks a lot waits behind itself,
 * and another for one report of each of those before it. One whose asker has left while it waited is never run, and the line is bounded. What the ledger
 * asks (counted.ts) does not stand in it: it waits for the statement that runs, and for nothing else.
 */
export class ReportStore {
  readonly #store: QueryStore;
  /** Whose turn it is, or null; then the others, in the order of their turns, each with what starts its reports that wait. */
  #running: string | null = null;
  readonly #lines = new Map<string, (() => void)[]>();
  #waiting = 0;
  /** By who asks. */
  readonly #streams = new Map<string, number>();

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
  async turn<T>({ principal, signal, streams }: Asker, job: (query: Query) => Promise<T>): Promise<T> {
    await this.#enter(principal, streams === true);
    try {
      signal?.throwIfAborted();
      return await job((sql, params) => this.#store.query(sql, params) as Promise<readonly Row[]>);
    } catch (error) {
      throw tooLarge(error) ?? error;
    } finally {
      this.#next();
    }
  }

  /** Lets one in for a report of many turns. @returns what lets it go, once. @throws report_busy */
  beginStream(principal: Principal): () => void {
    const name = nameOf(principal);
    const own = this.#streams.get(name) ?? 0;
    const all = [...this.#streams.values()].reduce((sum, count) => sum + count, 0);
    if (all >= MAX_STREAMS || (name !== 'operator' && own >= MAX_STREAMS_OF_ONE)) throw new TidegateError('report_busy', `${all >= MAX_STREAMS ? all : own} reports are being sent`);
    this.#streams.set(name, own + 1);
    let held = true;
    return () => {
      const count = this.#streams.get(name) ?? 0;
      if (held && count > 1) this.#streams.set(name, count - 1);
      else if (held) this.#streams.delete(name);
      held = false;
    };
  }

  /** Resolves when the turn has come. @throws report_busy */
  #enter(principal: Principal, letIn: boolean): Promise<void> {
    const name = nameOf(principal);
    const line = this.#lines.get(name) ?? [];
    const own = line.length + (this.#running === name ? 1 : 0);
    if (!letIn && this.#waiting >= MAX_WAITING) throw new TidegateError('report_busy', `${MAX_WAITING} reports are waiting`);
    if (!letIn && name !== 'operator' && own >= MAX_WAITING_OF_ONE) throw new TidegateError('report_busy', `${MAX_WAITING_OF_ONE} reports of this ${principal.kind === 'app' ? 'app' : 'token'} are waiting`);
    this.#waiting += 1;
    if (this.#running === null) {
      this.#running = name;
      return Promise.resolve();
    }
    this.#lines.set(name, line);
    return new Promise((resolve) => { line.push(resolve); });
  }

  /** The turn is over, and the next asker's begins. */
  #next(): void {
    this.#waiting -= 1;
    const over = this.#running ?? '';
    const rest = this.#lines.get(over);
    // behind all who have waited through it
    if (rest !== undefined && this.#lines.delete(over)) this.#lines.set(over, rest);
    const [next] = this.#lines;
    this.#running = next?.[0] ?? null;
    if (next === undefined) return;
    const [name, line] = next;
    line.shift()?.();
    if (line.length === 0) this.#lines.delete(name);
  }
}

const nameOf = (principal: Principal): string => (principal.kind === 'app' ? `app:${principal.app}` : principal.reader === undefined ? 'operator' : `reader:${principal.reader}`);

/** TIMEOUT_EXCEEDED and MEMORY_LIMIT_EXCEEDED, as the engine numbers them, of an error or of what caused it. */
function tooLarge(error: unknown): TidegateError | null {
  for (let at = error; at instanceof Error; at = at.cause) {
    const code = String((at as { readonly code?: unknown }).code);
    if (code === '159') return new TidegateError('report_too_large', 'The report took longer than 10 s.', { cause: error });
    if (code === '241') return new TidegateError('report_too_large', 'The report took more than 2 GB of memory.', { cause: error });
  }
  return null;
}
