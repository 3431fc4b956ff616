/** Days older than what is kept, of which an imported log is: their rows are kept by when they were stored (collector/store/retention.ts). */
import { REPORT_SETTINGS, type Asker, type ReportStore } from './report-store.js';

const DAY_MS = 86_400_000;

/** The imported days in a range; how many days of the range were counted of which the table that is asked holds nothing any more; and the months that are there at all. */
const SQL = `SELECT groupUniqArray(toRelativeDayNum(i.day)) AS days,
  (SELECT uniqExact(toDate(q.time)) FROM tidegate.traffic_quarter_hour AS q
   WHERE q.time >= toDateTime({from_s:UInt32}, 'UTC') AND q.time < toDateTime({to_s:UInt32}, 'UTC')
     AND toYYYYMMDD(q.time) NOT IN (SELECT toUInt32OrZero(partition_id) FROM system.parts WHERE database = 'tidegate' AND table = {table:String} AND active)
     AND toYYYYMM(q.time) NOT IN (SELECT toUInt32OrZero(partition_id) FROM system.parts WHERE database = 'tidegate' AND table = {table:String} AND active)) AS gone,
  (SELECT groupUniqArray(partition_id) FROM system.parts WHERE database = 'tidegate' AND table = 'traffic_quarter_hour' AND active) AS months
FROM tidegate.imports AS i
WHERE i.day >= toDate({first:UInt16}) AND i.day <= toDate({last:UInt16})
${REPORT_SETTINGS}`;

/**
 * Whether a range that is older than what is kept can be answered all the same: all of it lies between days of imported logs, and nothing that was ever counted
 * in it has gone. A day more on either side, because days of other zones than UTC begin and end there.
 * @param table that would be read
 */
export async function isImported(store: ReportStore, asker: Asker, table: string, fromMs: number, toMs: number): Promise<boolean> {
  const [first, last] = daysOf(fromMs, toMs);
  const params = { from_s: Math.floor(fromMs / 1000), to_s: Math.ceil(toMs / 1000), table: table.replace('tidegate.', ''), first: Math.max(0, first - 1), last: last + 1 };
  const [row] = await store.query(SQL, params, asker);
  const days = (row?.['days'] as readonly unknown[] | undefined ?? []).map(Number).sort((a, b) => a - b);
  if (days.length === 0 || Number(row?.['gone']) > 0) return false;
  // of a month that is not there nobody can say whether there was anything in it
  const months = new Set((row?.['months'] as readonly unknown[] | undefined ?? []).map(String));
  if (days.some((day, i) => i > 0 && !monthsBetween(days[i - 1] as number, day).every((month) => months.has(month)))) return false;
  return first >= (days[0] as number) - 1 && last <= (days.at(-1) as number) + 1;
}

const WITHIN_SQL = `SELECT count() AS days, toRelativeDayNum(min(i.day)) AS first_day, toRelativeDayNum(max(i.day)) AS last_day
FROM tidegate.imports AS i
WHERE i.day >= toDate({first:UInt16}) AND i.day <= toDate({last:UInt16})
${REPORT_SETTINGS}`;

/** The first and the last imported day (UTC, since the epoch) that a range touches; null: none. */
export async function importedWithin(store: ReportStore, asker: Asker, fromMs: number, toMs: number): Promise<{ readonly first: number; readonly last: number } | null> {
  const [first, last] = daysOf(fromMs, toMs);
  const [row] = await store.query(WITHIN_SQL, { first: Math.max(0, first), last }, asker);
  return Number(row?.['days'] ?? 0) === 0 ? null : { first: Number(row?.['first_day']), last: Number(row?.['last_day']) };
}

const daysOf = (fromMs: number, toMs: number): readonly [first: number, last: number] => [Math.floor(fromMs / DAY_MS), Math.floor((toMs - 1) / DAY_MS)];

/** `202611` of each month from one day's to another's. */
function monthsBetween(from: number, to: number): string[] {
  const months: string[] = [];
  const end = new Date(to * DAY_MS);
  for (const at = new Date(from * DAY_MS); at.getUTCFullYear() * 12 + at.getUTCMonth() <= end.getUTCFullYear() * 12 + end.getUTCMonth(); at.setUTCMonth(at.getUTCMonth() + 1, 1)) {
    months.push(at.toISOString().slice(0, 7).replace('-', ''));
  }
  return months;
}
