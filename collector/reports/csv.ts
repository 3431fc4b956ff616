/** Cells and lines of CSV (RFC 4180), of reports and of exports alike. */

export const csvLine = (cells: readonly (string | number | boolean)[]): string => `${cells.join(',')}\r\n`;

/** A spreadsheet runs text that begins with one of these as a formula: an apostrophe in front makes it text (OWASP, CSV injection). A number is none, a negative one neither. */
export function csvCell(value: string | number): string {
  if (typeof value === 'number') return String(value);
  const text = /^[\s]*[=+\-@\t\r\n|%＝＋－＠]/u.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
