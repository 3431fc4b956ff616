import { resolve } from 'node:path';
import type { Command } from 'commander';
import { pino } from 'pino';
import { TidegateError } from '../../errors/tidegate-error.js';
import { ConfigRejectedError } from '../../gateway/config/config-problem.js';
import { clientKey } from '../../gateway/config/client-key.js';
import { loadConfig, type LoadedConfig } from '../../gateway/config/load.js';
import { byteCount } from '../../gateway/config/units.js';
import { importLog, type ImportOutcome } from '../../gateway/events/import/import-log.js';
import { recordedClient } from '../../gateway/listeners/http/recorded-client.js';
import { completed } from '../../gateway/supervisor/candidate.js';
import { CONFIG_PLACES, configFile } from '../config-file.js';
import { printError } from '../print-error.js';
import { count, share } from '../render/figures.js';
import { progress, type Progress } from '../render/progress.js';
import { printable, standardError, standardOutput, type Terminal } from '../render/terminal.js';

/** As a shell says of what SIGINT ended. */
const INTERRUPTED = 130;

export interface ImportCommandOptions {
  readonly config: string;
  readonly service: string;
  readonly app?: string;
  readonly source?: string;
  readonly json?: boolean;
}

export function register(program: Command): void {
  program.command('import').description('access logs (common, combined, JSON lines; gzip) are imported as events of a service, each line once; exit 0: imported, 1: not all of the files')
    .argument('<file...>', 'log files; of a log that has grown, only the new lines are added')
    .requiredOption('--service <name>', 'the service that answered')
    .option('--app <name>', 'the calling app (default: from JSON lines, else none)')
    .option('--source <name>', 'distinguishes logs that begin with the same line, for example of two servers')
    .option('-c, --config <file>', `configuration of the node, into whose spool the events go (default: ${CONFIG_PLACES})`)
    .option('--json', 'the result as JSON, one object per file')
    .action(async (files: readonly string[], options: Omit<ImportCommandOptions, 'config'> & { readonly config?: string }) => {
      process.exitCode = await importLogs(files, { ...options, config: configFile(options.config) }, standardOutput(), progress(standardError(), process.stderr.isTTY, () => Date.now()));
    });
}

/**
 * Ctrl-C ends it at the line under way; run again, it goes on there.
 * @param terminal gets the outcome. @param shown how far it is
 * @returns the exit code. @throws config_rejected, config_reference
 */
export async function importLogs(files: readonly string[], options: ImportCommandOptions, terminal: Terminal, shown: Progress): Promise<number> {
  const { loaded, errors } = loadConfig(resolve(options.config));
  if (loaded === null) throw new ConfigRejectedError(errors);
  const place = placeOf(loaded, options);
  const stopping = new AbortController();
  const stop = (): void => { stopping.abort(); };
  // a second one ends it at once, which loses nothing either
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop);
  let failed = false;
  try {
    for (const file of files) {
      if (stopping.signal.aborted) break;
      try {
        const outcome = await importLog({
          ...place, file, signal: stopping.signal, log: pino({ level: 'warn' }, pino.destination({ dest: 2, sync: true })),
          onProgress: (read, all, lines) => { shown.show(read, all, `${printable(file)}: ${share(read, all)}, ${count(lines)} lines`); },
          onWaiting: (why) => { if (why !== null) shown.show(0, 1, `${printable(file)}: waits, for ${why === 'room' ? 'the spool is filled to a half' : 'what was imported of it before is not stored yet'}; a node must be running`); },
        });
        shown.end();
        terminal.write(options.json === true ? `${JSON.stringify(outcome)}\n` : told(outcome));
      } catch (error) {
        shown.end();
        if (!(error instanceof TidegateError)) throw error;
        failed = true;
        printError(error);
      }
    }
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.removeListener(signal, stop);
  }
  if (!stopping.signal.aborted) return failed ? 1 : 0;
  terminal.write(options.json === true ? '' : 'Stopped. What is imported stays; run it again, and it goes on from there.\n');
  return INTERRUPTED;
}

/** @throws config_reference: the configuration has no such service, or app */
function placeOf(loaded: LoadedConfig, { service: name, app, source = '' }: ImportCommandOptions) {
  const { config, dataDir } = completed(loaded);
  const service = config.services.find((candidate) => candidate.name === name);
  if (service === undefined) throw new TidegateError('config_reference', `--service ${printable(name)}: the configuration has no such service, only ${config.services.map((one) => one.name).join(', ') || 'none'}`);
  if (app !== undefined && !config.apps.some((candidate) => candidate.name === app)) throw new TidegateError('config_reference', `--app ${printable(app)}: the configuration has no such app`);
  const { segment_bytes, max_bytes } = config.event_log.spool;
  return {
    dataDir, node: config.node ?? '', service: name, app: app ?? null, source, keepsPath: service.record_path === 'full', recordedClient: recordedClient(config.privacy.client, clientKey(loaded)),
    segmentBytes: byteCount(segment_bytes), maxBytes: byteCount(max_bytes),
  };
}

function told({ file, known, lines, rows, bad, badLines, from, to, cut, stopped }: ImportOutcome): string {
  const span = from === null || to === null ? '' : `, from ${from.slice(0, 19)}Z to ${to.slice(0, 19)}Z`;
  const more = bad > badLines.length ? [`  and ${count(bad - badLines.length)} more`] : [];
  return [
    `${printable(file)}: ${count(rows)} events of ${count(lines)} ${known > 0 ? `new lines behind ${count(known)} that were imported before` : 'lines'}${span}${stopped ? '; stopped there' : ''}.`,
    ...(bad > 0 ? [`  ${count(bad)} ${bad === 1 ? 'line is' : 'lines are'} none of an access log:`, ...badLines.map(({ line, why }) => `  line ${count(line)}: ${why}`), ...more] : []),
    ...(cut ? ['  It ends within a line, which is taken once it is whole.'] : []),
  ].map((line) => `${line}\n`).join('');
}
