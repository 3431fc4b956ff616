/** What the configuration said of each app, and since when: a day is billed by what was in force at its end, also where it is closed later, or by another collector. */
import type { AppConfig } from '../../gateway/config/schema.js';
import { quoted } from '../store/insert-statement.js';
import type { Store } from '../store/store.js';
import type { Terms } from './app-days.js';

/** A statement is at most 256 KB. */
const ROWS_A_STATEMENT = 500;

export class TermsBook {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /** By app; of each ascending. @throws what the store throws */
  async all(): Promise<ReadonlyMap<string, readonly Terms[]>> {
    const rows = await this.#store.query<{ app: string; from: number; customer: string; zone: string; quota: number; over: Terms['over']; removed: boolean }>(
      'SELECT app, from_ms AS from, customer, time_zone AS zone, quota, over, removed FROM tidegate.billing_terms AS t FINAL ORDER BY t.app, t.from_ms');
    const book = new Map<string, Terms[]>();
    for (const { app, from, customer, zone, quota, over, removed } of rows) {
      const its = book.get(app) ?? [];
      if (its.push({ app, fromMs: Number(from), customer, timeZone: zone, quota: Number(quota), over, removed }) === 1) book.set(app, its);
    }
    return book;
  }

  /**
   * Notes what the configuration says that is not what was noted last.
   * @param fromMs since when it has been in force; what was noted later than that comes before it all the same
   * @returns whether anything was new. @throws what the store throws; to be called again then
   */
  async note(apps: readonly AppConfig[], fromMs: number): Promise<boolean> {
    const book = await this.all();
    const named = new Set(apps.map(({ name }) => name));
    const said = apps.map((app) => termsIn(app, fromMs));
    const gone = [...book.values()].map((its) => its.at(-1) as Terms).filter(({ app, removed }) => !removed && !named.has(app)).map((last): Terms => ({ ...last, fromMs, removed: true }));
    const changed = [...said, ...gone].flatMap((terms) => {
      const last = book.get(terms.app)?.at(-1);
      if (last === undefined) return [terms];
      return same(last, terms) ? [] : [{ ...terms, fromMs: Math.max(terms.fromMs, last.fromMs + 1) }];
    });
    for (let from = 0; from < changed.length; from += ROWS_A_STATEMENT) {
      const rows = changed.slice(from, from + ROWS_A_STATEMENT).map((terms) =>
        `(${[quoted(terms.app), terms.fromMs, quoted(terms.customer), quoted(terms.timeZone), terms.quota, quoted(terms.over), terms.removed].join(', ')})`);
      await this.#store.command(`INSERT INTO tidegate.billing_terms (app, from_ms, customer, time_zone, quota, over, removed)
        SELECT * FROM values('app String, from_ms Int64, customer String, time_zone String, quota UInt64, over String, removed Bool', ${rows.join(', ')})`);
    }
    return changed.length > 0;
  }
}

function termsIn({ name, customer = '', time_zone, limits: { qpd = 0 } }: AppConfig, fromMs: number): Terms {
  const { limit, over } = typeof qpd === 'number' ? { limit: qpd, over: 'refuse' as const } : qpd;
  return { app: name, fromMs, customer, timeZone: time_zone, quota: limit, over, removed: false };
}

const same = (a: Terms, b: Terms): boolean =>
  a.customer === b.customer && a.timeZone === b.timeZone && a.quota === b.quota && a.over === b.over && a.removed === b.removed;
