/** What raw events say of a time, by app: what a bill is made of. Imported rows were no requests of this gateway, and further rows of long connections are 0 requests. */
import type { Store } from '../store/store.js';
import type { DayCounts } from './entry.js';

export const NO_COUNTS: DayCounts = { received: 0, refused: 0, requests: 0, billable: 0 };

/** What no policy let through stands on no bill: its event may say so of a client that left before any target was tried. */
const countsSql = (which: string): string => `SELECT toString(t.app) AS app, sum(t.requests) AS received, sumIf(t.requests, NOT t.let_through) AS refused, sumIf(t.requests, t.billable = 1 AND t.let_through) AS billable
FROM tidegate.events AS t
WHERE t.time >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC') AND t.time < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC') AND t.kind != 'import' AND ${which}
GROUP BY app
SETTINGS max_execution_time = 600`;

/** Of [fromMs, toMs). An app without events is not among them. @param apps null: all. @throws what the store throws */
export async function dayCounts(store: Pick<Store, 'query'>, fromMs: number, toMs: number, apps: readonly string[] | null = null): Promise<ReadonlyMap<string, DayCounts>> {
  const rows = await store.query<{ app: string; received: number; refused: number; billable: number }>(
    countsSql(apps === null ? "t.app != ''" : 't.app IN {apps:Array(String)}'), { from_ms: fromMs, to_ms: toMs, ...(apps === null ? {} : { apps }) });
  return new Map(rows.map(({ app, ...counts }) => {
    const [received, refused, billable] = [Number(counts.received), Number(counts.refused), Number(counts.billable)];
    return [app, { received, refused, requests: received - refused, billable }];
  }));
}

const DAY_MS = 86_400_000;

/** How many rows each day (UTC) of raw events has: it changes with each row that comes, whenever it comes, and with none that merges. */
export class RawDays {
  readonly #rows: ReadonlyMap<number, number>;

  private constructor(rows: ReadonlyMap<number, number>) {
    this.#rows = rows;
  }

  /** @throws what the store throws */
  static async read(store: Pick<Store, 'query'>): Promise<RawDays> {
    const parts = await store.query<{ id: string; n: number }>("SELECT partition_id AS id, sum(rows) AS n FROM system.parts WHERE database = 'tidegate' AND table = 'events' AND active GROUP BY id");
    return new RawDays(new Map(parts.map(({ id, n }) => [Date.UTC(Number(id.slice(0, 4)), Number(id.slice(4, 6)) - 1, Number(id.slice(6))), Number(n)])));
  }

  /** The same as long as no event of [fromMs, toMs) has come. */
  stateOf(fromMs: number, toMs: number): string {
    const states: string[] = [];
    for (let at = Math.floor(fromMs / DAY_MS) * DAY_MS; at < toMs; at += DAY_MS) states.push(String(this.#rows.get(at) ?? 0));
    return states.join();
  }

  /** Whether a day of [fromMs, toMs) has fewer rows than it had. */
  lacks(before: RawDays, fromMs: number, toMs: number): boolean {
    return [...before.#rows].some(([at, rows]) => at > fromMs - DAY_MS && at < toMs && rows > (this.#rows.get(at) ?? 0));
  }
}

/** Days (UTC) of [fromMs, toMs) of which raw events were dropped, as a rule because they were past their time: what is left is no count. @throws what the store throws */
export async function droppedDays(store: Pick<Store, 'query'>, fromMs: number, toMs: number): Promise<readonly string[]> {
  const dates = { from: new Date(fromMs).toISOString().slice(0, 10), to: new Date(toMs - 1).toISOString().slice(0, 10) };
  const rows = await store.query<{ d: string }>('SELECT DISTINCT toString(t.day) AS d FROM tidegate.dropped_days AS t WHERE t.day >= toDate({from:String}) AND t.day <= toDate({to:String}) ORDER BY d', dates);
  return rows.map(({ d }) => d);
}
