/** Cells and lines of CSV (RFC 4180), of reports and of exports alike. */
import { formatInstant } from './calendar.js';

/** How instants are written in CSV. */
export const DATES = ['rfc3339', 'spreadsheet'] as const;
export type Dates = (typeof DATES)[number];

/** @param time RFC 3339. @returns for a spreadsheet the zone's own time, in whole seconds: `2026-11-24 10:00:00`. One with `T`, `Z` or an offset is taken for text. */
export function csvTime(time: string, dates: Dates, timeZone: string): string {
  return dates === 'rfc3339' ? time : formatInstant(Date.parse(time), timeZone).slice(0, 19).replace('T', ' ');
}

export const csvLine = (cells: readonly (string | number | boolean)[]): string => `${cells.join(',')}\r\n`;

/** A spreadsheet runs text that begins with one of these as a formula: an apostrophe in front makes it text (OWASP, CSV injection). A number is none, a negative one neither. */
export function csvCell(value: string | number): string {
  if (typeof value === 'number') return String(value);
  const text = /^[\s]*[=+\-@\t\r\n|%＝＋－＠]/u.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
