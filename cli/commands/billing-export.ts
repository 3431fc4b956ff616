import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { Option, type Command } from 'commander';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { ExportManifest } from '../../collector/api/export-replies.js';
import { EXPORT_FORMATS, type ExportFormat } from '../../collector/billing/export-query.js';
import { clientOf, type ControlClient, withKeyOption, type KeyOptions, type Query } from '../control-client.js';
import { OutFile, refuseBinaryTerminal, writeOut } from '../out-file.js';
import { printError } from '../print-error.js';
import { RECEIVERS } from '../push/receivers.js';
import { bytes, count, share } from '../render/figures.js';
import { progress, type Progress } from '../render/progress.js';
import { printable, standardError, standardOutput, type Terminal } from '../render/terminal.js';
import { pushEntries, type PushCommandOptions } from './billing-push.js';
import { noteUnknownApps } from './unknown-app.js';

/** Some days are open; some entries of a push were not taken, or nobody knows; ended by a signal, as a shell says it. */
const DAYS_OPEN = 3;
const INTERRUPTED = 130;

export interface ExportCommandOptions extends KeyOptions, PushCommandOptions {
  readonly month?: string;
  readonly from?: string;
  readonly to?: string;
  readonly day?: string;
  readonly app: readonly string[];
  readonly format: ExportFormat;
  readonly out?: string;
}

const gather = (value: string, before: readonly string[]): readonly string[] => [...before, value];

export function register(billing: Command): void {
  withKeyOption(billing.command('export').description('closed days as a file with its manifest, or to a billing system; exit 3: days are still open, 4: not everything was accepted'))
    .option('--month <month>', 'such as 2026-11')
    .option('--from <date>', 'instead of --month: first local date: 2026-11-23, yesterday, monday, 7d')
    .option('--to <date>', 'first local date after the range')
    .option('--day <date>', 'instead of --month: one local date')
    .option('--app <app>', 'only this app; repeatable', gather, [])
    .addOption(new Option('--format <format>', 'of the file').choices(EXPORT_FORMATS).default('csv'))
    .option('--out <file>', 'write to this file, and FILE.manifest.json next to it (default: standard output, without a manifest)')
    .addOption(new Option('--push <url>', 'push to a billing system, where each entry counts once; its key is read from TIDEGATE_PUSH_TOKEN').conflicts(['out', 'key']))
    .addOption(new Option('--adapter <name>', 'the type of billing system').choices(Object.keys(RECEIVERS)))
    .option('--meter <name>', 'the event name of Stripe\'s meter, the code of Lago\'s metric, the type of a CloudEvent')
    .option('--account <name>', 'distinguishes receivers at the same URL', '')
    .option('--window <duration>', 'how long the receiver remembers an id, such as 24h or 32d (default: 24h; Lago: for ever)')
    .option('--timeout <duration>', 'for the response to one request', '30s')
    .option('--resend <id>', 'an entry whose receipt is unknown: the receiver does not have it; repeatable', gather, [])
    .option('--assume-received <id>', 'an entry whose receipt is unknown: the receiver has it; repeatable', gather, [])
    .action(async (options: ExportCommandOptions) => {
      process.exitCode = await billingExport(options, standardOutput(), progress(standardError(), process.stderr.isTTY, () => Date.now()));
    });
}

/**
 * Ctrl-C leaves nothing half-written, and a push that goes on when it is run again.
 * @param shown how far it is
 * @returns the exit code
 */
export async function billingExport(options: ExportCommandOptions, terminal: Terminal, shown: Progress): Promise<number> {
  const client = clientOf(options);
  const stopping = new AbortController();
  const stop = (): void => { stopping.abort(); };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop);
  const query: Query = { month: options.month, from: options.from, to: options.to, day: options.day, app: options.app };
  try {
    if (options.key === undefined) await noteUnknownApps(client, options.app);
    if (options.push !== undefined) {
      const code = await pushEntries(client, query, { ...options, push: options.push }, terminal, shown, stopping.signal);
      return stopping.signal.aborted ? INTERRUPTED : code;
    }
    const asked: Query = { ...query, format: options.format };
    if (options.out === undefined || options.out === '-') {
      refuseBinaryTerminal(options.format);
      for await (const piece of client.bytes('GET', '/v1/billing/export', { query: asked, signal: stopping.signal })) await writeOut(piece);
    } else {
      await exportFile(client, asked, options.out, shown, stopping.signal);
    }
    return 0;
  } catch (error) {
    if (stopping.signal.aborted) return INTERRUPTED;
    if (!(error instanceof TidegateError) || error.code !== 'billing_days_open') throw error;
    printError(error);
    return DAYS_OPEN;
  } finally {
    shown.end();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.removeListener(signal, stop);
  }
}

/** The manifest is asked for first: what comes then is compared with it, so that a file is there only if all of it came as it was made. */
async function exportFile(client: ControlClient, query: Query, out: string, shown: Progress, signal: AbortSignal): Promise<void> {
  const manifest = JSON.parse(await client.text('GET', '/v1/billing/export', { query: { ...query, manifest: 'true' }, signal })) as ExportManifest;
  const all = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
  const file = new OutFile(out);
  try {
    const hash = createHash('sha256');
    let done = 0;
    // midnight may be between the two questions
    const same: Query = query['month'] === undefined ? { ...query, from: manifest.from, to: manifest.to, day: undefined } : query;
    for await (const piece of client.bytes('GET', '/v1/billing/export', { query: same, signal })) {
      file.write(piece);
      hash.update(piece);
      done += piece.length;
      shown.show(done, all, `${printable(out)}: ${share(done, all)}, ${bytes(done)}`);
    }
    const sha256 = hash.digest('hex');
    if (sha256 !== manifest.files[0]?.sha256) throw new TidegateError('billing_export_differs', `${done} bytes came with the SHA-256 ${sha256}; the manifest says ${all} with ${manifest.files[0]?.sha256}`);
  } catch (error) {
    file.discard();
    throw error;
  }
  file.keep();
  const beside = new OutFile(`${out}.manifest.json`);
  beside.write(Buffer.from(`${JSON.stringify({ ...manifest, files: manifest.files.map((one) => ({ ...one, name: basename(out) })) }, null, 2)}\n`));
  beside.keep();
  shown.end();
  console.error(`${printable(out)}: ${count(manifest.rows)} entries, ${count(manifest.sums.billable)} billable requests, ${count(manifest.sums.over_quota)} over quota.`);
}
