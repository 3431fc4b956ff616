import type { ToldDay } from '../../collector/billing/billing.js';
import { count } from './figures.js';
import { renderTable, type Cell } from './table.js';
import { printable, styled, type Terminal } from './terminal.js';

const MOST_REASONS = 5;

export interface DaysView {
  readonly from: string;
  readonly to: string;
  readonly days: readonly ToldDay[];
}

/** A table of days, the sums of each customer's months, and what days that are over wait for. @param all days of nothing, too */
export function renderDays(terminal: Terminal, { from, to, days }: DaysView, all: boolean): string {
  if (days.length === 0) return `No app had a day from ${from} up to ${to}.\n`;
  const shown = all ? days : days.filter((day) => !isOfNothing(day));
  const hidden = days.length - shown.length;
  const waiting = days.filter(({ status }) => status === 'closing').slice(0, MOST_REASONS);
  return [
    ...(shown.length === 0 ? [] : [daysTable(terminal, shown)]),
    ...(hidden === 0 ? [] : [styled(terminal, 'dim', `${count(hidden)} ${hidden === 1 ? 'day' : 'days'} of nothing ${hidden === 1 ? 'is' : 'are'} not shown: --all\n`)]),
    ...(shown.length === 0 && hidden > 0 ? [] : ['\n']), sumsTable(terminal, days), totals(terminal, days),
    ...days.flatMap(({ day, app, notes = [] }) => notes.map(({ at, note }) => `${printable(`${day} of ${app}, noted ${at.slice(0, 16)}Z: ${note}`)}\n`)),
    ...waiting.map(({ day, app, reasons = [] }) => `${printable(`${day} of ${app}: ${reasons.join('; ')}`)}\n`),
  ].join('');
}

/** One that waits, or was closed although its record was not whole, may have been of something. */
const isOfNothing = ({ kind, received, status, complete }: ToldDay): boolean => kind === 'usage' && received === 0 && (status === 'open' || (status === 'closed' && complete));

function daysTable(terminal: Terminal, days: readonly ToldDay[]): string {
  return renderTable(terminal, [
    { head: 'day', align: 'left' }, { head: 'app', align: 'left', shrinks: true }, { head: 'entry', align: 'left', shrinks: true }, { head: 'requests', align: 'right' }, { head: 'refused', align: 'right' },
    { head: 'billable', align: 'right' }, { head: 'of it over', align: 'right' }, { head: 'status', align: 'left' },
  ], days.map((entry) => [
    entry.day, entry.app, entry.kind === 'usage' ? 'usage' : `${entry.kind} for ${entry.for_day}`, count(entry.requests), count(entry.refused), signed(entry.billable), signed(entry.over_quota), statusCell(entry),
  ]));
}

/** What stands on each bill: the month of a customer, or of an app without one, by the dates of entries. */
function sumsTable(terminal: Terminal, days: readonly ToldDay[]): string {
  const bills = new Map<string, ToldDay[]>();
  for (const entry of days) {
    const bill = JSON.stringify([entry.customer === '' ? entry.app : entry.customer, entry.day.slice(0, 7)]);
    const entries = bills.get(bill);
    if (entries === undefined) bills.set(bill, [entry]);
    else entries.push(entry);
  }
  const rows = [...bills].sort(([a], [b]) => (a < b ? -1 : 1)).map(([bill, entries]) => {
    const [customer, month] = JSON.parse(bill) as readonly [string, string];
    const rest = entries.filter(isNotClosed);
    const sum = (name: 'requests' | 'refused' | 'billable' | 'over_quota'): number => entries.reduce((total, entry) => total + entry[name], 0);
    return [
      customer, month, [...new Set(entries.map(({ app }) => app))].join(', '), count(sum('requests')), count(sum('refused')), { text: signed(sum('billable')), style: 'bold' } as const, signed(sum('over_quota')),
      rest.length === 0 ? { text: 'none', style: 'green' } as const : { text: daysAndCredits(rest), style: 'yellow' } as const,
    ];
  });
  return renderTable(terminal, [
    { head: 'bill of', align: 'left', shrinks: true }, { head: 'month', align: 'left' }, { head: 'apps', align: 'left', shrinks: true }, { head: 'requests', align: 'right' }, { head: 'refused', align: 'right' },
    { head: 'billable', align: 'right' }, { head: 'of it over', align: 'right' }, { head: 'not closed', align: 'left' },
  ], rows);
}

function totals(terminal: Terminal, days: readonly ToldDay[]): string {
  const sum = (of: readonly ToldDay[]): string => signed(of.reduce((total, { billable }) => total + billable, 0));
  const rest = days.filter(isNotClosed);
  const closed = styled(terminal, 'bold', sum(days.filter(({ status }) => status === 'closed')));
  return `billable in closed days: ${closed}${rest.length === 0 ? '' : `; not closed, so far: ${sum(rest)} (${daysAndCredits(rest)})`}\n`;
}

const isNotClosed = ({ status }: ToldDay): boolean => status !== 'closed';

/** A credit waits for its day as an entry of its own, and is no day. */
function daysAndCredits(entries: readonly ToldDay[]): string {
  const days = entries.filter(({ kind }) => kind === 'usage').length;
  return ([[days, 'day'], [entries.length - days, 'credit']] as const).filter(([number]) => number > 0).map(([number, name]) => `${count(number)} ${name}${number === 1 ? '' : 's'}`).join(', ');
}

const signed = (value: number): string => (value < 0 ? `-${count(-value)}` : count(value));

function statusCell({ status, complete }: ToldDay): Cell {
  if (status === 'closed') return complete ? { text: 'closed', style: 'green' } : { text: 'closed, incomplete', style: 'yellow' };
  return status === 'closing' ? { text: 'closing', style: 'yellow' } : { text: 'open', style: 'dim' };
}
