/** What the views make of raw events (migrations/0001_traffic.sql), as a SELECT: that both give the same is tested by comparing a store that nothing happened to. */

export const ROLLUPS = ['traffic_minute', 'traffic_quarter_hour'] as const;
export type Rollup = (typeof ROLLUPS)[number];

export const KEY = 'time, app, service, route, status_class';
export const MEASURES = ['requests', 'errors', 'refused', 'bytes_in', 'bytes_out', 'duration_us'] as const;
export const COLUMNS = `${KEY}, ${MEASURES.join(', ')}, latency`;

const BEGINS: Readonly<Record<Rollup, string>> = { traffic_minute: 'toStartOfMinute', traffic_quarter_hour: 'toStartOfFifteenMinutes' };

/** The rollup's rows of the raw events of which `where` holds; the table's name there is `events`. */
export function rolledUp(rollup: Rollup, where: string): string {
  return `SELECT ${BEGINS[rollup]}(events.time) AS time, app, service, route, status_class,
      sum(events.requests) AS requests, sumIf(events.requests, error) AS errors, sumIf(events.requests, NOT let_through) AS refused,
      sum(events.bytes_in) AS bytes_in, sum(events.bytes_out) AS bytes_out, sumIf(events.duration_us, let_through AND events.requests = 1) AS duration_us,
      sumMapIf(map(toUInt16(floor(8 * log2(greatest(events.duration_us, 1)))), toUInt64(1)), let_through AND events.requests = 1) AS latency
    FROM tidegate.events AS events
    WHERE ${where}
    GROUP BY time, app, service, route, status_class`;
}
