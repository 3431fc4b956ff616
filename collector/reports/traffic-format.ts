import { PERCENTILES } from './percentiles.js';
import type { TrafficReport, TrafficRow, TrafficSums } from './traffic.js';
import type { TrafficQuery } from './traffic-query.js';

const SUMS = ['requests', 'errors', 'refused', 'bytes_in', 'bytes_out'] as const;
const SUM_COLUMNS = [...SUMS, 'duration_ms_avg', ...PERCENTILES.map((name) => `duration_ms_${name}`)];

/** The JSON answer. */
export function trafficJson(report: TrafficReport): string {
  return JSON.stringify({ ...report, rows: report.rows.map(flatRow) });
}

/** A line of NDJSON: what a row of the JSON answer is. */
export function ndjsonLine(row: TrafficRow): string {
  return `${JSON.stringify(flatRow(row))}\n`;
}

/** Groups stand beside the sums, `partial` and `others` only where they are true. */
function flatRow({ time, groups, others, partial, previous, ...sums }: TrafficRow): object {
  return { time, ...groups, ...(others ? { others } : {}), ...sums, ...(partial ? { partial } : {}), ...(previous === undefined ? {} : { previous }) };
}

/** RFC 4180 with a header line. What the JSON says of the whole report travels in header fields. */
export function csvHead({ groupBy, top, compare }: TrafficQuery): string {
  return csvLine(['time', ...groupBy, ...SUM_COLUMNS, 'partial', ...(top === null ? [] : ['others']), ...(compare ? ['time', ...SUM_COLUMNS].map((name) => `previous_${name}`) : [])]);
}

export function csvRow(row: TrafficRow, { groupBy, top }: TrafficQuery): string {
  const { previous } = row;
  return csvLine([
    row.time, ...groupBy.map((group) => csvCell(row.groups[group] ?? '')), ...sumCells(row), row.partial,
    ...(top === null ? [] : [row.others]), ...(previous === undefined ? [] : [previous.time, ...sumCells(previous)]),
  ]);
}

export const csvLine = (cells: readonly (string | number | boolean)[]): string => `${cells.join(',')}\r\n`;

const sumCells = (sums: TrafficSums): (string | number)[] => [...SUMS.map((name) => sums[name]), sums.duration_ms.avg ?? '', ...PERCENTILES.map((name) => sums.duration_ms[name] ?? '')];

/** A spreadsheet runs text that begins with one of these as a formula: an apostrophe in front makes it text (OWASP, CSV injection). */
export function csvCell(value: string | number): string {
  if (typeof value === 'number') return String(value);
  const text = /^[\s]*[=+\-@\t\r\n|%＝＋－＠]/u.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
