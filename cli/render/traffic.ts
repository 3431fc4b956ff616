/** A traffic report for the terminal: totals, requests over time, latency, and a table by group; 80 columns are enough. */
import { bucketBounds, formatInstant, type Interval } from '../../collector/reports/calendar.js';
import { bytes, change, count, milliseconds, minuteOf, periodOf, share } from './figures.js';
import { bar, sparkline } from './graph.js';
import { renderTable, type Cell, type Column } from './table.js';
import { graphColumns, printable, styled, type Terminal } from './terminal.js';

/** As `GET /v1/reports/traffic` answers. */
export interface TrafficAnswer {
  readonly as_of: string;
  readonly from: string;
  readonly to: string;
  readonly interval: Interval;
  readonly time_zone: string;
  readonly clipped?: true;
  /** There is no record of the range. */
  readonly recorded?: false;
  /** Since when there is, where the range begins earlier. */
  readonly recorded_from?: string;
  readonly complete: boolean;
  readonly missing: readonly string[];
  /** With groups by path. Null: no path of the range is kept. */
  readonly paths_from?: string | null;
  readonly previous?: { readonly from: string; readonly to: string; readonly recorded?: false; readonly recorded_from?: string };
  readonly rows: readonly TrafficAnswerRow[];
}
export interface TrafficAnswerSums {
  readonly requests: number;
  readonly errors: number;
  readonly refused: number;
  readonly bytes_in: number;
  readonly bytes_out: number;
  readonly duration_ms: { readonly avg: number | null; readonly p50: number | null; readonly p90: number | null; readonly p95: number | null; readonly p99: number | null };
}

export interface TrafficAnswerRow extends TrafficAnswerSums {
  readonly time: string;
  readonly partial?: boolean;
  readonly others?: boolean;
  readonly previous?: TrafficAnswerSums & { readonly time: string };
  /** The groups asked for. */
  readonly [group: string]: unknown;
}

export interface TrafficView {
  /** What was asked for: `app acme, service catalogue`; '' for all. */
  readonly subject: string;
  /** One row or none: the whole range. */
  readonly total: TrafficAnswer;
  /** By time, no groups. */
  readonly series: TrafficAnswer;
  readonly table: TrafficAnswer;
  readonly groupBy: readonly string[];
  /** Rows of the table at most. */
  readonly top: number;
}

/** Groups whose values are words of this program: cut, they would look alike (`upstr…`). */
const WHOLE: ReadonlySet<string> = new Set(['outcome', 'status', 'status_class', 'method']);
export const NO_PATHS = 'no path of this range is recorded: a service records them with record_path: full, or template';
export const NOTHING: TrafficAnswerRow = { time: '', requests: 0, errors: 0, refused: 0, bytes_in: 0, bytes_out: 0, duration_ms: { avg: null, p50: null, p90: null, p95: null, p99: null } };

export function renderTraffic(terminal: Terminal, view: TrafficView): string {
  if (isUnrecorded(view.total)) return heading(terminal, view);
  const sum = view.total.rows[0] ?? NOTHING;
  return [
    heading(terminal, view),
    `${totals(terminal, sum)}${before(terminal, view.total)}`,
    overTime(terminal, view.series),
    latency(terminal, sum),
    view.table.rows.length === 0 ? '' : groups(terminal, view),
  ].filter((part) => part !== '').join('\n');
}

function heading(terminal: Terminal, { subject, total }: TrafficView): string {
  const lines = [
    `${styled(terminal, 'bold', `Traffic${subject === '' ? '' : ` of ${printable(subject)}`}`)}`,
    `${periodOf(total.from, total.to)} ${total.time_zone}, as of ${total.as_of.slice(11, 19)}`,
  ];
  if (total.clipped === true) lines.push(styled(terminal, 'yellow', 'the whole range is not kept: this is what is kept of it'));
  const unrecorded = unrecordedText(total);
  if (unrecorded !== '') lines.push(styled(terminal, 'yellow', unrecorded));
  if (!total.complete) {
    lines.push(styled(terminal, 'yellow', 'incomplete:'), ...total.missing.slice(0, 5).map((reason) => `  ${printable(reason)}`));
    if (total.missing.length > 5) lines.push(`  and ${total.missing.length - 5} more: see tidegate status`);
  }
  return lines.map((line) => `${line}\n`).join('');
}

/** Nothing to show; imported lines may be there all the same. */
export const isUnrecorded = ({ recorded, rows }: TrafficAnswer): boolean => recorded === false && rows.length === 0;

/** '': there is a record of the whole range, as far as it has gone. */
export function unrecordedText({ recorded, recorded_from: since }: Pick<TrafficAnswer, 'recorded' | 'recorded_from'>): string {
  if (recorded === false) return `not recorded: ${since === undefined ? 'this time has not begun, or nothing has been recorded yet' : `the record begins ${minuteOf(since)}`}`;
  return since === undefined ? '' : `recorded from ${minuteOf(since)} on`;
}

/** False: there is no period before, or no record of it. Imported lines may be there all the same. */
export function isCompared({ previous: period, rows }: Pick<TrafficAnswer, 'previous' | 'rows'>): boolean {
  return period !== undefined && (period.recorded !== false || rows.some(({ previous }) => previous !== undefined && previous.requests > 0));
}

function totals(terminal: Terminal, sum: TrafficAnswerRow): string {
  const requests = count(sum.requests);
  const errors = `${count(sum.errors)} (${share(sum.errors, sum.requests)})`;
  const parts = (bold: string, red: string) => [`requests ${bold}`, `errors ${red}`, `refused ${count(sum.refused)}`, `in ${bytes(sum.bytes_in)}`, `out ${bytes(sum.bytes_out)}`];
  const fits = parts(requests, errors).join('   ').length <= terminal.columns;
  const shown = parts(styled(terminal, 'bold', requests), sum.errors > 0 ? styled(terminal, 'red', errors) : errors);
  return fits ? `${shown.join('   ')}\n` : `${shown.slice(0, 3).join('   ')}\n${shown.slice(3).join('   ')}\n`;
}

/** How it was in the period before, and what has changed. */
function before(terminal: Terminal, total: TrafficAnswer): string {
  const { rows, previous: period } = total;
  if (period === undefined) return '';
  const unrecorded = unrecordedText(period);
  const head = `${styled(terminal, 'dim', `before, ${periodOf(period.from, period.to)}:`)}\n${unrecorded === '' ? '' : `  ${styled(terminal, 'yellow', unrecorded)}\n`}`;
  if (!isCompared(total)) return head;
  const { previous, ...now } = rows[0] ?? NOTHING;
  const then = previous ?? NOTHING;
  const parts = [
    `requests ${count(then.requests)} (now ${change(now.requests, then.requests)})`, `errors ${count(then.errors)} (${change(now.errors, then.errors)})`,
    `refused ${count(then.refused)} (${change(now.refused, then.refused)})`,
    ...(then.duration_ms.p99 === null ? [] : [`p99 ${milliseconds(then.duration_ms.p99)} ms (${now.duration_ms.p99 === null ? 'none now' : change(now.duration_ms.p99, then.duration_ms.p99)})`]),
  ];
  const line = `  ${parts.join('   ')}`;
  const shown = line.length <= terminal.columns ? line : `  ${parts.slice(0, 2).join('   ')}\n  ${parts.slice(2).join('   ')}`;
  return `${head}${shown}\n`;
}

function overTime(terminal: Terminal, series: TrafficAnswer): string {
  const bounds = bucketBounds(series.interval, series.time_zone, Date.parse(series.from), Date.parse(series.to));
  const byTime = new Map(series.rows.map((row) => [row.time, row.requests]));
  const values = bounds.slice(0, -1).map((start) => byTime.get(formatInstant(start, series.time_zone)) ?? 0);
  if (values.length < 2) return '';
  const { line, perCharacter } = sparkline(values, graphColumns(terminal));
  const peak = series.rows.reduce((most, row) => (row.requests > most.requests ? row : most), NOTHING);
  const scale = `each ${perCharacter === 1 ? '' : `${perCharacter} `}${series.interval}${perCharacter === 1 ? '' : 's'}`;
  const most = peak.requests === 0 ? '' : `; most ${count(peak.requests)} in the ${series.interval} of ${minuteOf(peak.time)}`;
  return `${styled(terminal, 'cyan', line)}\n${styled(terminal, 'dim', `requests, ${scale}${most}`)}\n`;
}

function latency(terminal: Terminal, sum: TrafficAnswerRow): string {
  const { avg, ...percentiles } = sum.duration_ms;
  if (avg === null) return '';
  const most = percentiles.p99 ?? 0;
  const width = Math.min(40, graphColumns(terminal) - 20);
  const lines = Object.entries(percentiles).map(([name, value]) => `${name} ${milliseconds(value).padStart(9)} ms  ${styled(terminal, 'cyan', bar(value ?? 0, most, width))}`);
  return [...lines, `avg ${milliseconds(avg).padStart(9)} ms`].map((line) => `${line.trimEnd()}\n`).join('');
}

function groups(terminal: Terminal, { table, groupBy, top }: TrafficView): string {
  const byTime = table.interval !== 'total';
  const compared = isCompared(table);
  const columns: Column[] = [
    ...(byTime ? [{ head: 'time', align: 'left' } as const] : []),
    ...groupBy.map((head): Column => ({ head, align: 'left', shrinks: !WHOLE.has(head) })),
    ...['requests', ...(compared ? ['change'] : []), 'errors', 'refused', 'p50 ms', 'p99 ms', 'out'].map((head): Column => ({ head, align: 'right' })),
  ];
  // the largest come in their order, and all others behind them
  const shown = table.rows.slice(0, table.rows[top]?.others === true ? top + 1 : top);
  const rows = shown.map((row) => [
    ...(byTime ? [`${minuteOf(row.time)}${row.partial === true ? '*' : ''}`] : []),
    ...groupBy.map((group, index) => (row.others === true ? (index === 0 ? 'all others' : '') : groupText(row[group]))),
    count(row.requests), ...(compared ? [change(row.requests, row.previous?.requests ?? 0)] : []), errorCell(row), count(row.refused), milliseconds(row.duration_ms.p50), milliseconds(row.duration_ms.p99), bytes(row.bytes_out),
  ]);
  const notes = [
    ...(byTime && table.rows.some((row) => row.partial === true) ? ['* not over yet, or cut by the range'] : []),
    ...(table.paths_from === undefined ? [] : [table.paths_from === null ? NO_PATHS : `paths are recorded from ${minuteOf(table.paths_from)} on`]),
    ...(table.rows.length > shown.length ? [`more rows: ${count(table.rows.length - shown.length)} (--top, or --format csv)`] : []),
  ];
  return renderTable(terminal, columns, rows) + notes.map((note) => `${styled(terminal, 'dim', note)}\n`).join('');
}

const errorCell = (row: TrafficAnswerRow): string | Cell => (row.errors > 0 ? { text: count(row.errors), style: 'red' } : '0');

/** A request that no route matched has no service; one without a credential no app. */
export function groupText(value: unknown): string {
  return (typeof value === 'string' || typeof value === 'number') && value !== '' ? `${value}` : '-';
}
