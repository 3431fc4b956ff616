/**
 * What each scraper has been told of. A counter that first shows at 1 has no increase: nobody saw it at 0. So a series that was not there at a scraper's
 * last scrape is told to it as 0 once, which it was then, and with its value from the next scrape on (docs/decisions/0038). Who has not scraped before is told
 * the values as they are: it cannot take them for an increase.
 */

/** Prometheus servers of one node; who scraped longest ago is forgotten, and counts as new. */
const MOST_SCRAPERS = 16;

export class Births {
  /** By series, the scrape at which it was first there. As many as the series: their labels are bounded. */
  readonly #bornAt = new Map<string, number>();
  /** By scraper, its last scrape; who scraped longest ago first. */
  readonly #lastOf = new Map<string, number>();
  #scrape = 0;
  #since = Number.POSITIVE_INFINITY;

  /** @param scraper null: a person, or who does not say that it scrapes: nothing is new to it, and nothing is taken for told */
  begin(scraper: string | null): void {
    this.#scrape++;
    this.#since = scraper === null ? Number.POSITIVE_INFINITY : this.#lastOf.get(scraper) ?? Number.POSITIVE_INFINITY;
    if (scraper === null) return;
    this.#lastOf.delete(scraper);
    this.#lastOf.set(scraper, this.#scrape);
    if (this.#lastOf.size > MOST_SCRAPERS) this.#lastOf.delete(this.#lastOf.keys().next().value as string);
  }

  /** True where this scraper was not told of it at its last scrape, because it was not there. */
  isNew(series: string): boolean {
    let bornAt = this.#bornAt.get(series);
    if (bornAt === undefined) this.#bornAt.set(series, bornAt = this.#scrape);
    return bornAt > this.#since;
  }
}
