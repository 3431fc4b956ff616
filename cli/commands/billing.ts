import { randomUUID } from 'node:crypto';
import { InvalidArgumentError, type Command } from 'commander';
import type { ToldDay } from '../../collector/billing/billing.js';
import type { BillingEntry } from '../../collector/billing/entry.js';
import { TidegateError } from '../../errors/tidegate-error.js';
import { clientOf, ControlClient, findControl, withControlOptions, withKeyOption, type ControlOptions, type KeyOptions } from '../control-client.js';
import { renderDays } from '../render/billing.js';
import { count } from '../render/figures.js';
import { standardOutput, type Terminal } from '../render/terminal.js';
import * as exporting from './billing-export.js';
import { noteUnknownApps } from './unknown-app.js';

interface DaysOptions extends KeyOptions { readonly month?: string; readonly from?: string; readonly to?: string; readonly day?: string; readonly app?: readonly string[]; readonly customer?: readonly string[]; readonly all?: boolean; readonly json?: boolean }
interface CloseOptions extends ControlOptions { readonly day: string; readonly app?: string; readonly acceptGap?: string; readonly note?: string }
interface AdjustOptions extends ControlOptions { readonly day: string; readonly requests: number; readonly reason: string; readonly note?: string; readonly id?: string }

/** As GET /v1/billing/days answers. */
interface DaysAnswer { readonly as_of: string; readonly from: string; readonly to: string; readonly days: readonly ToldDay[] }

const NOTE = 'for operators only: shown by billing days, in no export and to no app';

export function register(program: Command): void {
  const command = program.command('billing').description('what each app is billed per day, closed permanently');
  withKeyOption(command.command('days').description('the days of a month, or of a range, and the sums of each customer\'s months'))
    .option('--month <month>', 'such as 2026-11 (default: the current month)')
    .option('--from <date>', 'first local date: 2026-11-23, yesterday, monday, 7d').option('--to <date>', 'first local date after the range')
    .option('--day <date>', 'one local date')
    .option('--app <app...>', 'only these apps')
    .option('--customer <customer...>', 'only apps of these customers')
    .option('--all', 'also days without requests')
    .option('--json', 'as the API returns it')
    .action((options: DaysOptions) => days(options, standardOutput()));
  exporting.register(command);
  withControlOptions(command.command('close').description('closes a past day with an incomplete record, which waits for an operator'))
    .requiredOption('--day <date>', 'local date')
    .option('--app <app>', 'only for this app (default: all apps whose next day it is)')
    .option('--accept-gap <reason>', 'why it is closed although its record is incomplete; stays in the ledger and is shown to the customer')
    .option('--note <text>', NOTE)
    .action((options: CloseOptions) => close(options, standardOutput()));
  withControlOptions(command.command('adjust').description('enters a credit for a closed day, on the app\'s next open day').argument('<app>'))
    .requiredOption('--day <date>', 'the closed day, a local date')
    .requiredOption('--requests <number>', 'off the bill: -500; more on it: 500', wholeNumber)
    .requiredOption('--reason <text>', 'stays in the ledger and is shown to the customer')
    .option('--note <text>', NOTE)
    .option('--id <id>', 'of a credit that may already have been entered: repeated, it counts once (default: a new one)')
    .action((app: string, options: AdjustOptions) => adjust(app, options, standardOutput()));
}

export async function days({ month, from, to, day, app, customer, all, json, ...control }: DaysOptions, terminal: Terminal): Promise<void> {
  const client = clientOf(control);
  const answer = await client.get<DaysAnswer>('/v1/billing/days', { month, from, to, day, app, customer });
  if (answer.days.length === 0 && control.key === undefined) await noteUnknownApps(client, app ?? []);
  terminal.write(json === true ? `${JSON.stringify(answer, null, 2)}\n` : renderDays(terminal, answer, all === true));
}

export async function close({ day, app, acceptGap, note, ...control }: CloseOptions, terminal: Terminal): Promise<void> {
  const body = JSON.stringify({ day, app, accept_gap: acceptGap, note });
  const { closed } = await new ControlClient(findControl(control)).post<{ readonly closed: readonly BillingEntry[] }>('/v1/billing/close', 'application/json', body);
  const gaps = closed.filter(({ complete }) => !complete).length;
  terminal.write(`${day} is closed for ${count(closed.length)} ${closed.length === 1 ? 'app' : 'apps'}${gaps > 0 ? `, as incomplete for ${gaps === closed.length ? 'all of them' : count(gaps)}: ${acceptGap ?? ''}` : ''}.\n`);
}

export async function adjust(app: string, { day, requests, reason, note, id = randomUUID(), ...control }: AdjustOptions, terminal: Terminal): Promise<void> {
  try {
    const entry = await new ControlClient(findControl(control)).post<BillingEntry>('/v1/billing/adjust', 'application/json', JSON.stringify({ id, app, day, requests, reason, note }));
    const over = entry.over_quota === 0 ? '' : `, ${count(Math.abs(entry.over_quota))} of them over quota`;
    terminal.write(`${count(Math.abs(requests))} requests ${requests < 0 ? 'off' : 'more on'} the bill of ${app} for ${day}${over}: on ${entry.day}, entry ${entry.entry_id}.\n`);
  } catch (error) {
    // it may have been noted before the answer was lost
    if (error instanceof TidegateError && ['control_unreachable', 'collector_unavailable'].includes(error.code)) terminal.write(`Nobody knows whether it was noted. To say it again, and have it once: --id ${id}\n`);
    throw error;
  }
}

function wholeNumber(text: string): number {
  if (!/^[+-]?\d+$/.test(text) || !Number.isSafeInteger(Number(text))) throw new InvalidArgumentError('A whole number, such as -500.');
  return Number(text);
}
