import { resolve } from 'node:path';
import type { Command } from 'commander';
import { pino } from 'pino';
import { copyHistory } from '../../collector/copy-history.js';
import type { CopyResult } from '../../collector/store/copy-store.js';
import { clickHouseConnection } from '../../collector/store/open-store.js';
import { TidegateError } from '../../errors/tidegate-error.js';
import { ConfigRejectedError } from '../../gateway/config/config-problem.js';
import { loadConfig } from '../../gateway/config/load.js';
import { kafkaSettings } from '../../gateway/events/kafka-client.js';
import { CONFIG_PLACES, configFile } from '../config-file.js';
import { count } from '../render/figures.js';
import { copyProgress, type CopyProgress } from '../render/progress.js';
import { renderTable } from '../render/table.js';
import { standardError, standardOutput, type Terminal } from '../render/terminal.js';

/** As a shell says of what SIGINT ended. */
const INTERRUPTED = 130;

export function register(program: Command): void {
  const command = program.command('store').description('the store of the traffic record');
  command.command('copy').description('copies the history below data_dir (chDB) to store.clickhouse, once no collector runs; exit 0: both are the same, 1: not')
    .option('-c, --config <file>', `configuration, with store.clickhouse as it shall be (default: ${CONFIG_PLACES})`)
    .action(async ({ config }: { readonly config?: string }) => { process.exitCode = await copy(configFile(config), standardOutput(), copyProgress(standardError(), process.stderr.isTTY, () => Date.now())); });
}

/**
 * Ctrl-C ends it after the insert under way; run again, it goes on there.
 * @param terminal gets the outcome. @param progress how far it is
 * @returns the exit code. @throws config_rejected; what copyHistory throws
 */
export async function copy(file: string, terminal: Terminal, progress: CopyProgress): Promise<number> {
  const { loaded, errors } = loadConfig(resolve(file));
  if (loaded === null) throw new ConfigRejectedError(errors);
  const { config, dataDir, secrets } = loaded;
  const clickhouse = clickHouseConnection(config.store, secrets);
  if (clickhouse === null) throw new TidegateError('store_copy_nowhere', `store.clickhouse.url is empty in ${file}: it names where the history goes`);
  const stopped = new AbortController();
  const stop = (): void => { stopped.abort(); };
  // a second one ends it at once, which loses nothing either
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, stop);
  try {
    const result = await copyHistory({ dataDir, clickhouse, kafka: kafkaSettings(config, secrets), log: pino({ level: 'warn' }, pino.destination({ dest: 2, sync: true })), signal: stopped.signal, progress: progress.show });
    progress.end();
    return conclude(result, clickhouse.urls.join(', '), terminal);
  } catch (error) {
    progress.end();
    if (!stopped.signal.aborted || error instanceof TidegateError) throw error;
    terminal.write('Stopped. What is copied stays; run it again, and it goes on from there.\n');
    return INTERRUPTED;
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.removeListener(signal, stop);
  }
}

function conclude({ already, tables }: CopyResult, target: string, terminal: Terminal): 0 | 1 {
  if (already) {
    terminal.write(`This history was copied to ${target} before; nothing was done.\n`);
    return 0;
  }
  const columns = [{ head: 'TABLE', align: 'left' }, { head: 'ROWS', align: 'right' }, { head: 'COPIED', align: 'right' }, { head: 'ALL COLUMNS', align: 'left' }] as const;
  terminal.write(renderTable(terminal, columns, tables.map(({ table, rows, copiedRows, differing }) =>
    [table, count(rows), count(copiedRows), differing.length === 0 ? 'the same' : `differ in ${differing.join(', ')}`])));
  if (tables.every(({ differing }) => differing.length === 0)) {
    terminal.write(`All of it is in ${target}. Collectors may start there.\n`);
    return 0;
  }
  terminal.write(`The two differ, and no collector will take ${target}: DROP DATABASE tidegate there, and copy again.\n`);
  return 1;
}
