/**
 * Holds back warnings and errors that say the same again: of one level, code and message the first `limit` in a minute are written, and when
 * the minute is over one line says how many were left out. Without it an error a request would fill the disk.
 */
const WINDOW_MS = 60_000;
/** Different lines that are told apart in a minute; those beyond share one place. Messages are the program's own, so they are few. */
const MOST_KINDS = 1000;

/** Lines that were left out since the minute's begin. */
export interface LeftOut {
  readonly level: string;
  readonly code: string | null;
  readonly message: string;
  readonly count: number;
}

interface Kind extends LeftOut { lines: number; count: number; readonly sinceMs: number }

export class Repeats {
  /** 0: nothing is held back. */
  limit: number;
  readonly #nowMs: () => number;
  readonly #kinds = new Map<string, Kind>();
  #total = 0;

  /** @param nowMs of a clock that is never set */
  constructor(limit: number, nowMs: () => number = () => performance.now()) {
    this.limit = limit;
    this.#nowMs = nowMs;
  }

  /** Left out since the process began. */
  get total(): number { return this.#total; }

  /** Whether the line is to be written; if not, it is counted. */
  take(level: string, code: string | null, message: string): boolean {
    if (this.limit === 0) return true;
    let key = `${level}\n${code ?? ''}\n${message}`;
    const nowMs = this.#nowMs();
    if (!this.#kinds.has(key) && this.#kinds.size >= MOST_KINDS) key = '';
    let kind = this.#kinds.get(key);
    if (kind === undefined) this.#kinds.set(key, kind = key === '' ? { level, code: null, message: 'many different lines', lines: 0, count: 0, sinceMs: nowMs } : { level, code, message, lines: 0, count: 0, sinceMs: nowMs });
    if (kind.lines < this.limit) {
      kind.lines++;
      return true;
    }
    kind.count++;
    this.#total++;
    return false;
  }

  /** What was left out in minutes that are over, once; `all`: also in those under way. */
  over(all = false): LeftOut[] {
    const nowMs = this.#nowMs();
    const ended = [...this.#kinds].filter(([, { sinceMs }]) => all || nowMs - sinceMs >= WINDOW_MS);
    for (const [key] of ended) this.#kinds.delete(key);
    return ended.map(([, kind]) => kind).filter(({ count }) => count > 0);
  }
}
