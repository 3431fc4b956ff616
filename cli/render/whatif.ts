/** What other limits would have done to recorded traffic, for the terminal: totals, what changes by app and route, the rates that are reached; 80 columns are enough. */
import type { WhatifAnswer } from '../../collector/reports/whatif.js';
import type { Counts } from '../../gateway/whatif/replay.js';
import { count } from './figures.js';
import { renderTable, type Cell, type Column } from './table.js';
import { graphColumns, printable, styled, type Terminal } from './terminal.js';

/** Rows of each table at most; --format json has all. */
const MOST_ROWS = 40;
const ROW_COLUMNS: readonly Column[] = [
  { head: 'app', align: 'left', shrinks: true }, { head: 'service', align: 'left', shrinks: true }, { head: 'route', align: 'left', shrinks: true },
  { head: 'requests', align: 'right' }, { head: 'change', align: 'left' }, { head: 'of them', align: 'right' },
];
const LIMIT_COLUMNS: readonly Column[] = [{ head: 'rate', align: 'left', shrinks: true }, { head: 'refused', align: 'right' }, { head: 'at most', align: 'right' }];

export function renderWhatif(terminal: Terminal, file: string, answer: WhatifAnswer): string {
  return [heading(terminal, file, answer), totals(terminal, answer), changes(terminal, answer), limits(terminal, answer), notes(terminal, answer)].filter((part) => part !== '').join('\n');
}

function heading(terminal: Terminal, file: string, { version, from, to, as_of: asOf, complete, missing }: WhatifAnswer): string {
  const lines = [
    styled(terminal, 'bold', `What ${printable(file)} (${printable(version)}) would have done`),
    `${secondOf(from)} to ${secondOf(to)} UTC, as of ${asOf.slice(11, 19)}`,
    ...(complete ? [] : [styled(terminal, 'yellow', 'incomplete:'), ...missing.slice(0, 5).map((reason) => `  ${printable(reason)}`)]),
    ...(missing.length > 5 ? [`  and ${missing.length - 5} more: see tidegate status`] : []),
  ];
  return lines.map((line) => `${line}\n`).join('');
}

function totals(terminal: Terminal, { totals: all }: WhatifAnswer): string {
  const byReason = (head: string, counts: Counts): string => `${head} ${count(sum(counts))}${sum(counts) === 0 ? '' : `: ${reasons(counts)}`}`;
  return [
    `requests ${count(all.requests)}, let through ${count(all.admitted)}, refused ${count(sum(all.refused))}, as recorded ${count(sum(all.as_recorded))}`,
    byReason('refused that were let through', all.newly_refused), byReason('let through that were refused', all.newly_admitted),
  ].flatMap((text) => wrapped(text, graphColumns(terminal), '')).map((line) => `${line}\n`).join('');
}

function changes(terminal: Terminal, { rows }: WhatifAnswer): string {
  const lines: (string | Cell)[][] = [];
  const changed = rows.filter(({ newly_refused: refused, newly_admitted: admitted }) => sum(refused) + sum(admitted) > 0);
  for (const { app, service, route, requests, newly_refused: refused, newly_admitted: admitted } of changed) {
    const of = [
      ...Object.entries(refused).map(([outcome, times]): readonly [Cell, string] => [{ text: `now ${outcome}`, style: 'red' }, count(times)]),
      ...Object.entries(admitted).map(([outcome, times]): readonly [Cell, string] => [{ text: `no more ${outcome}`, style: 'green' }, count(times)]),
    ];
    of.forEach(([what, times], index) => lines.push(index === 0 ? [app || '-', service || '-', route || '-', count(requests), what, times] : ['', '', '', '', what, times]));
  }
  const same = rows.length - changed.length;
  const rest = [
    ...(lines.length > MOST_ROWS ? [`more rows: ${count(lines.length - MOST_ROWS)} (--format json)`] : []),
    ...(same > 0 ? [`nothing changes for ${count(same)} ${same === 1 ? 'other' : 'others'}`] : []),
  ];
  return (lines.length === 0 ? '' : renderTable(terminal, ROW_COLUMNS, lines.slice(0, MOST_ROWS))) + rest.map((note) => `${styled(terminal, 'dim', note)}\n`).join('');
}

function limits(terminal: Terminal, { limits: all }: WhatifAnswer): string {
  const reached = all.filter(({ refused }) => refused > 0).slice(0, MOST_ROWS);
  return reached.length === 0 ? '' : renderTable(terminal, LIMIT_COLUMNS, reached.map(({ key, refused, at_most: most }) => [key, count(refused), count(most)]));
}

function notes(terminal: Terminal, { not_simulated: all }: WhatifAnswer): string {
  return all.flatMap((note) => wrapped(printable(note), graphColumns(terminal), '- ')).map((line) => `${styled(terminal, 'dim', line)}\n`).join('');
}

/** Lines of whole words; those behind the first stand in. */
function wrapped(text: string, columns: number, before: string): string[] {
  const lines: string[] = [];
  let line = before;
  for (const word of text.split(' ')) {
    const longer = line === before ? `${line}${word}` : `${line} ${word}`;
    if (longer.length > columns && line.trim() !== '') {
      lines.push(line);
      line = `  ${word}`;
    } else line = longer;
  }
  return [...lines, line];
}

/** 2026-11-21 09:00:00 */
const secondOf = (instant: string): string => instant.slice(0, 19).replace('T', ' ');
const sum = (counts: Counts): number => Object.values(counts).reduce((all, one) => all + one, 0);
const reasons = (counts: Counts): string => Object.entries(counts).map(([outcome, times]) => `${outcome} ${count(times)}`).join(', ');
