import type { ToldDay } from '../../collector/billing/billing.js';
import { count } from './figures.js';
import { renderTable, type Cell } from './table.js';
import { printable, styled, type Terminal } from './terminal.js';

const MOST_REASONS = 5;

/** A table of days, a line of sums, and what days that are over wait for. */
export function renderDays(terminal: Terminal, { from, to, days }: { readonly from: string; readonly to: string; readonly days: readonly ToldDay[] }): string {
  if (days.length === 0) return `No app had a day from ${from} up to ${to}.\n`;
  const table = renderTable(terminal, [
    { head: 'day', align: 'left' }, { head: 'app', align: 'left', shrinks: true }, { head: 'entry', align: 'left', shrinks: true }, { head: 'requests', align: 'right' }, { head: 'refused', align: 'right' },
    { head: 'billable', align: 'right' }, { head: 'over', align: 'right' }, { head: 'status', align: 'left' },
  ], days.map((entry) => [
    entry.day, entry.app, entry.kind === 'usage' ? 'usage' : `${entry.kind} for ${entry.for_day}`, count(entry.requests), count(entry.refused), signed(entry.billable), signed(entry.over_quota), statusCell(entry),
  ]));
  const closed = days.filter(({ status }) => status === 'closed');
  const sum = (of: readonly ToldDay[]): string => count(of.reduce((total, { billable }) => total + billable, 0));
  const open = days.length - closed.length;
  const waiting = days.filter(({ status }) => status === 'closing').slice(0, MOST_REASONS);
  return [
    table, `billable in closed days: ${styled(terminal, 'bold', sum(closed))}${open === 0 ? '' : `; in ${open} that ${open === 1 ? 'is' : 'are'} not closed, so far: ${sum(days.filter(({ status }) => status !== 'closed'))}`}\n`,
    ...waiting.map(({ day, app, reasons = [] }) => `${printable(`${day} of ${app}: ${reasons.join('; ')}`)}\n`),
  ].join('');
}

const signed = (value: number): string => (value < 0 ? `-${count(-value)}` : count(value));

function statusCell({ status, complete }: ToldDay): Cell {
  if (status === 'closed') return complete ? { text: 'closed', style: 'green' } : { text: 'closed, incomplete', style: 'yellow' };
  return status === 'closing' ? { text: 'closing', style: 'yellow' } : { text: 'open', style: 'dim' };
}
