/** `tidegate billing export --push`: which receiver, and what came of it, in words. */
import { isIPv4 } from 'node:net';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { ExportManifest } from '../../collector/api/export-replies.js';
import type { BillingEntry } from '../../collector/billing/entry.js';
import { durationMs } from '../../gateway/config/units.js';
import type { ControlClient, Query } from '../control-client.js';
import { push, type PushOutcome } from '../push/push.js';
import { RECEIVERS, type ReceiverName } from '../push/receivers.js';
import { count, share } from '../render/figures.js';
import type { Progress } from '../render/progress.js';
import { printable, type Terminal } from '../render/terminal.js';

export interface PushCommandOptions {
  readonly push?: string;
  readonly adapter?: ReceiverName;
  readonly meter?: string;
  readonly account: string;
  readonly window?: string;
  readonly timeout: string;
  readonly resend: readonly string[];
  readonly assumeReceived: readonly string[];
}

/** Some entries were not taken, or nobody knows. */
const NOT_ALL = 4;
const MOST_TOLD = 20;
const DAY_MS = 86_400_000;
const HOUR_SECONDS = 3600;

/**
 * @returns the exit code
 * @throws billing_push_target; billing_push_failed: the receiver takes nothing; what the control origin throws
 */
export async function pushEntries(client: ControlClient, query: Query, options: PushCommandOptions & { readonly push: string }, terminal: Terminal, shown: Progress, signal: AbortSignal): Promise<number> {
  const place = placeOf(options, process.env['TIDEGATE_PUSH_TOKEN']);
  const manifest = JSON.parse(await client.text('GET', '/v1/billing/export', { query: { ...query, format: 'ndjson', manifest: 'true' }, signal })) as ExportManifest;
  for (const [action, ids] of [['resend', options.resend], ['assume_received', options.assumeReceived]] as const) {
    if (ids.length > 0) await client.post('/v1/billing/receipts', 'application/json', JSON.stringify({ target: place.target, action, entry_ids: ids, detail: 'by an operator' }));
  }
  let done = 0;
  const outcome = await push({
    ...place, client, signal,
    onDone: (entries) => {
      done += entries;
      shown.show(done, manifest.rows, `${place.target}: ${share(done, manifest.rows)}, ${count(done)} of ${count(manifest.rows)} entries`);
    },
  }, days(client, query, manifest, signal));
  shown.end();
  terminal.write(told(place.target, manifest, outcome));
  if (outcome.stop !== null) throw new TidegateError('billing_push_failed', `${place.url}: ${printable(outcome.stop)}`);
  return outcome.refused.length + outcome.unknown.length > 0 ? NOT_ALL : 0;
}

/** @throws billing_push_target */
export function placeOf(options: PushCommandOptions & { readonly push: string }, token: string | undefined) {
  const fault = (detail: string): TidegateError => new TidegateError('billing_push_target', detail);
  if (options.adapter === undefined) throw fault(`--adapter is missing: ${Object.keys(RECEIVERS).join(', ')}`);
  const receiver = RECEIVERS[options.adapter];
  if (!URL.canParse(options.push)) throw fault('--push: is no URL');
  const url = new URL(options.push);
  if (url.username !== '' || url.password !== '') throw fault('--push: a credential does not belong in the URL, which others on this machine see: put it into TIDEGATE_PUSH_TOKEN');
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLoopback(url.hostname))) throw fault(`--push: ${url.protocol}//${url.host} is not https, and not on this machine`);
  const meter = options.meter ?? receiver.meter;
  if (meter === null || meter === '') throw fault(`--meter is missing: ${options.adapter === 'stripe' ? 'the event name of the meter' : 'the code of the billable metric'}`);
  if (url.pathname === '/') url.pathname = receiver.path;
  url.hash = '';
  const bearer = token === undefined || token === '' ? null : token;
  if (options.adapter !== 'cloudevents' && bearer === null) throw fault('TIDEGATE_PUSH_TOKEN is not set: the key of the receiver\'s API');
  // entries that are known to Stripe's test mode are not known to its live mode, at the same URL
  const mode = options.adapter === 'stripe' && /^[a-z]+_test_/.test(bearer ?? '') ? ' (test mode)' : '';
  const windowSeconds = options.window === undefined ? receiver.windowSeconds : seconds('--window', options.window);
  if (windowSeconds !== null && windowSeconds < HOUR_SECONDS) throw fault('--window: must be 1h or more');
  return {
    receiver, url: url.href, bearer, meter, windowSeconds, timeoutMs: seconds('--timeout', options.timeout) * 1000,
    target: `${options.adapter} ${url.origin}${url.pathname}${options.account === '' ? '' : ` ${options.account}`}${mode}`,
  };
}

function seconds(option: string, text: string): number {
  if (!/^\d{1,6}(?:\.\d+)?(?:ms|s|m|h|d)$/.test(text) || durationMs(text) === 0) throw new TidegateError('billing_push_target', `${option}: must be a duration such as 30s, 24h or 32d`);
  return durationMs(text) / 1000;
}

const isLoopback = (host: string): boolean => host === 'localhost' || host === '[::1]' || (isIPv4(host) && host.startsWith('127.'));

/** Day by day: a push takes as long as the receiver does, and no answer is held open for it. */
async function* days(client: ControlClient, query: Query, { from, to }: ExportManifest, signal: AbortSignal): AsyncGenerator<readonly BillingEntry[]> {
  const dateOf = (atMs: number): string => new Date(atMs).toISOString().slice(0, 10);
  for (let atMs = Date.parse(`${from}T00:00:00Z`); dateOf(atMs) < to; atMs += DAY_MS) {
    const text = await client.text('GET', '/v1/billing/export', { query: { app: query['app'], from: dateOf(atMs), to: dateOf(atMs + DAY_MS), format: 'ndjson' }, signal });
    yield text.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as BillingEntry);
  }
}

function told(target: string, { rows, sums }: ExportManifest, { received, before, refused, unknown }: PushOutcome): string {
  const list = <T>(items: readonly T[], line: (item: T) => string): string[] => [
    ...items.slice(0, MOST_TOLD).map((item) => `  ${line(item)}`), ...(items.length > MOST_TOLD ? [`  and ${count(items.length - MOST_TOLD)} more`] : []),
  ];
  const name = ({ entry_id: id, app, day, kind, billable }: BillingEntry): string => `${id} ${printable(app)} ${day} ${kind} ${billable}`;
  const resendable = unknown.filter((one) => one.resendable);
  const lost = unknown.filter((one) => !one.resendable);
  return [
    `${printable(target)}: of ${count(rows)} entries with ${count(sums.billable)} billable requests ${count(received)} were received now, ${count(before)} before.`,
    ...(refused.length === 0 ? [] : [`${count(refused.length)} were not taken:`, ...list(refused, ({ entry, why }) => `${name(entry)}: ${printable(why)}`)]),
    ...(resendable.length === 0 ? [] : [`Of ${count(resendable.length)} nobody knows whether they came; run the same command again while the receiver knows their ids:`, ...list(resendable, ({ entry, why }) => `${name(entry)}: ${printable(why)}`)]),
    ...(lost.length === 0 ? [] : [`Of ${count(lost.length)} nobody knows whether they came, and the receiver may not know their ids again; look there, then say --assume-received ID or --resend ID:`, ...list(lost, ({ entry, why }) => `${name(entry)}: ${printable(why)}`)]),
  ].map((line) => `${line}\n`).join('');
}
