import type { Command } from 'commander';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { NodeStatus } from '../../gateway/control/control-deps.js';
import { ControlClient, findControl, withControlOptions, type ControlOptions } from '../control-client.js';
import { renderStatus, type CompletenessAnswer } from '../render/status.js';
import { standardOutput, type Terminal } from '../render/terminal.js';

interface StatusOptions extends ControlOptions { readonly json?: boolean }

export function register(program: Command): void {
  withControlOptions(program.command('status').description('workers, targets and their health, limits, spool, lag, completeness'))
    .option('--json', 'as the API gives it')
    .action((options: StatusOptions) => status(options, standardOutput()));
}

export async function status(options: StatusOptions, terminal: Terminal): Promise<void> {
  const client = new ControlClient(findControl(options));
  const node = await client.get<NodeStatus>('/v1/status');
  if (options.json === true) {
    terminal.write(`${JSON.stringify(node, null, 2)}\n`);
    return;
  }
  terminal.write(renderStatus(terminal, node, await completeness(client)));
}

/** A node without its collector still has a status. */
async function completeness(client: ControlClient): Promise<CompletenessAnswer | null> {
  try {
    return await client.get<CompletenessAnswer>('/v1/completeness');
  } catch (error) {
    if (error instanceof TidegateError && error.code !== 'control_unreachable') return null;
    throw error;
  }
}
