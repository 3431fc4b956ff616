import { PERCENTILES } from './percentiles.js';
import type { TrafficReport, TrafficRow } from './traffic.js';
import type { Group } from './traffic-query.js';

const SUMS = ['requests', 'errors', 'refused', 'bytes_in', 'bytes_out'] as const;

/** The JSON answer: groups stand beside the sums, `partial` only where it is true. */
export function trafficJson(report: TrafficReport): string {
  const rows = report.rows.map(({ time, groups, partial, ...sums }) => ({ time, ...groups, ...sums, ...(partial ? { partial } : {}) }));
  return JSON.stringify({ ...report, rows });
}

/** RFC 4180 with a header line. What the JSON says of the whole report travels in header fields. */
export function trafficCsv(report: TrafficReport, groupBy: readonly Group[]): string {
  const head = ['time', ...groupBy, ...SUMS, 'duration_ms_avg', ...PERCENTILES.map((name) => `duration_ms_${name}`), 'partial'];
  const lines = report.rows.map((row) => csvLine(row, groupBy));
  return [head.join(','), ...lines, ''].join('\r\n');
}

function csvLine(row: TrafficRow, groupBy: readonly Group[]): string {
  return [
    row.time, ...groupBy.map((group) => csvCell(row.groups[group] ?? '')), ...SUMS.map((name) => row[name]),
    row.duration_ms.avg ?? '', ...PERCENTILES.map((name) => row.duration_ms[name] ?? ''), row.partial,
  ].join(',');
}

/** A spreadsheet runs text that begins with one of these as a formula: an apostrophe in front makes it text (OWASP, CSV injection). */
export function csvCell(value: string | number): string {
  if (typeof value === 'number') return String(value);
  const text = /^[\s]*[=+\-@\t\r\n|%＝＋－＠]/u.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
