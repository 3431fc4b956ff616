const STEPS = '▁▂▃▄▅▆▇█';
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/**
 * One character a value, `·` for none at all. More values than `width` are added up in neighbours, so nothing is left out.
 * @returns the line, and how many values a character stands for
 */
export function sparkline(values: readonly number[], width: number): { readonly line: string; readonly perCharacter: number } {
  const perCharacter = Math.max(1, Math.ceil(values.length / width));
  const sums: number[] = [];
  for (let at = 0; at < values.length; at += perCharacter) sums.push(values.slice(at, at + perCharacter).reduce((sum, value) => sum + value, 0));
  const peak = Math.max(...sums, 0);
  const line = sums.map((sum) => (sum === 0 ? '·' : STEPS[Math.min(STEPS.length - 1, Math.floor((sum / peak) * STEPS.length))])).join('');
  return { line, perCharacter };
}

/** A bar of value/most of `width` characters, to an eighth of a character; something is always seen of what is not zero. */
export function bar(value: number, most: number, width: number): string {
  if (value <= 0 || most <= 0) return '';
  const eighths = Math.max(1, Math.round((Math.min(value, most) / most) * width * 8));
  return '█'.repeat(Math.floor(eighths / 8)) + (EIGHTHS[eighths % 8] ?? '');
}
