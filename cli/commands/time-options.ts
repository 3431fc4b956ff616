/** `--from`, `--to` and `--day` of every command: read as the API reads them. */
import type { Command } from 'commander';
import { TidegateError } from '../../errors/tidegate-error.js';
import { isAgo, isDay, parseInstant } from '../../collector/reports/time-text.js';
import type { Query } from '../control-client.js';

export interface TimeOptions {
  readonly from?: string;
  readonly to?: string;
  readonly day?: string;
}

const DAYS = '2026-11-23, today, yesterday, monday';

/** @param defaults what is said of --from and --to */
export function withTimeOptions(command: Command, defaults: { readonly from: string; readonly to: string }): Command {
  return command
    .option('--from <time>', `a day (${DAYS}), how long ago (45m, 24h, 7d), or RFC 3339 (${defaults.from})`)
    .option('--to <time>', `end of the range (exclusive), written like --from (${defaults.to})`)
    .option('--day <day>', `instead of both, one day: ${DAYS}`);
}

/** For the API, which knows in whose zone a day is; what is ago is ago from here. @throws invalid_parameter */
export function timeQuery({ from, to, day }: TimeOptions, nowMs: number): Query {
  if (day !== undefined && (from !== undefined || to !== undefined)) throw new TidegateError('invalid_parameter', '--day: does not go with --from and --to');
  if (day !== undefined && !isDay(day)) throw new TidegateError('invalid_parameter', `--day ${day}: must be a day: ${DAYS}`);
  return {
    from: from === undefined ? undefined : instant('--from', from, nowMs),
    to: to === undefined ? undefined : instant('--to', to, nowMs),
    ...(day === undefined ? {} : { day }),
  };
}

/** @throws invalid_parameter */
function instant(option: string, text: string, nowMs: number): string {
  if (isAgo(text)) return new Date(parseInstant(option, text, { nowMs, timeZone: 'UTC' })).toISOString();
  if (isDay(text)) return text;
  if (!/^\d{4}-\d\d-\d\dT/.test(text) || Number.isNaN(Date.parse(text))) {
    throw new TidegateError('invalid_parameter', `${option} ${text}: must be a day (${DAYS}), how long ago (45m, 24h, 7d), or an instant such as 2026-11-21T09:00:00Z`);
  }
  return text;
}
