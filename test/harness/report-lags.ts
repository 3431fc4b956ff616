/** How long after its end a request stands in the report: of what the report said again and again, and of the ends as the store has them afterwards. */

/** What a report said, and when it was there, ms since the epoch. */
export interface Shown { readonly atMs: number; readonly requests: number }

/** How many requests ended in which millisecond since the epoch. */
export interface Ended { readonly end_ms: number; readonly ended: number }

/** How often the report is asked for. */
export const REPORT_EVERY_MS = 200;

/** Of all events, in order. */
export const ENDS_SQL = `SELECT toFloat64(toUnixTimestamp64Milli(time) + intDiv(duration_us, 1000)) AS end_ms, toFloat64(count()) AS ended
  FROM tidegate.events GROUP BY end_ms ORDER BY end_ms`;

export interface Lags { readonly p50: number; readonly p99: number; readonly worst: number }

/** In ms: the k-th request to end was shown when a report first said k. Both in the order of their times. */
export function lagsToReport(ends: readonly Ended[], shown: readonly Shown[]): Lags {
  const lags: [lagMs: number, requests: number][] = [];
  let ended = 0;
  let next = 0;
  for (const { end_ms: endMs, ended: here } of ends) {
    ended += here;
    while (next < shown.length - 1 && (shown[next] as Shown).requests < ended) next++;
    lags.push([Math.max(0, (shown[next] as Shown).atMs - endMs), here]);
  }
  lags.sort(([a], [b]) => a - b);
  const at = (part: number): number => {
    let sum = 0;
    return Math.round(lags.find(([, requests]) => (sum += requests) >= part * ended)?.[0] ?? 0);
  };
  return { p50: at(0.5), p99: at(0.99), worst: at(1) };
}
