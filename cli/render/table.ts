import { printable, styled, type Style, type Terminal } from './terminal.js';

export interface Column {
  readonly head: string;
  /** Numbers stand right. */
  readonly align: 'left' | 'right';
  /** May lose characters where the line is too long; the others are shown whole. */
  readonly shrinks?: boolean;
}

export interface Cell { readonly text: string; readonly style?: Style }

const GAP = '  ';
const LEAST = 6;

/** Lines of a table that fits the terminal, as far as its shrinking columns can give way. */
export function renderTable(terminal: Terminal, columns: readonly Column[], rows: readonly (readonly (string | Cell)[])[]): string {
  const cells = rows.map((row) => row.map((cell) => (typeof cell === 'string' ? { text: printable(cell) } : { ...cell, text: printable(cell.text) })));
  const widths = columns.map((column, index) => Math.max(column.head.length, ...cells.map((row) => row[index]?.text.length ?? 0)));
  shrink(widths, columns, terminal.columns);
  const line = (row: readonly Cell[]): string => row.map((cell, index) => {
    const width = widths[index] ?? 0;
    const text = cell.text.length > width ? `${cell.text.slice(0, width - 1)}…` : cell.text;
    const padded = columns[index]?.align === 'right' ? text.padStart(width) : index === row.length - 1 ? text : text.padEnd(width);
    return cell.style === undefined ? padded : styled(terminal, cell.style, padded);
  }).join(GAP);
  const head = columns.map((column, index) => (column.align === 'right' ? column.head.padStart(widths[index] ?? 0) : column.head.padEnd(widths[index] ?? 0))).join(GAP);
  return [styled(terminal, 'dim', head.trimEnd()), ...cells.map(line)].map((text) => `${text.trimEnd()}\n`).join('');
}

/** Takes from the widest shrinking column until the line fits or none can give more. */
function shrink(widths: number[], columns: readonly Column[], room: number): void {
  const total = (): number => widths.reduce((sum, width) => sum + width, 0) + GAP.length * (widths.length - 1);
  while (total() > room) {
    let widest = -1;
    columns.forEach((column, index) => {
      const width = widths[index] ?? 0;
      if (column.shrinks === true && width > LEAST && width > (widths[widest] ?? 0)) widest = index;
    });
    if (widest < 0) return;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
}
