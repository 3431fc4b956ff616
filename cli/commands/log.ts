import { Option, type Command } from 'commander';
import { InvalidParameterError } from '../../errors/invalid-parameter.js';
import { LOG_LEVELS } from '../../gateway/config/log-level.js';
import type { LogLevelStatus } from '../../gateway/control/control-deps.js';
import { ControlClient, findControl, withControlOptions, type ControlOptions } from '../control-client.js';
import { standardOutput, type Terminal } from '../render/terminal.js';

interface LevelOptions extends ControlOptions { readonly for?: string }

const PATH = '/v1/log/level';
const RESET = 'reset';

export function register(program: Command): void {
  const log = program.command('log').description('the log of a running node');
  withControlOptions(log.command('level [level]').description(`which lines all processes of the node write, changed at once and for a while: ${LOG_LEVELS.join(', ')}; ${RESET}: as configured; without: as it is`))
    .addOption(new Option('--for <duration>', 'then the configured level holds again (default: 10m; at most 7d)'))
    .action((level: string | undefined, options: LevelOptions) => logLevel(level, options, standardOutput()));
}

/** @throws TidegateError invalid_parameter; what the control client throws */
export async function logLevel(level: string | undefined, options: LevelOptions, terminal: Terminal): Promise<void> {
  if (level !== undefined && level !== RESET && !LOG_LEVELS.some((known) => known === level)) throw new InvalidParameterError('level', `${level} is none`, [...LOG_LEVELS, RESET]);
  const client = new ControlClient(findControl(options));
  const status = level === undefined ? await client.get<LogLevelStatus>(PATH)
    : level === RESET ? JSON.parse(await client.text('DELETE', PATH)) as LogLevelStatus
      : await client.post<LogLevelStatus>(PATH, 'application/json', JSON.stringify({ level, ...(options.for === undefined ? {} : { for: options.for }) }));
  terminal.write(status.until === null ? `${status.level}, as configured\n` : `${status.level} until ${status.until}, then ${status.configured}\n`);
}
