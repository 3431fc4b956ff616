/** Versions of the configuration for the terminal: each with its time and source, and below it what it changed. */
import { renderDiff } from '../../gateway/config/diff.js';
import type { HistoryEntry } from '../../gateway/config/history.js';
import { printable, styled, type Terminal } from './terminal.js';

/** Lines of one version: one that changed much would push the others off the screen. */
const MOST_LINES = 20;
const STYLES = { '+': 'green', '-': 'red', '~': 'yellow' } as const;

export function renderHistory(terminal: Terminal, entries: readonly HistoryEntry[]): string {
  if (entries.length === 0) return 'No version was in force yet.\n';
  return entries.map((entry) => renderEntry(terminal, entry)).join('')
    + (entries.length === 1 ? '' : styled(terminal, 'dim', 'Traffic on both sides of a change: tidegate report --before-after VERSION\n'));
}

function renderEntry(terminal: Terminal, { version, time, source, author, diff, more }: HistoryEntry): string {
  const head = `${styled(terminal, 'bold', printable(version))}  ${printable(time.slice(0, 19))}Z  ${printable(source)}${author === '' ? '' : ` by ${printable(author)}`}\n`;
  // all of it, as one change of what has no path
  if (diff[0]?.path === '') return `${head}  the first one of this node\n`;
  const shown = diff.slice(0, MOST_LINES).map((change) => renderDiff([change]));
  const left = diff.length - shown.length + more;
  return head + shown.map((text) => `  ${styled(terminal, STYLES[text[0] as keyof typeof STYLES], printable(text))}\n`).join('')
    + (left === 0 ? '' : styled(terminal, 'dim', `  ${left} more: --json\n`));
}
