/** What the store says it holds, by raw events and by each rollup. */
import assert from 'node:assert/strict';
import { basename } from 'node:path';
import type { Store } from '../store/store.js';
import { addSums, noSums, type Sums } from './random-events.fixture.js';

export async function storedSums(store: Store): Promise<{ raw: Sums; minutes: Omit<Sums, 'rows'>; quarterHours: Omit<Sums, 'rows'> }> {
  const [raw] = await store.query<Sums>(
    `SELECT count() AS rows, sum(e.requests) AS requests, sumIf(e.requests, error) AS errors, sumIf(e.requests, NOT let_through) AS refused,
       sum(e.bytes_in) AS bytes_in, sum(e.bytes_out) AS bytes_out, sumIf(e.duration_us, let_through AND e.requests = 1) AS duration_us,
       countIf(let_through AND e.requests = 1) AS latencies FROM tidegate.events AS e`);
  const rollup = async (table: string): Promise<Omit<Sums, 'rows'>> => {
    const [row] = await store.query<Omit<Sums, 'rows'>>(
      `SELECT sum(t.requests) AS requests, sum(t.errors) AS errors, sum(t.refused) AS refused, sum(t.bytes_in) AS bytes_in, sum(t.bytes_out) AS bytes_out,
         sum(t.duration_us) AS duration_us, arraySum(mapValues(sumMap(t.latency))) AS latencies FROM tidegate.${table} AS t`);
    return row as Omit<Sums, 'rows'>;
  };
  return { raw: raw as Sums, minutes: await rollup('traffic_minute'), quarterHours: await rollup('traffic_quarter_hour') };
}

/** Groups of the two rollups, or of raw by the views' own definition, that do not agree. */
export async function disagreements(store: Store): Promise<readonly unknown[]> {
  const minutes = (source: string, lookback: string): string => `SELECT toStartOfFifteenMinutes(x.time) AS quarter, toString(x.app) AS app, toString(x.service) AS service, toString(x.route) AS route, x.status_class AS class, ${lookback} FROM ${source} AS x GROUP BY ALL`;
  const raw = minutes('tidegate.events', 'sum(x.requests) AS r, sum(x.bytes_out) AS b, sumMapIf(map(toUInt16(floor(8 * log2(greatest(x.duration_us, 1)))), toUInt64(1)), let_through AND x.requests = 1) AS l');
  const sums = 'sum(x.requests) AS r, sum(x.bytes_out) AS b, sumMap(x.latency) AS l';
  const all = [raw, minutes('tidegate.traffic_minute', sums), minutes('tidegate.traffic_quarter_hour', sums)].join(' UNION ALL ');
  return store.query(`SELECT quarter, app, service, route, class, r, b, toString(l) AS l, count() AS n FROM (${all}) GROUP BY ALL HAVING n != 3`);
}

/** Raw, both rollups, the coverage and the record of days hold each event of these streams once, and nothing else. */
export async function assertExact(store: Store, streams: readonly { readonly sums: Sums; readonly dir: string }[]): Promise<void> {
  const { rows, ...rolled } = streams.map(({ sums }) => sums).reduce(addSums, noSums());
  assert.deepEqual(await storedSums(store), { raw: { ...rolled, rows }, minutes: rolled, quarterHours: rolled });
  assert.deepEqual(await disagreements(store), []);
  const days = 'GROUP BY day, x.stream ORDER BY day, x.stream';
  assert.deepEqual(await store.query(`SELECT toString(x.day) AS day, hex(x.stream) AS stream, sum(x.rows) AS rows, sum(x.requests) AS requests FROM tidegate.stored_days AS x ${days}`),
    await store.query(`SELECT toString(toDate(x.time)) AS day, hex(x.stream) AS stream, count() AS rows, sum(x.requests) AS requests FROM tidegate.events AS x ${days}`));
  const edges = await store.query<{ stream: string; edge: number; delta: number }>(
    `SELECT leftPad(lower(hex(stream)), 16, '0') AS stream, edge, sum(delta) AS delta FROM tidegate.coverage AS coverage GROUP BY coverage.stream, edge HAVING delta != 0 ORDER BY coverage.stream, edge`);
  const expected = streams.flatMap(({ dir, sums }) => [[basename(dir), 0, 1], [basename(dir), sums.rows, -1]] as const).sort(([a, b], [c, d]) => (a < c ? -1 : a > c ? 1 : b - d));
  assert.deepEqual(edges.map(({ stream, edge, delta }) => [stream, edge, delta]), expected);
}
