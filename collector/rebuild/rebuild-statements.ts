/**
 * How a rollup is made of raw events again, and compared: as text.
 */
import { COLUMNS, KEY, MEASURES, rolledUp, type Rollup } from '../store/rollup-statement.js';

const SUMS = (table: string): string => `${MEASURES.map((column) => `sum(${table}.${column}) AS ${column}`).join(', ')}, sumMap(${table}.latency) AS latency`;

/** Past so much memory groups go to disk. */
const SPILL = 'max_bytes_before_external_group_by = 1000000000';
/** Nothing here is repeated, and a block that looks like an earlier one is none. */
const INSERTED = `SETTINGS insert_deduplicate = 0, max_partitions_per_insert_block = 0, ${SPILL}`;

/** The minutes of [fromMs, toMs) of one day of raw events, put beside the rollup. @param day partition, such as 20261121 */
export function rebuiltMinutes(day: string, fromMs: number, toMs: number): string {
  return `INSERT INTO tidegate.traffic_minute_rebuilt (${COLUMNS}) ${INSERTED}
    ${rolledUp('traffic_minute', `events._partition_id = '${day}' AND events.time >= fromUnixTimestamp64Milli(toInt64(${fromMs})) AND events.time < fromUnixTimestamp64Milli(toInt64(${toMs}))`)}`;
}

/** The quarters of a month, put beside the rollup: of the days that were made again from their minutes, of all others as they are. @param days such as 20261121, at least one */
export function rebuiltQuarters(month: string, days: readonly string[]): readonly string[] {
  const list = days.map((day) => `'${day}'`).join(', ');
  const insert = `INSERT INTO tidegate.traffic_quarter_hour_rebuilt (${COLUMNS}) ${INSERTED}`;
  return [
    `${insert} ${quartersOf(`tidegate.traffic_minute_rebuilt AS t WHERE t._partition_id IN (${list})`)}`,
    `${insert} SELECT ${KEY}, ${SUMS('t')} FROM tidegate.traffic_quarter_hour AS t WHERE t._partition_id = '${month}' AND formatDateTime(t.time, '%Y%m%d') NOT IN (${list}) GROUP BY ${KEY}`,
  ];
}

/** A partition as it is, put beside the rollup, with another name for the rows of one app that are of before a time. Parameters: `app`, `before` (ms since the epoch). */
export function renamed(rollup: Rollup, partition: string, name: string): string {
  const own = 't.app = {app:String} AND t.time < fromUnixTimestamp64Milli({before:Int64})';
  return `INSERT INTO tidegate.${rollup}_rebuilt (${COLUMNS}) ${INSERTED}
    SELECT time, if(${own}, '${name}', toString(t.app)) AS app, service, route, status_class, ${SUMS('t')} FROM tidegate.${rollup} AS t WHERE t._partition_id = '${partition}' GROUP BY time, app, service, route, status_class`;
}

const quartersOf = (source: string): string => `SELECT toStartOfFifteenMinutes(t.time) AS time, app, service, route, status_class, ${SUMS('t')} FROM ${source} GROUP BY time, app, service, route, status_class`;

/** What the rollup holds of a day, beside what raw events make of it. */
export interface Difference {
  /** Rows (time, app, service, route, status class) that are not the same, or are on one side alone. */
  readonly differing: number;
  readonly held: Sums;
  readonly rebuilt: Sums;
}
export type Sums = Readonly<Record<(typeof MEASURES)[number] | 'latencies', number>>;
export const SUM_NAMES: readonly (keyof Sums)[] = [...MEASURES, 'latencies'];

/**
 * Of [fromMs, toMs), whole quarters of an hour of one day. One row: `differing`, and each of SUM_NAMES with `_held` and `_rebuilt` behind it. Of the quarters it asks the minutes
 * that were made again.
 */
export function comparison(rollup: Rollup, day: string, fromMs: number, toMs: number): string {
  const within = `t.time >= fromUnixTimestamp64Milli(toInt64(${fromMs})) AND t.time < fromUnixTimestamp64Milli(toInt64(${toMs}))`;
  const minutes = `tidegate.traffic_minute_rebuilt AS t WHERE t._partition_id = '${day}' AND ${within}`;
  const [held, rebuilt] = rollup === 'traffic_minute'
    ? [`SELECT ${COLUMNS} FROM tidegate.traffic_minute AS t WHERE t._partition_id = '${day}' AND ${within}`, `SELECT ${COLUMNS} FROM ${minutes}`]
    : [`SELECT ${COLUMNS} FROM tidegate.traffic_quarter_hour AS t WHERE t._partition_id = '${day.slice(0, 6)}' AND ${within}`, quartersOf(minutes)];
  const sides = ['held', 'rebuilt'] as const;
  const grouped = sides.map((side, number) => `${MEASURES.map((column) => `sumIf(u.${column}, side = ${number}) AS ${column}_${side}`).join(', ')}, sumMapIf(u.latency, side = ${number}) AS latency_${side}, countIf(side = ${number}) > 0 AS there_${side}`);
  const columns = ['there', ...MEASURES, 'latency'];
  const whole = sides.map((side) => `${MEASURES.map((column) => `sum(g.${column}_${side}) AS ${column}_${side}`).join(', ')}, sum(arraySum(mapValues(g.latency_${side}))) AS latencies_${side}`);
  return `SELECT countIf(${columns.map((column) => `g.${column}_held != g.${column}_rebuilt`).join(' OR ')}) AS differing, ${whole.join(', ')}
    FROM (SELECT ${KEY}, ${grouped.join(', ')} FROM (SELECT 0 AS side, * FROM (${held}) UNION ALL SELECT 1 AS side, * FROM (${rebuilt})) AS u GROUP BY ${KEY}) AS g
    SETTINGS ${SPILL}`;
}

/** Of all parts together. @param rows of comparison() */
export function difference(rows: readonly Readonly<Record<string, number>>[]): Difference {
  const sum = (name: string): number => rows.reduce((all, row) => all + (row[name] ?? 0), 0);
  const side = (name: string): Sums => Object.fromEntries(SUM_NAMES.map((column) => [column, sum(`${column}_${name}`)])) as Sums;
  return { differing: sum('differing'), held: side('held'), rebuilt: side('rebuilt') };
}
