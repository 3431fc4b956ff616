/** A markdown table that also reads well as plain text: columns padded, all but the first to the right. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) => Math.max(3, title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const pad = (cell: string, column: number): string => (column === 0 ? cell.padEnd(widths[column] as number) : cell.padStart(widths[column] as number));
  const line = (cells: readonly string[]): string => `| ${head.map((_, column) => pad(cells[column] ?? '', column)).join(' | ')} |`;
  const rule = widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`));
  return [line(head), `| ${rule.join(' | ')} |`, ...rows.map(line)].join('\n');
}

/** `1,234,567` */
export function grouped(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** Three significant digits where there are decimals to show: `5.12`, `25.4`, `131`. */
export function figure(value: number): string {
  return value.toFixed(Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2);
}

/** A figure beside its mark. */
export const atMost = (value: number, most: number): string => `${figure(value)}, ${value <= most ? 'met' : 'missed'}`;
export const atLeast = (value: number, least: number): string => `${grouped(value)}, ${value >= least ? 'met' : 'missed'}`;
