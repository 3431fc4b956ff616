/**
 * Looks at the store each minute: whether it still holds what was stored of each day, and which parts the engine has set aside. What it finds is in the status, in the metrics, and, when it
 * changes, in the log. It looks beside storing, which waits for nothing here.
 */
import { ERROR_CODES } from '../../errors/codes.js';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { SpoolLog } from '../../gateway/events/spool-log.js';
import { detachedParts, type DetachedParts } from '../store/detached-parts.js';
import type { Store } from '../store/store.js';
import type { StoredDays } from './stored-days.js';

export interface StoreFindings {
  /** ms since the epoch. */
  readonly lookedMs: number;
  /** Days (UTC) that lack rows that were stored, the oldest first. */
  readonly rowsMissing: readonly { readonly day: string; readonly rows: number }[];
  /** By table; null: the store does not say. */
  readonly detached: readonly DetachedParts[] | null;
}

/** Days named in a line of the log. */
const MAX_DAYS = 20;

export class StoreWatch {
  readonly #store: Pick<Store, 'query' | 'setAsideUnreadable'>;
  readonly #days: Pick<StoredDays, 'missing'>;
  readonly #log: SpoolLog;
  readonly #nowMs: () => number;
  #found: StoreFindings | null = null;
  #failing: string | null = null;
  #unreadable: string | null = null;
  #looking: Promise<void> | null = null;

  constructor(store: Pick<Store, 'query'>, days: Pick<StoredDays, 'missing'>, log: SpoolLog, nowMs: () => number = Date.now) {
    this.#store = store;
    this.#days = days;
    this.#log = log;
    this.#nowMs = nowMs;
  }

  /** Of the last look that succeeded; null: none has yet. */
  get found(): StoreFindings | null { return this.#found; }

  /** Never throws: it is called again, and nothing waits for it. */
  look(): Promise<void> {
    this.#looking ??= this.#setAside().then(() => this.#look()).finally(() => { this.#looking = null; });
    return this.#looking;
  }

  /** Waits for what is under way. */
  async stop(): Promise<void> {
    await this.#looking;
  }

  /** First, so that what it sets aside is found missing at once. */
  async #setAside(): Promise<void> {
    try {
      await this.#store.setAsideUnreadable?.();
    } catch (error) {
      this.#log.warn({ err: error }, 'whether merges met a damaged part could not be looked at; it is tried again');
    }
  }

  async #look(): Promise<void> {
    try {
      const lookedMs = this.#nowMs();
      const rowsMissing = [...await this.#days.missing()].map(([day, rows]) => ({ day, rows }));
      const detached = await this.#detached();
      const before = this.#found ?? { rowsMissing: [], detached: [] };
      this.#found = { lookedMs, rowsMissing, detached };
      this.#failing = null;
      this.#logRows(before.rowsMissing, rowsMissing);
      if (detached !== null) this.#logDetached(before.detached ?? [], detached);
    } catch (error) {
      const detail = messageOf(error);
      if (detail !== this.#failing) this.#log.warn({ err: error }, 'what the store holds could not be compared with what was stored; it is tried again');
      this.#failing = detail;
    }
  }

  /** Null: it cannot be asked, which is logged once for each reason. */
  async #detached(): Promise<readonly DetachedParts[] | null> {
    try {
      const found = await detachedParts(this.#store);
      this.#unreadable = null;
      return found;
    } catch (error) {
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
