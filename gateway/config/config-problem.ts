/** What is wrong with a configuration, and where. All problems of a file are gathered, and come at once. */
import type { ErrorCode } from '../../errors/codes.js';
import { TidegateError } from '../../errors/tidegate-error.js';

/** Keys and list positions from the root: `['services', 0, 'name']`. */
export type ConfigPath = readonly (string | number)[];

/** Line and column count from 1; a column is a UTF-16 unit, as editors count. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export interface ConfigProblem extends Place {
  /** `services[0].upstream.targets[1].url`; '' for the file as a whole. */
  readonly path: string;
  readonly message: string;
  readonly code: ErrorCode;
}

/** A problem before its place is looked up: `at` says whether the key or the value is pointed at. */
export interface Finding {
  readonly path: ConfigPath;
  readonly at: 'key' | 'value';
  readonly code: ErrorCode;
  readonly message: string;
}

export function formatPath(path: ConfigPath): string {
  let text = '';
  for (const part of path) text += typeof part === 'number' ? `[${part}]` : text === '' ? part : `.${part}`;
  return text;
}

/** `file:line:column: message (code)`: what editors and terminals make a link of. A file that cannot be read, and a variable, have no lines. */
export function formatProblem(problem: ConfigProblem): string {
  const where = problem.path === '' ? '' : `${problem.path}: `;
  const place = problem.code === 'config_unreadable' || problem.file.startsWith('$') ? problem.file : `${problem.file}:${problem.line}:${problem.column}`;
  return `${place}: ${where}${problem.message} (${problem.code})`;
}

/** In the order of the file, so that a reader goes down it once. */
export function inFileOrder(problems: readonly ConfigProblem[]): ConfigProblem[] {
  return [...problems].sort((a, b) => (a.file < b.file ? -1 : a.file > b.file ? 1 : 0) || a.line - b.line || a.column - b.column);
}

/** A configuration that was refused. */
export class ConfigRejectedError extends TidegateError {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    super('config_rejected', problems.map(formatProblem).join('\n'));
    this.name = 'ConfigRejectedError';
    this.problems = problems;
  }
}

/** The candidate nearest to what was written (edit distance of at most a third of its length), or null. */
export function nearest(written: string, candidates: Iterable<string>): string | null {
  let best: string | null = null;
  let bestDistance = Math.max(1, Math.floor(written.length / 3)) + 1;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - written.length) >= bestDistance) continue;
    const distance = editDistance(written, candidate);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Restricted Damerau-Levenshtein: swapped neighbours are one slip (`wieght`). */
function editDistance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let value = Math.min((rows[i - 1]?.[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (rows[i - 1]?.[j - 1] ?? 0) + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) value = Math.min(value, (rows[i - 2]?.[j - 2] ?? 0) + 1);
      row.push(value);
    }
    rows.push(row);
  }
  return rows[a.length]?.[b.length] ?? 0;
}
