/** What the configuration said of each app, and since when: a day is billed by what was in force at its end, also where it is closed later, or by another collector. */
import type { AppConfig } from '../../gateway/config/schema.js';
import { quoted } from '../store/insert-statement.js';
import type { Store } from '../store/store.js';
import type { Terms } from './app-days.js';
import { inStatements } from './ledger.js';

export class TermsBook {
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  /** By app; of each ascending. @throws what the store throws */
  async all(): Promise<ReadonlyMap<string, readonly Terms[]>> {
    const rows = await this.#store.query<{ app: string; from: number; customer: string; zone: string; quota: number; over: Terms['over']; removed: boolean; least: string }>(
      'SELECT app, from_ms AS from, customer, time_zone AS zone, quota, over, removed, least_day AS least FROM tidegate.billing_terms AS t FINAL ORDER BY t.app, t.from_ms');
    const book = new Map<string, Terms[]>();
    for (const { app, from, customer, zone, quota, over, removed, least } of rows) {
      const its = book.get(app) ?? [];
      if (its.push({ app, fromMs: Number(from), customer, timeZone: zone, quota: Number(quota), over, removed, leastDay: least }) === 1) book.set(app, its);
    }
    return book;
  }

  /**
   * Notes what the configuration says that is not what was noted last.
   * @param fromMs since when it has been in force; what was noted later than that comes before it all the same
   * @param leastDay of apps that begin with it; see Terms
   * @throws what the store throws; to be called again then
   */
  async note(apps: readonly AppConfig[], fromMs: number, leastDay: string): Promise<void> {
    const book = await this.all();
    const named = new Set(apps.map(({ name }) => name));
    const said = apps.map((app) => termsIn(app, fromMs, leastDay));
    const gone = [...book.values()].map((its) => its.at(-1) as Terms).filter(({ app, removed }) => !removed && !named.has(app)).map((last): Terms => ({ ...last, fromMs, removed: true }));
    const changed = [...said, ...gone].flatMap((terms) => {
      const last = book.get(terms.app)?.at(-1);
      if (last === undefined) return [terms];
      return same(last, terms) ? [] : [{ ...terms, fromMs: Math.max(terms.fromMs, last.fromMs + 1) }];
    });
    const rows = changed.map((terms) => `(${[quoted(terms.app), terms.fromMs, quoted(terms.customer), quoted(terms.timeZone), terms.quota, quoted(terms.over), terms.removed, quoted(terms.leastDay)].join(', ')})`);
    for (const some of inStatements(rows)) {
      await this.#store.command(`INSERT INTO tidegate.billing_terms (app, from_ms, customer, time_zone, quota, over, removed, least_day)
        SELECT * FROM values('app String, from_ms Int64, customer String, time_zone String, quota UInt64, over String, removed Bool, least_day String', ${some.join(', ')})`);
    }
  }

  /** Apps of which another configuration stands than this one: that of another collector, noted later. */
  static contradicted(book: ReadonlyMap<string, readonly Terms[]>, apps: readonly AppConfig[]): readonly string[] {
    return apps.filter((app) => {
      const stands = book.get(app.name)?.at(-1);
      return stands !== undefined && !same(stands, termsIn(app, 0, ''));
    }).map(({ name }) => name);
  }
}

function termsIn({ name, customer = '', time_zone, limits: { qpd = 0 } }: AppConfig, fromMs: number, leastDay: string): Terms {
  const { limit, over } = typeof qpd === 'number' ? { limit: qpd, over: 'refuse' as const } : qpd;
  return { app: name, fromMs, customer, timeZone: time_zone, quota: limit, over, removed: false, leastDay };
}

const same = (a: Terms, b: Terms): boolean =>
  a.customer === b.customer && a.timeZone === b.timeZone && a.quota === b.quota && a.over === b.over && a.removed === b.removed;
