import type { Command } from 'commander';
import { clientOf, withKeyOption, type KeyOptions } from '../control-client.js';
import { isProven, renderCompleteness, type CompletenessDay, type CompletenessRange } from '../render/completeness.js';
import { standardOutput, type Terminal } from '../render/terminal.js';
import { timeQuery, withTimeOptions, type TimeOptions } from './time-options.js';

interface CompletenessOptions extends KeyOptions, TimeOptions {
  readonly timeZone?: string;
  readonly all?: boolean;
  readonly json?: boolean;
}

/** As the API answers where one day is asked for. */
type OneDay = Omit<CompletenessRange, 'days'> & CompletenessDay;

export function register(program: Command): void {
  const command = withKeyOption(program.command('completeness').description('which days\' records are not whole, and why. Exit code 0: every recorded day is complete and compared, and there is one; 2: not so'));
  withTimeOptions(command, { from: 'default: 30d', to: 'default: now' })
    .option('--time-zone <zone>', 'IANA name: whose days (default: the app\'s own, else UTC)')
    .option('--all', 'every day, not only those that are not whole')
    .option('--json', 'as the API gives it: every day')
    .action(async (options: CompletenessOptions) => { process.exitCode = await completeness(options, standardOutput()); });
}

/** @returns the exit code: 0, or 2 where a day's record is not whole or could not be compared, or no day is recorded */
export async function completeness(options: CompletenessOptions, terminal: Terminal, nowMs: number = Date.now()): Promise<number> {
  const client = clientOf(options);
  const asked = { ...timeQuery(options.day === undefined ? { ...options, from: options.from ?? '30d' } : options, nowMs), time_zone: options.timeZone };
  const answer = await client.get<CompletenessRange | OneDay>('/v1/completeness', asked);
  const range = 'days' in answer ? answer : { ...answer, days: [answer] };
  terminal.write(options.json === true ? `${JSON.stringify(answer, null, 2)}\n` : renderCompleteness(terminal, range, options.all === true));
  return isProven(range.days) ? 0 : 2;
}
