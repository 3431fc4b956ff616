/**
 * Looks at the store each minute: whether it still holds what was stored of each day, and which parts the engine has set aside. What it finds is in the status, in the metrics, and, when it
 * changes, in the log. It looks beside storing, which waits for nothing here.
 */
import { ERROR_CODES } from '../../errors/codes.js';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { SpoolLog } from '../../gateway/events/spool-log.js';
import { detachedParts, type DetachedParts } from '../store/detached-parts.js';
import type { QueryParams, Store } from '../store/store.js';
import { StoredDays } from './stored-days.js';

export interface StoreFindings {
  /** When all days were compared last, ms since the epoch; null: not since it began, for days before the record could not be counted. */
  readonly lookedMs: number | null;
  /** Days (UTC) that lack rows that were stored, the oldest first. */
  readonly rowsMissing: readonly { readonly day: string; readonly rows: number }[];
  /** By table; null: the store does not say. */
  readonly detached: readonly DetachedParts[] | null;
}

/** Days named in a line of the log. */
const MAX_DAYS = 20;

export class StoreWatch {
  readonly #store: Pick<Store, 'query' | 'setAsideUnreadable'>;
  readonly #days: StoredDays;
  readonly #log: SpoolLog;
  readonly #nowMs: () => number;
  #found: StoreFindings | null = null;
  #failing: string | null = null;
  #uncounted: string | null = null;
  #unreadable: string | null = null;
  #looking: Promise<void> | null = null;
  readonly #stopped = new AbortController();

  constructor(store: Pick<Store, 'query' | 'setAsideUnreadable'>, log: SpoolLog, nowMs: () => number = Date.now) {
    this.#store = store;
    this.#days = new StoredDays({ query: (select, params) => this.#query(select, params) });
    this.#log = log;
    this.#nowMs = nowMs;
  }

  /** Of the last look that compared the days of the record; null: none has yet. */
  get found(): StoreFindings | null { return this.#found; }

  /** Never throws: it is called again, and nothing waits for it. */
  look(): Promise<void> {
    this.#looking ??= this.#setAside().then(() => this.#look()).finally(() => { this.#looking = null; });
    return this.#looking;
  }

  /** A look that is under way ends at once, whatever the engine is counting for it, and asks nothing more. */
  async stop(): Promise<void> {
    this.#stopped.abort(new TidegateError('collector_unavailable', 'the collector stops'));
    await this.#looking;
  }

  /** First, so that what it sets aside is found missing at once. */
  async #setAside(): Promise<void> {
    if (this.#stopped.signal.aborted) return;
    try {
      await this.#store.setAsideUnreadable?.();
    } catch (error) {
      this.#log.warn({ err: error }, 'whether merges met a damaged part could not be looked at; it is tried again');
    }
  }

  #query<Row>(select: string, params?: QueryParams): Promise<Row[]> {
    const { signal } = this.#stopped;
    return new Promise((resolve, reject) => {
      const stop = (): void => { reject(signal.reason as TidegateError); };
      if (signal.aborted) { stop(); return; }
      signal.addEventListener('abort', stop, { once: true });
      this.#store.query<Row>(select, params).then(resolve, reject).finally(() => { signal.removeEventListener('abort', stop); });
    });
  }

  async #look(): Promise<void> {
    try {
      const lookedMs = this.#nowMs();
      const { rows: byDay, olderUncounted } = await this.#days.missing();
      const rowsMissing = [...byDay].map(([day, rows]) => ({ day, rows }));
      const detached = await this.#detached();
      if (this.#stopped.signal.aborted) return;
      const before = this.#found ?? { lookedMs: null, rowsMissing: [], detached: [] };
      this.#found = { lookedMs: olderUncounted === null ? lookedMs : before.lookedMs, rowsMissing, detached };
      this.#failing = null;
      if (olderUncounted !== null && olderUncounted !== this.#uncounted) this.#log.warn({ detail: olderUncounted }, 'days before the record of stored rows could not be compared; it is tried again in ten minutes');
      this.#uncounted = olderUncounted;
      this.#logRows(before.rowsMissing, rowsMissing);
      if (detached !== null) this.#logDetached(before.detached ?? [], detached);
    } catch (error) {
      if (this.#stopped.signal.aborted) return;
      const detail = messageOf(error);
      if (detail !== this.#failing) this.#log.warn({ err: error }, 'what the store holds could not be compared with what was stored; it is tried again');
      this.#failing = detail;
    }
  }

  /** Null: it cannot be asked, which is logged once for each reason. */
  async #detached(): Promise<readonly DetachedParts[] | null> {
    try {
      const found = await detachedParts({ query: (select, params) => this.#query(select, params) });
      this.#unreadable = null;
      return found;
    } catch (error) {
      if (this.#stopped.signal.aborted) return null;
      const code = error instanceof TidegateError ? error.code : 'internal_error';
      if (code !== this.#unreadable) this.#log.warn({ code, detail: messageOf(error), remedy: ERROR_CODES[code].remedy }, 'which parts the store has set aside is not known; nothing else needs it');
      this.#unreadable = code;
      return null;
    }
  }

  #logRows(before: StoreFindings['rowsMissing'], now: StoreFindings['rowsMissing']): void {
    if (JSON.stringify(before) === JSON.stringify(now)) return;
    if (now.length === 0) {
      this.#log.info({ days: before.slice(0, MAX_DAYS).map(({ day }) => day) }, 'no day lacks rows that were stored any more');
      return;
    }
    const code = 'stored_rows_missing';
    const missing = now.reduce((sum, { rows }) => sum + rows, 0);
    this.#log.error({ code, missing, days: now.slice(0, MAX_DAYS).map(({ day, rows }) => `${day}: ${rows}`), remedy: ERROR_CODES[code].remedy }, 'rows that were stored are not in the store any more');
  }

  #logDetached(before: readonly DetachedParts[], now: readonly DetachedParts[]): void {
    if (now.length === 0 || JSON.stringify(before) === JSON.stringify(now)) return;
    const code = 'store_parts_detached';
    this.#log.warn({ code, detached: now, remedy: ERROR_CODES[code].remedy }, 'the store has set parts aside; what is in them is in no report');
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
