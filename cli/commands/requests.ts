import type { Command } from 'commander';
import { ControlClient, findControl, withControlOptions, type ControlOptions } from '../control-client.js';
import { renderRequests, type RequestsAnswer } from '../render/requests.js';
import { standardOutput, type Terminal } from '../render/terminal.js';
import { gather, instant, wholeNumber } from './report.js';

const FILTERS = ['app', 'service', 'route', 'status', 'outcome'] as const;

interface RequestsOptions extends ControlOptions, Readonly<Record<(typeof FILTERS)[number], readonly string[]>> {
  readonly key?: string;
  readonly from?: string;
  readonly to?: string;
  readonly limit: number;
  readonly cursor?: string;
  readonly json?: boolean;
}

/** As many as one page has. */
const MOST = 1000;

export function register(program: Command): void {
  const command = withControlOptions(program.command('requests').description('the calls that match, newest first'))
    .option('--key <key>', 'ask as an app: its API key or JWT, instead of the control token')
    .option('--from <instant>', 'RFC 3339, or how long ago: 45m, 24h, 7d (default: 24h before --to)')
    .option('--to <instant>', 'RFC 3339, or how long ago (default: the end of this quarter of an hour)')
    .option('--limit <calls>', `at most so many, up to ${MOST}`, (text) => wholeNumber(text, MOST), 30)
    .option('--cursor <cursor>', 'go on behind the page that said it, with everything else as it was asked there')
    .option('--json', 'as the API gives it');
  for (const name of FILTERS) command.option(`--${name} <${name}>`, `only this ${name}; repeatable`, gather, []);
  command.action((options: RequestsOptions) => requests(options, standardOutput()));
}

/** `nowMs`: for the relative instants. */
export async function requests(options: RequestsOptions, terminal: Terminal, nowMs: number = Date.now()): Promise<void> {
  const client = new ControlClient(findControl(options.key === undefined ? options : { ...options, token: options.key }));
  const answer = await client.get<RequestsAnswer>('/v1/requests', {
    ...Object.fromEntries(FILTERS.map((name) => [name, options[name]])), limit: String(options.limit), cursor: options.cursor,
    from: options.from === undefined ? undefined : instant('--from', options.from, nowMs), to: options.to === undefined ? undefined : instant('--to', options.to, nowMs),
  });
  terminal.write(options.json === true ? `${JSON.stringify(answer, null, 2)}\n` : renderRequests(terminal, answer));
}
