import type { Command } from 'commander';
import type { HistoryEntry } from '../../gateway/config/history.js';
import { ControlClient, findControl, withControlOptions, type ControlOptions } from '../control-client.js';
import { renderHistory } from '../render/history.js';
import { standardOutput, type Terminal } from '../render/terminal.js';
import { wholeNumber } from './report.js';

interface HistoryOptions extends ControlOptions { readonly limit: number; readonly json?: boolean }

/** As many as the API gives at once. */
const MOST = 1000;

export function register(program: Command): void {
  const command = program.command('config').description('the configuration of a running node');
  withControlOptions(command.command('history').description('versions that were in force, newest first: since when, from where, and what changed'))
    .option('--limit <versions>', `at most this many, up to ${MOST}`, (text) => wholeNumber(text, MOST), 10)
    .option('--json', 'as the API returns it')
    .action((options: HistoryOptions) => history(options, standardOutput()));
}

export async function history(options: HistoryOptions, terminal: Terminal): Promise<void> {
  const answer = await new ControlClient(findControl(options)).get<{ readonly entries: readonly HistoryEntry[] }>('/v1/config/history', { limit: String(options.limit) });
  terminal.write(options.json === true ? `${JSON.stringify(answer, null, 2)}\n` : renderHistory(terminal, answer.entries));
}
