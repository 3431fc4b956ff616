/** The table at the end: what came of the requests, by the fault in force when they began. */
import type { BegunRequest, Journal } from './journal.js';
import type { Verdict } from './verdict.js';

export interface Line {
  readonly fault: string;
  times: number;
  begun: number;
  answered: number;
  stored: number;
  lost: number;
  told: number;
  twice: number;
  phantom: number;
  other: number;
}

const COLUMNS = ['times', 'begun', 'answered', 'stored', 'lost', 'twice', 'phantom', 'told', 'other'] as const;

/** @param verdict null: nothing could be read, and only what clients know is told */
export function linesOf(journal: Journal, verdict: Verdict | null, isTold: (request: BegunRequest) => boolean, times: ReadonlyMap<string, number>): Line[] {
  const lines = new Map<string, Line>();
  const lineOf = (fault: string): Line => {
    const line = lines.get(fault) ?? { fault, times: times.get(fault) ?? 0, begun: 0, answered: 0, stored: 0, lost: 0, told: 0, twice: 0, phantom: 0, other: 0 };
    lines.set(fault, line);
    return line;
  };
  for (const request of journal.requests) {
    const line = lineOf(request.fault);
    line.begun++;
    if (request.answer !== null) line.answered++;
    if (verdict?.stored.has(request) === true) line.stored++;
  }
  for (const request of verdict?.lost ?? []) {
    const line = lineOf(request.fault);
    line.lost++;
    if (isTold(request)) line.told++;
  }
  for (const name of ['twice', 'phantom', 'other'] as const) for (const { request } of verdict?.[name] ?? []) lineOf(request?.fault ?? '(no request)')[name]++;
  const all = [...lines.values()];
  const total: Line = { fault: 'all', times: 0, begun: 0, answered: 0, stored: 0, lost: 0, told: 0, twice: 0, phantom: 0, other: 0 };
  for (const line of all) for (const name of COLUMNS) total[name] += line[name];
  return [...all, total];
}

export function tableOf(lines: readonly Line[]): string {
  const width = Math.max(...lines.map(({ fault }) => fault.length), 'fault'.length);
  const row = (first: string, cells: readonly string[]): string => [first.padEnd(width), ...cells.map((cell) => cell.padStart(9))].join('');
  return [row('fault', COLUMNS), ...lines.map((line) => row(line.fault, COLUMNS.map((name) => String(line[name]))))].join('\n');
}
