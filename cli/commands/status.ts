import type { Command } from 'commander';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { NodeStatus } from '../../gateway/control/control-deps.js';
import { ControlClient, findControl, withControlOptions, type ControlOptions } from '../control-client.js';
import type { LiveAnswer } from '../render/live.js';
import { renderStatus, type CompletenessAnswer } from '../render/status.js';
import { standardOutput, type Terminal } from '../render/terminal.js';

interface StatusOptions extends ControlOptions { readonly json?: boolean }

export function register(program: Command): void {
  withControlOptions(program.command('status').description('workers, targets and their health, limits, spool, lag, completeness'))
    .option('--json', 'as the API returns it')
    .action((options: StatusOptions) => status(options, standardOutput()));
}

/** Each of what a status asks the collector, ms: it is the first thing asked when something is wrong, and what is known without the collector is not to wait for it. */
const COLLECTOR_WITHIN_MS = 2000;

export async function status(options: StatusOptions, terminal: Terminal): Promise<void> {
  const client = new ControlClient(findControl(options));
  const node = await client.get<NodeStatus>('/v1/status');
  if (options.json === true) {
    terminal.write(`${JSON.stringify(node, null, 2)}\n`);
    return;
  }
  // the node has just asked it in vain
  const [today, live] = node.collector === null ? [null, null]
    : await Promise.all([ofCollector<CompletenessAnswer>(client, '/v1/completeness'), ofCollector<LiveAnswer>(client, '/v1/reports/live')]);
  terminal.write(renderStatus(terminal, node, today, live));
}

/** A node without its collector still has a status. */
async function ofCollector<T>(client: ControlClient, path: string): Promise<T | null> {
  const signal = AbortSignal.timeout(COLLECTOR_WITHIN_MS);
  try {
    return JSON.parse(await client.text('GET', path, { signal })) as T;
  } catch (error) {
    if (signal.aborted || (error instanceof TidegateError && error.code !== 'control_unreachable')) return null;
    throw error;
  }
}
