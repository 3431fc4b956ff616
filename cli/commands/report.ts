import { setTimeout as pause } from 'node:timers/promises';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { TidegateError } from '../../errors/tidegate-error.js';
import { INTERVALS, type Interval } from '../../collector/reports/calendar.js';
import { DATES, type Dates } from '../../collector/reports/csv.js';
import { FORMATS, type Format } from '../../collector/reports/traffic-query.js';
import { printError } from '../print-error.js';
import { keepAll, refuseBinaryTerminal, writeOut } from '../out-file.js';
import { clientOf, type ControlClient, withKeyOption, type KeyOptions, type Query } from '../control-client.js';
import { renderHtml } from '../render/html-report.js';
import { renderLive, type LiveAnswer } from '../render/live.js';
import { printable, standardOutput, type Terminal } from '../render/terminal.js';
import { renderTraffic, type TrafficAnswer, type TrafficView } from '../render/traffic.js';
import { endOfStep, isAgo, isDay } from '../../collector/reports/time-text.js';
import { bothSides, findChange } from './before-after.js';
import { timeQuery, withTimeOptions, type TimeOptions } from './time-options.js';
import { noteUnknownApps } from './unknown-app.js';

interface ReportOptions extends KeyOptions, TimeOptions {
  readonly app: readonly string[];
  readonly service: readonly string[];
  readonly route: readonly string[];
  readonly status: readonly string[];
  readonly method: readonly string[];
  readonly outcome: readonly string[];
  readonly path: readonly string[];
  readonly target: readonly string[];
  readonly timeZone?: string;
  readonly interval?: Interval;
  readonly groupBy?: string;
  readonly format?: Format | 'html';
  readonly dates?: Dates;
  readonly out?: string;
  readonly fill?: boolean;
  readonly compare?: boolean;
  readonly beforeAfter?: string | true;
  readonly top?: number;
}

const TABLE_ROWS = 30;
const DEFAULT_GROUPS = 'service,route';
const FILTERS = ['app', 'service', 'route', 'status', 'method', 'outcome', 'path', 'target'] as const;
/** What a filter takes beside a name, for its help. */
export const WRITTEN: Readonly<Record<string, string>> = { status: ', or class, or list: 5xx,404', path: ', or all below one: /shop/*' };

export const gather = (value: string, before: readonly string[]): readonly string[] => [...before, value];

export function register(program: Command): void {
  const command = withKeyOption(program.command('report').description('an app\'s or service\'s traffic: totals, over time, latency, by group'));
  withTimeOptions(command, { from: 'default: 24h', to: 'default: the end of this quarter of an hour' })
    .option('--time-zone <zone>', 'IANA name (default: the app\'s own, else UTC)')
    .addOption(new Option('--interval <interval>', 'a table over time in these steps; also the steps of the graph').choices(INTERVALS))
    .option('--group-by <groups>', `app, service, route, status_class; status, method, outcome, path, target, config_version; none (default: ${DEFAULT_GROUPS}, with --format json or ndjson none)`)
    .option('--top <groups>', `the largest groups, at most 1000; the others in one row (default: ${TABLE_ROWS})`, topGroups)
    .option('--compare', 'compare with the previous period of the same length')
    .addOption(new Option('--before-after [version]', 'traffic before and after a configuration change, as long as both versions were in force, a day at most (default: the newest change)')
      .conflicts(['from', 'to', 'day', 'interval', 'format', 'compare', 'key']))
    .option('--watch [seconds]', 'refresh until Ctrl-C (default: every 2)', seconds)
    .addOption(new Option('--format <format>', 'the report as the API returns it; html: one self-contained file with a chart').choices([...FORMATS, 'html']).conflicts('watch'))
    .addOption(datesOption())
    .option('--out <file>', 'with --format: write to this file, whole or not at all')
    .option('--fill', 'with --format: rows of zeros for buckets without events');
  for (const name of FILTERS) command.option(`--${name} <${name}>`, `only this ${name}${WRITTEN[name] ?? ''}; repeatable`, gather, []);
  command.action((options: ReportOptions & { readonly watch?: number | true }) => {
    const { watch, ...rest } = options;
    return watch === undefined ? report(rest, standardOutput()) : watched(rest, standardOutput(), (watch === true ? 2 : watch) * 1000);
  });
}

/** What cannot be had for now, since the collector starts again say, is said, and asked for again, once there was anything. */
async function watched(options: ReportOptions, terminal: Terminal, everyMs: number): Promise<void> {
  let last = '';
  for (;;) {
    let text = '';
    let failure: TidegateError | null = null;
    try {
      await report(options, { ...terminal, write: (piece) => { text += piece; } });
      text += await nowOf(options, terminal);
      last = text;
    } catch (error) {
      if (!(error instanceof TidegateError) || !RETRIED.has(error.code) || last === '') throw error;
      failure = error;
    }
    if (terminal.interactive === true) terminal.write(`${CLEAR}${last}`);
    else if (failure === null) terminal.write(`${text}\n`);
    // under the report that was there last
    if (failure !== null) printError(failure);
    await pause(everyMs);
  }
}

const RETRIED: ReadonlySet<string> = new Set(['control_unreachable', 'collector_unavailable', 'report_busy', 'rate_limited']);
/** To the first place, and empty from there. */
const CLEAR = '\x1b[H\x1b[J';

/** Under a report that is watched: what is going on, and how much of its quota each app has used. */
async function nowOf(options: ReportOptions, terminal: Terminal): Promise<string> {
  const client = clientOf(options);
  return `\n${renderLive(terminal, await client.get<LiveAnswer>('/v1/reports/live', { time_zone: options.timeZone }), options.app)}`;
}

/** `nowMs`: for the relative instants. */
export async function report(options: ReportOptions, terminal: Terminal, nowMs: number = Date.now()): Promise<void> {
  const client = clientOf(options);
  if (options.fill === true && (options.format === undefined || options.format === 'html')) throw new TidegateError('invalid_parameter', '--fill: goes with --format csv, ndjson, json or parquet');
  refuseDatesWithoutCsv(options);
  if (options.out !== undefined && options.format === undefined) throw new TidegateError('invalid_parameter', '--out: goes with --format');
  if (options.beforeAfter !== undefined) return ofChange(client, options, terminal, nowMs);
  if (options.format === 'html') {
    const page = renderHtml(await trafficView(client, options, nowMs));
    return options.out === undefined ? terminal.write(page) : keepAll(options.out, [Buffer.from(page)]);
  }
  if (options.format !== undefined) {
    // a file does not say why it has no rows
    if (options.key === undefined) await noteUnknownApps(client, options.app);
    const query = {
      ...range(options, nowMs), ...filters(options), interval: options.interval, group_by: groupsOf(options) ?? undefined, format: options.format, dates: options.dates, compare: options.compare === true ? 'previous' : undefined, top: options.top === undefined ? undefined : String(options.top),
      fill: options.fill === true ? 'true' : undefined,
    };
    return asItIs(client, query, { format: options.format, out: options.out ?? null }, terminal);
  }
  terminal.write(renderTraffic(terminal, await trafficView(client, options, nowMs)));
}

/** Totals, over time, and by group: what the terminal shows. */
async function trafficView(client: ControlClient, options: ReportOptions, nowMs: number): Promise<TrafficView> {
  const asked: Query = { ...range(options, nowMs), ...filters(options) };
  const compare = options.compare === true ? 'previous' : undefined;
  const groups = groupsOf(options);
  const top = options.top ?? TABLE_ROWS;
  let times: Query = {};
  const ask = (interval: Interval, more: Query = {}) => client.get<TrafficAnswer>('/v1/reports/traffic', { ...asked, ...times, interval, ...more });
  const total = await ask('total', { compare });
  // a day is the same one in all three, and what is kept of it
  if (total.clipped === true || asked['day'] !== undefined || [options.from, options.to].some((text) => text !== undefined && isDay(text))) times = { from: total.from, to: total.to, day: undefined };
  if (total.rows.length === 0 && options.key === undefined) await noteUnknownApps(client, options.app);
  const series = await ask(options.interval === undefined || options.interval === 'total' ? graphStep(total) : options.interval);
  const table = await ask(options.interval ?? 'total', { group_by: groups ?? undefined, compare, ...(options.interval === undefined && groups !== null ? { top: String(top) } : {}) });
  // a page is handed on to who does not know whose key it was asked with
  const own = options.format === 'html' && options.key !== undefined && options.app.length === 0 ? (await ask('total', { group_by: 'app' })).rows : [];
  const app = own.length === 1 ? own[0]?.['app'] : undefined;
  const subject = subjectOf(typeof app === 'string' && app !== '' ? { ...options, app: [app] } : options);
  return { subject, total, series, table, groupBy: groups?.split(',') ?? [], top };
}

async function asItIs(client: ControlClient, query: Query, { format, out }: { readonly format: Format; readonly out: string | null }, terminal: Terminal): Promise<void> {
  if (out === null && format === 'parquet') {
    refuseBinaryTerminal(format);
    for await (const bytes of client.bytes('GET', '/v1/reports/traffic', { query, onHeaders: noteHead })) await writeOut(bytes);
  } else if (out === null) {
    for await (const piece of client.pieces('GET', '/v1/reports/traffic', { query, onHeaders: noteHead })) terminal.write(piece);
    // the others end their last line themselves
    if (format === 'json') terminal.write('\n');
  } else {
    await keepAll(out, client.bytes('GET', '/v1/reports/traffic', { query, onHeaders: noteHead }));
  }
}

/** JSON has it in itself; a table of numbers would be taken for all that was asked for. */
export function noteHead(headers: Readonly<Record<string, string | string[] | undefined>>): void {
  const from = headers['x-tidegate-clipped'];
  if (typeof from === 'string') console.error(`Note: the whole range is not kept; this answer begins ${printable(from)}.`);
  if (headers['x-tidegate-recorded'] === 'false') console.error('Note: this range is not recorded: it was over before the record began, or has not begun.');
  if (headers['x-tidegate-complete'] === 'false') console.error('Note: something of this range is missing, or not proven to be whole: --format json says what.');
}

const filters = (options: ReportOptions): Query => ({ time_zone: options.timeZone, ...Object.fromEntries(FILTERS.map((name) => [name, options[name]])) });

/** A table of numbers has the groups of the table in the terminal; null: none. */
function groupsOf({ groupBy, format }: ReportOptions): string | null {
  if (groupBy === 'none') return null;
  return groupBy ?? (format === 'json' || format === 'ndjson' ? null : DEFAULT_GROUPS);
}

export const datesOption = (): Option => new Option('--dates <form>', 'with --format csv: rfc3339 (default), or spreadsheet, 2026-11-24 10:00:00 in --time-zone, which spreadsheets read as a date').choices(DATES);

/** @throws invalid_parameter */
export function refuseDatesWithoutCsv({ dates, format }: { readonly dates?: Dates; readonly format?: string }): void {
  if (dates !== undefined && format !== 'csv') throw new TidegateError('invalid_parameter', '--dates: goes with --format csv');
}

const subjectOf = (options: ReportOptions): string => FILTERS.filter((name) => options[name].length > 0).map((name) => `${name} ${options[name].join(', ')}`).join(', ');

/** Totals and groups beside those of the version before; the graph spans both sides. */
async function ofChange(client: ControlClient, options: ReportOptions, terminal: Terminal, nowMs: number): Promise<void> {
  const change = await findChange(client, options.beforeAfter === true || options.beforeAfter === undefined ? '' : options.beforeAfter, nowMs);
  const groups = groupsOf(options);
  const asked = filters(options);
  const total = await bothSides(client, change, asked);
  if (total.rows.length === 0) await noteUnknownApps(client, options.app);
  const both = { from: new Date(change.changeMs - change.lengthMs).toISOString(), to: new Date(change.changeMs + change.lengthMs).toISOString() };
  const series = await client.get<TrafficAnswer>('/v1/reports/traffic', { ...asked, ...both, interval: graphStep(both) });
  const table = await bothSides(client, change, { ...asked, group_by: groups ?? undefined });
  terminal.write(`${change.previous} -> ${change.version}, ${new Date(change.changeMs).toISOString().slice(0, 19)}Z\n`);
  terminal.write(renderTraffic(terminal, { subject: subjectOf(options), total, series, table, groupBy: groups?.split(',') ?? [], top: options.top ?? TABLE_ROWS }));
}

/** About as many buckets as a line has characters. */
function graphStep({ from, to }: Pick<TrafficAnswer, 'from' | 'to'>): Interval {
  const lengthMs = Date.parse(to) - Date.parse(from);
  return lengthMs <= 2 * 3_600_000 ? 'minute' : lengthMs <= 5 * 86_400_000 ? 'hour' : lengthMs <= 200 * 86_400_000 ? 'day' : 'month';
}

/** Without anything said, 24 hours; of what was ago, as long as was said: from a minute's end on to a minute's end. @throws invalid_parameter */
function range(options: TimeOptions, nowMs: number): Query {
  if (options.day !== undefined) return timeQuery(options, nowMs);
  const since = options.from ?? '24h';
  const asked = timeQuery({ ...options, from: since }, nowMs);
  return options.to === undefined && isAgo(since) ? { ...asked, to: new Date(endOfStep(since, nowMs)).toISOString() } : asked;
}

function topGroups(text: string): number {
  return wholeNumber(text, 1000);
}

function seconds(text: string): number {
  return wholeNumber(text, 86_400);
}

export function wholeNumber(text: string, most: number): number {
  if (!/^[1-9]\d{0,4}$/.test(text) || Number(text) > most) throw new InvalidArgumentError(`It must be a number from 1 to ${most}.`);
  return Number(text);
}
