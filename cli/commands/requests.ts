import { Option, type Command } from 'commander';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { Dates } from '../../collector/reports/csv.js';
import { clientOf, withKeyOption, type KeyOptions } from '../control-client.js';
import { keepAll } from '../out-file.js';
import { renderRequest, type RequestAnswer } from '../render/request.js';
import { renderRequests, type RequestsAnswer } from '../render/requests.js';
import { printable, standardOutput, type Terminal } from '../render/terminal.js';
import { datesOption, gather, noteHead, refuseDatesWithoutCsv, wholeNumber, WRITTEN } from './report.js';
import { timeQuery, withTimeOptions, type TimeOptions } from './time-options.js';
import { noteUnknownApps } from './unknown-app.js';

const FILTERS = ['app', 'service', 'route', 'path', 'target', 'status', 'outcome'] as const;

interface RequestsOptions extends KeyOptions, TimeOptions, Readonly<Record<(typeof FILTERS)[number], readonly string[]>> {
  readonly timeZone?: string;
  readonly slowerThan?: string;
  readonly sort?: 'time' | 'duration';
  readonly limit?: number;
  readonly cursor?: string;
  readonly json?: boolean;
  readonly format?: 'csv';
  readonly dates?: Dates;
  readonly out?: string;
}

/** As many as one page has. */
const MOST = 1000;
const DEFAULT_ROWS = 30;

export function register(program: Command): void {
  const command = withKeyOption(program.command('requests').description('matching requests, newest or slowest first; or one request in full'))
    .argument('[id]', 'its X-Request-Id');
  withTimeOptions(command, { from: 'default: 24h before --to', to: 'default: the end of this quarter of an hour' })
    .option('--time-zone <zone>', 'IANA name: the zone of --from, --to and --day (default: the app\'s own, else UTC)')
    .option('--slower-than <duration>', 'only requests that took longer: 1s, 250ms')
    .addOption(new Option('--sort <order>', 'newest first (default), or slowest first').choices(['time', 'duration']))
    .option('--limit <calls>', `at most this many, up to ${MOST} (default: ${DEFAULT_ROWS}; with --format csv all, by duration 100)`, (text) => wholeNumber(text, MOST))
    .option('--cursor <cursor>', 'continue after the page that printed this cursor; repeat its other options')
    .addOption(new Option('--json', 'as the API returns it').conflicts('format'))
    .addOption(new Option('--format <format>', 'a table for a spreadsheet, with all fields').choices(['csv']))
    .addOption(datesOption())
    .option('--out <file>', 'with --format csv: write to this file, whole or not at all');
  for (const name of FILTERS) command.option(`--${name} <${name}>`, `only this ${name}${WRITTEN[name] ?? ''}; repeatable`, gather, []);
  command.action((id: string | undefined, options: RequestsOptions) => (id === undefined ? requests(options, standardOutput()) : oneRequest(id, options, standardOutput())));
}

/** @throws not_found; invalid_parameter: it is no id, or something else was asked as well */
export async function oneRequest(id: string, options: RequestsOptions, terminal: Terminal): Promise<void> {
  const given = [...FILTERS.filter((name) => options[name].length > 0), ...(['from', 'to', 'day', 'slowerThan', 'sort', 'limit', 'cursor', 'format', 'out'] as const).filter((name) => options[name] !== undefined)];
  if (given.length > 0) throw new TidegateError('invalid_parameter', `--${given.map((name) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)).join(', --')}: does not go with an id, which is of one call`);
  const answer = await clientOf(options).get<RequestAnswer>(`/v1/requests/${encodeURIComponent(id)}`);
  terminal.write(options.json === true ? `${JSON.stringify(answer, null, 2)}\n` : renderRequest(answer));
}

/** What JSON has in itself. */
function noteHeaders(headers: Readonly<Record<string, string | string[] | undefined>>): void {
  noteHead(headers);
  const next = headers['x-tidegate-next'];
  if (typeof next === 'string') console.error(`Note: there are more: --cursor ${printable(next)}`);
}

/** `nowMs`: for the relative instants. */
export async function requests(options: RequestsOptions, terminal: Terminal, nowMs: number = Date.now()): Promise<void> {
  refuseDatesWithoutCsv(options);
  if (options.out !== undefined && options.format === undefined) throw new TidegateError('invalid_parameter', '--out: goes with --format csv');
  const client = clientOf(options);
  const limit = options.limit ?? (options.format === undefined ? DEFAULT_ROWS : undefined);
  const query = {
    ...Object.fromEntries(FILTERS.map((name) => [name, options[name]])), slower_than: options.slowerThan, sort: options.sort, limit: limit === undefined ? undefined : String(limit), cursor: options.cursor,
    time_zone: options.timeZone, ...timeQuery(options, nowMs),
  };
  if (options.format !== undefined) {
    // a file does not say why it has no rows
    if (options.key === undefined) await noteUnknownApps(client, options.app);
    const asked = { query: { ...query, format: options.format, dates: options.dates }, onHeaders: noteHeaders };
    if (options.out !== undefined) return keepAll(options.out, client.bytes('GET', '/v1/requests', asked));
    for await (const piece of client.pieces('GET', '/v1/requests', asked)) terminal.write(piece);
    return;
  }
  const answer = await client.get<RequestsAnswer>('/v1/requests', query);
  if (answer.rows.length === 0 && options.key === undefined) await noteUnknownApps(client, options.app);
  const pathless = answer.rows.length === 0 && options.path.length > 0 ? 'Paths are recorded only where the service says record_path: full, or template.\n' : '';
  terminal.write(options.json === true ? `${JSON.stringify(answer, null, 2)}\n` : `${renderRequests(terminal, answer)}${pathless}`);
}
