/** What came of each fault: requests matched one by one between the client and the store, and counted a third time by the upstream. */
import type { MatchedRequest } from '../matched-load.js';

/** What the store holds of one request's path. */
export interface StoredRequest {
  readonly path: string;
  readonly app: string;
  readonly bytes: number;
  readonly status: number;
  readonly rows: number;
  readonly requests: number;
}

export interface Matched {
  readonly begun: number;
  readonly answered: number;
  readonly stored: number;
  /** Answered, and not stored. */
  readonly lost: number;
  /** Requests stored more than once. */
  readonly twice: number;
  /** Stored otherwise than they were answered, or never begun; at most so many are told. */
  readonly wrong: readonly string[];
  /** Requests that got no answer. */
  readonly cut: number;
  /** Answers other than 200, by status and code. */
  readonly errors: ReadonlyMap<string, number>;
}

export interface FaultLine extends Matched {
  readonly fault: string;
  /** Why the fault could not be done, or ended, as it should; null: it could. */
  readonly failure: string | null;
  /** Requests that reached the upstream. */
  readonly upstream: number;
  /** Groups of rollups that differ from raw. */
  readonly rollupsOff: number;
  /** The longest that a stored request had waited since its end, s; null: none is stored. */
  readonly lagSeconds: number | null;
  /** The longest lag that any node's metrics have told. */
  readonly toldLagSeconds: number | null;
  /** From the end of the fault until everything answered before was stored, s; null: it never was. */
  readonly recoverSeconds: number | null;
  readonly calmP99Ms: number | null;
  readonly duringP99Ms: number | null;
}

const MOST_TOLD = 10;
/** Where calm requests take so long, the machine itself is late by as much as the ledger is waited for, and how many it refuses says nothing about the fault. */
const SLOW_P99_MS = 250;
/** A request waits for the ledger for a second and no longer: a machine that is busy starting processes refuses a few. */
const LATE = '503 ledger_unavailable';

export function match(begun: ReadonlyMap<string, MatchedRequest>, stored: readonly StoredRequest[]): Matched {
  const byPath = new Map(stored.map((row) => [row.path, row]));
  const wrong: string[] = [];
  const errors = new Map<string, number>();
  const tell = (text: string): void => { if (wrong.length < MOST_TOLD) wrong.push(text); };
  let [answers, lost, cut] = [0, 0, 0];
  for (const [path, { app, bytes, answered }] of begun) {
    if (answered === null) {
      cut++;
      continue;
    }
    answers++;
    if (answered.status !== 200) {
      const name = `${answered.status} ${answered.code ?? 'no problem'}`;
      errors.set(name, (errors.get(name) ?? 0) + 1);
    }
    const event = byPath.get(path);
    if (event === undefined) {
      lost++;
      tell(`${path}: answered ${answered.status}, and not stored`);
    } else if (event.status !== answered.status || event.bytes !== answered.bytes || (answered.status === 200 && (event.app !== app || event.bytes !== bytes))) {
      tell(`${path}: stored ${event.app} ${event.status} ${event.bytes}, received ${app} ${answered.status} ${answered.bytes}`);
    }
  }
  for (const { path, rows, requests } of stored) {
    if (!begun.has(path)) tell(`${path}: stored, and never begun`);
    else if (rows > 1 || requests > 1) tell(`${path}: ${rows} rows, ${requests} requests`);
  }
  const twice = stored.filter(({ rows, requests }) => rows > 1 || requests > 1).length;
  return { begun: begun.size, answered: answers, stored: stored.length, lost, twice, wrong, cut, errors };
}

/** Of answers only. Null: there are none. */
export function p99Ms(requests: Iterable<MatchedRequest>): number | null {
  const took = [...requests].flatMap(({ answered }) => (answered === null ? [] : [answered.tookMs])).sort((a, b) => a - b);
  return took[Math.ceil(took.length * 0.99) - 1] ?? null;
}

/**
 * What is wrong with a line; none: nothing.
 * @param mayCut a worker, or what lies between it and its clients, was broken: requests may have been cut or refused
 * @param lateShare of requests that may come too late for the ledger
 */
export function faultsOf(line: FaultLine, mayCut: boolean, lateShare: number): string[] {
  const { failure, begun, answered, stored, upstream, lost, twice, wrong, cut, errors, rollupsOff, recoverSeconds } = line;
  const found = failure === null ? [] : [failure];
  if (lost > 0) found.push(`${lost} lost`);
  if (twice > 0) found.push(`${twice} stored twice`);
  found.push(...wrong);
  if (rollupsOff > 0) found.push(`${rollupsOff} groups of rollups differ from raw`);
  if (recoverSeconds === null) found.push('what was answered was never all stored');
  if (answered === 0) found.push('nothing was answered');
  const refused = [...errors.values()].reduce((sum, count) => sum + count, 0);
  if (answered - refused > upstream) found.push(`${answered - refused} answered 200, and the upstream has seen ${upstream}`);
  if (mayCut) return found;
  const late = errors.get(LATE) ?? 0;
  const machineIsLate = line.calmP99Ms === null || line.calmP99Ms > SLOW_P99_MS;
  if (cut > 0 || refused > late || (late > begun * lateShare && !machineIsLate)) found.push(`clients noticed: ${cut} cut, ${listed(errors)}`);
  if (begun !== stored || upstream !== stored - late) found.push(`${begun} begun, ${upstream} at the upstream, ${stored} stored`);
  return found;
}

/** The table as text. */
export function tableOf(title: string, lines: readonly FaultLine[]): string {
  const seconds = (value: number | null): string => (value === null ? '-' : value.toFixed(1));
  const head = ['fault', 'requests', 'answered', 'upstream', 'stored', 'lost', 'twice', 'rollups off', 'worst lag s', 'told lag s', 'recovered s', 'p99 ms calm', '-> during', 'cut', 'errors'];
  const rows = lines.map((line) => [
    line.fault, line.begun, line.answered, line.upstream, line.stored, line.lost, line.twice, line.rollupsOff, seconds(line.lagSeconds), seconds(line.toldLagSeconds), seconds(line.recoverSeconds),
    seconds(line.calmP99Ms), seconds(line.duringP99Ms), line.cut, listed(line.errors),
  ].map(String));
  const widths = head.map((name, i) => Math.max(name.length, ...rows.map((row) => (row[i] ?? '').length)));
  const text = (row: readonly string[]): string => row.map((cell, i) => (i === 0 || i === row.length - 1 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  ').trimEnd();
  return [title, text(head), ...rows.map(text)].join('\n');
}

const listed = (codes: ReadonlyMap<string, number>): string => [...codes].map(([code, count]) => `${count} x ${code}`).join(', ') || 'none';
