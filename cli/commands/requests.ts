import type { Command } from 'commander';
import { TidegateError } from '../../errors/tidegate-error.js';
import { ControlClient, findControl, withControlOptions, type ControlOptions } from '../control-client.js';
import { renderRequest, type RequestAnswer } from '../render/request.js';
import { renderRequests, type RequestsAnswer } from '../render/requests.js';
import { standardOutput, type Terminal } from '../render/terminal.js';
import { gather, wholeNumber } from './report.js';
import { timeQuery, withTimeOptions, type TimeOptions } from './time-options.js';
import { noteUnknownApps } from './unknown-app.js';

const FILTERS = ['app', 'service', 'route', 'status', 'outcome'] as const;

interface RequestsOptions extends ControlOptions, TimeOptions, Readonly<Record<(typeof FILTERS)[number], readonly string[]>> {
  readonly key?: string;
  readonly timeZone?: string;
  readonly limit?: number;
  readonly cursor?: string;
  readonly json?: boolean;
}

/** As many as one page has. */
const MOST = 1000;
const DEFAULT_ROWS = 30;

export function register(program: Command): void {
  const command = withControlOptions(program.command('requests').description('the calls that match, newest first; or all that is known of one'))
    .argument('[id]', 'its X-Request-Id')
    .option('--key <key>', 'ask as an app: its API key or JWT, instead of the control token');
  withTimeOptions(command, { from: 'default: 24h before --to', to: 'default: the end of this quarter of an hour' })
    .option('--time-zone <zone>', 'IANA name: whose days --from, --to and --day are (default: the app\'s own, else UTC)')
    .option('--limit <calls>', `at most so many, up to ${MOST} (default: ${DEFAULT_ROWS})`, (text) => wholeNumber(text, MOST))
    .option('--cursor <cursor>', 'go on behind the page that said it, with everything else as it was asked there')
    .option('--json', 'as the API gives it');
  for (const name of FILTERS) command.option(`--${name} <${name}>`, `only this ${name}${name === 'status' ? ', or class: 5xx' : ''}; repeatable`, gather, []);
  command.action((id: string | undefined, options: RequestsOptions) => (id === undefined ? requests(options, standardOutput()) : oneRequest(id, options, standardOutput())));
}

/** @throws not_found; invalid_parameter: it is no id, or something else was asked as well */
export async function oneRequest(id: string, options: RequestsOptions, terminal: Terminal): Promise<void> {
  const given = [...FILTERS.filter((name) => options[name].length > 0), ...(['from', 'to', 'day', 'limit', 'cursor'] as const).filter((name) => options[name] !== undefined)];
  if (given.length > 0) throw new TidegateError('invalid_parameter', `--${given.join(', --')}: does not go with an id, which is of one call`);
  const answer = await clientOf(options).get<RequestAnswer>(`/v1/requests/${encodeURIComponent(id)}`);
  terminal.write(options.json === true ? `${JSON.stringify(answer, null, 2)}\n` : renderRequest(answer));
}

const clientOf = (options: RequestsOptions): ControlClient => new ControlClient(findControl(options.key === undefined ? options : { ...options, token: options.key }));

/** `nowMs`: for the relative instants. */
export async function requests(options: RequestsOptions, terminal: Terminal, nowMs: number = Date.now()): Promise<void> {
  const client = clientOf(options);
  const answer = await client.get<RequestsAnswer>('/v1/requests', {
    ...Object.fromEntries(FILTERS.map((name) => [name, options[name]])), limit: String(options.limit ?? DEFAULT_ROWS), cursor: options.cursor,
    time_zone: options.timeZone, ...timeQuery(options, nowMs),
  });
  if (answer.rows.length === 0 && options.key === undefined) await noteUnknownApps(client, options.app);
  terminal.write(options.json === true ? `${JSON.stringify(answer, null, 2)}\n` : renderRequests(terminal, answer));
}
