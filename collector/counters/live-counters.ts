/**
 * The live numbers: requests a second over the last 10 s, and today's counts, of the site, each service and each app. They are sums over
 * what is stored, read anew once a second at most however many look on: never accumulated, so a restart loses nothing.
 *
 * Today's counts come from the quarter hours; of days of which a log was imported, from the raw events that were not: it did not come through here. The rate comes from raw events by their own time: the newest parts alone hold the last
 * 10 s, so the engine leaves out all older ones.
 */
import { bucketBounds } from '../reports/calendar.js';
import { REPORT_SETTINGS, type Asker, type Query, type ReportStore, type Row } from '../reports/report-store.js';

export const RATE_WINDOW_S = 10;
/** How long an answer is good for. */
const FRESH_MS = 950;

/**
 * Quarter hours of {from_s} to {to_s} without imported requests. Imports are noted before their rows are there (collector/log/range-insert.ts), and asked for once a statement: so
 * no row is in it that should not be. The last condition says nothing more: by it the engine opens no part of any other day.
 */
export const NOT_IMPORTED = `(
  WITH (SELECT groupUniqArray(day) FROM tidegate.imports WHERE day >= toDate(toDateTime({from_s:UInt32}, 'UTC')) AND day <= toDate(toDateTime({to_s:UInt32}, 'UTC'))) AS imported
  SELECT q.time AS time, toString(q.app) AS app, toString(q.service) AS service, toUInt64(q.requests) AS requests, toUInt64(q.errors) AS errors, toUInt64(q.refused) AS refused
  FROM tidegate.traffic_quarter_hour AS q
  WHERE q.time >= toDateTime({from_s:UInt32}, 'UTC') AND q.time < toDateTime({to_s:UInt32}, 'UTC') AND NOT has(imported, toDate(q.time))
  UNION ALL
  SELECT toStartOfFifteenMinutes(toDateTime(e.time, 'UTC')), toString(e.app), toString(e.service), toUInt64(e.requests), toUInt64(if(e.error, e.requests, 0)), toUInt64(if(e.let_through, 0, e.requests))
  FROM tidegate.events AS e
  WHERE e.time >= toDateTime({from_s:UInt32}, 'UTC') AND e.time < toDateTime({to_s:UInt32}, 'UTC') AND has(imported, toDate(e.time)) AND e.kind != 'import'
    AND toDate(e.time) IN (SELECT day FROM tidegate.imports)
)`;

const TODAY_SQL = `SELECT toString(t.app) AS app, toString(t.service) AS service,
  sum(t.requests) AS n_requests, sum(t.errors) AS n_errors, sum(t.refused) AS n_refused
FROM ${NOT_IMPORTED} AS t
GROUP BY app, service
${REPORT_SETTINGS}`;

const RATE_SQL = `SELECT toString(t.app) AS app, toString(t.service) AS service, sum(t.requests) AS n_requests
FROM tidegate.events AS t
WHERE t.time > fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC') AND t.time <= fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC') AND t.kind != 'import'
GROUP BY app, service
${REPORT_SETTINGS}`;

export interface LiveCount {
  /** Requests a second, of the 10 s before `asOfMs`. */
  qps: number;
  /** Of today. */
  requests: number;
  errors: number;
  refused: number;
}

export interface LiveNumbers {
  readonly asOfMs: number;
  readonly dayStartMs: number;
  /** By app, then by service; '' where none is known. */
  readonly counts: ReadonlyMap<string, ReadonlyMap<string, LiveCount>>;
}

export interface LiveDeps {
  readonly store: ReportStore;
  asOfMs(): number;
  nowMs(): number;
}

/** All who look on wait for one turn, which therefore stands behind nobody's reports but those of other lines. */
const FOR_ALL: Asker = { principal: { kind: 'operator', reader: 'live numbers' }, streams: true };

export class LiveCounters {
  readonly #deps: LiveDeps;
  /** By time zone. A zone that nobody asked for lately is forgotten. */
  readonly #answers = new Map<string, { readonly atMs: number; readonly numbers: Promise<LiveNumbers> }>();

  constructor(deps: LiveDeps) {
    this.#deps = deps;
  }

  /** @param timeZone an IANA name: whose today */
  read(timeZone: string): Promise<LiveNumbers> {
    const nowMs = this.#deps.nowMs();
    const known = this.#answers.get(timeZone);
    if (known !== undefined && nowMs - known.atMs < FRESH_MS && nowMs >= known.atMs) return known.numbers;
    for (const [zone, answer] of this.#answers) if (nowMs - answer.atMs > 10_000) this.#answers.delete(zone);
    // one turn for both statements, and without the signal: others wait for it too
    const numbers = this.#deps.store.turn(FOR_ALL, (query) => this.#compute(query, timeZone, nowMs));
    this.#answers.set(timeZone, { atMs: nowMs, numbers });
    // a failure is told to whoever waits, and tried again by the next
    numbers.catch(() => { if (this.#answers.get(timeZone)?.numbers === numbers) this.#answers.delete(timeZone); });
    return numbers;
  }

  async #compute(query: Query, timeZone: string, nowMs: number): Promise<LiveNumbers> {
    const [dayStartMs, dayEndMs] = bucketBounds('day', timeZone, nowMs, nowMs + 1) as [number, number];
    const asOfMs = Math.min(this.#deps.asOfMs(), nowMs);
    const today = await query(TODAY_SQL, { from_s: dayStartMs / 1000, to_s: dayEndMs / 1000 });
    const lately = await query(RATE_SQL, { from_ms: asOfMs - RATE_WINDOW_S * 1000, to_ms: asOfMs });
    const counts = new Map<string, Map<string, LiveCount>>();
    const countOf = (row: Row): LiveCount => {
      const app = String(row['app']);
      const service = String(row['service']);
      const ofApp = counts.get(app) ?? new Map<string, LiveCount>();
      counts.set(app, ofApp);
      const count = ofApp.get(service) ?? { qps: 0, requests: 0, errors: 0, refused: 0 };
      ofApp.set(service, count);
      return count;
    };
    for (const row of today) {
      const count = countOf(row);
      count.requests = Number(row['n_requests']);
      count.errors = Number(row['n_errors']);
      count.refused = Number(row['n_refused']);
    }
    for (const row of lately) countOf(row).qps = Number(row['n_requests']) / RATE_WINDOW_S;
    return { asOfMs, dayStartMs, counts };
  }
}
