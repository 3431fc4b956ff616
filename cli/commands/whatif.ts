import { Option, type Command } from 'commander';
import type { WhatifAnswer } from '../../collector/reports/whatif.js';
import { checkFile } from '../../gateway/config/check.js';
import { ConfigRejectedError } from '../../gateway/config/config-problem.js';
import type { LoadedConfig } from '../../gateway/config/load.js';
import { trialCompile } from '../../gateway/supervisor/trial-compile.js';
import { ENDPOINTS } from '../../gateway/control/endpoints.js';
import { rulesOf, type WhatifQuestion } from '../../gateway/whatif/rules.js';
import { ControlClient, findControl, withControlOptions, type ControlOptions } from '../control-client.js';
import { standardOutput, type Terminal } from '../render/terminal.js';
import { renderWhatif } from '../render/whatif.js';
import { parseDay } from '../../collector/reports/time-text.js';
import { TidegateError } from '../../errors/tidegate-error.js';
import { timeQuery, withTimeOptions, type TimeOptions } from './time-options.js';

interface WhatifOptions extends ControlOptions, TimeOptions { readonly format: 'table' | 'json' }

export function register(program: Command): void {
  const command = withControlOptions(program.command('whatif <file>').description('what the limits, quotas and allowed services of FILE would have done to recorded traffic'));
  withTimeOptions(command, { from: 'days are in UTC', to: 'needed with --from' })
    .addOption(new Option('--format <format>', 'json: as the API returns it').choices(['table', 'json']).default('table'))
    .action((file: string, options: WhatifOptions) => whatif(file, options, standardOutput()));
}

/** @throws config_rejected: as `tidegate check` says it; and what the node answers */
export async function whatif(file: string, options: WhatifOptions, terminal: Terminal, nowMs: number = Date.now()): Promise<void> {
  const { config, version } = checked(file);
  const question: WhatifQuestion = { ...rangeOf(options, nowMs), rules: rulesOf(config, version) };
  const client = new ControlClient(findControl(options));
  const text = await client.text('POST', ENDPOINTS.whatif.path, { type: 'application/json', body: JSON.stringify(question), timeoutMs: ENDPOINTS.whatif.answerTimeoutMs });
  const answer = JSON.parse(text) as WhatifAnswer;
  terminal.write(options.format === 'json' ? `${JSON.stringify(answer, null, 2)}\n` : renderWhatif(terminal, file, answer));
}

/** @throws config_rejected */
function checked(file: string): LoadedConfig {
  const found: LoadedConfig[] = [];
  const { errors } = checkFile(file, { trialCompile: (loaded) => {
    trialCompile(loaded);
    found.push(loaded);
  } });
  const [loaded] = found;
  if (loaded === undefined) throw new ConfigRejectedError(errors);
  return loaded;
}

/** @throws invalid_parameter */
function rangeOf(options: TimeOptions, nowMs: number): { readonly from: string; readonly to: string } {
  const { from, to, day } = timeQuery(options, nowMs);
  if (typeof day === 'string') {
    const { startMs, endMs } = parseDay('--day', day, { nowMs, timeZone: 'UTC' });
    return { from: new Date(startMs).toISOString(), to: new Date(endMs).toISOString() };
  }
  if (typeof from !== 'string' || typeof to !== 'string') throw new TidegateError('invalid_parameter', '--from and --to, or --day: which recorded traffic?');
  return { from, to };
}
