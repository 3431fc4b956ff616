import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { NodeStatus } from '../../gateway/control/control-deps.js';
import type { RestartStatus } from '../../gateway/control/restart-status.js';
import { ControlClient, findControl, withControlOptions, type ControlOptions } from '../control-client.js';
import { standardOutput, type Terminal } from '../render/terminal.js';

const LOOK_EVERY_MS = 200;
/** The control origin goes with the supervisor for a moment; after this long without an answer it is not coming back. */
const AWAY_WITHIN_MS = 90_000;

export function register(program: Command): void {
  withControlOptions(program.command('restart').description('replaces every process of a running node except its launcher with the installed version, without losing requests'))
    .action((options: ControlOptions) => restart(options, standardOutput()));
}

/** @throws TidegateError why it was given up; control_unreachable: nobody answers any more */
export async function restart(options: ControlOptions, terminal: Terminal): Promise<void> {
  const client = new ControlClient(findControl(options));
  const startedMs = performance.now();
  const { number } = await client.post<{ readonly number: number }>('/v1/restart', 'application/json', '{}');
  let shown = '';
  const show = (text: string): void => {
    if (text === shown) return;
    shown = text;
    terminal.write(`${text}\n`);
  };
  for (;;) {
    const status = await statusOf(client, number);
    if (status !== null) {
      if (status.fault !== null) throw new TidegateError(status.fault.code, `${status.fault.detail}; replaced before: ${status.replaced.join(', ') || 'nothing'}`);
      if (status.state === 'done') {
        terminal.write(`done in ${((performance.now() - startedMs) / 1000).toFixed(1)} s: ${status.replaced.join(', ')}\n`);
        return;
      }
      if (status.step !== null) show(status.step);
    }
    await sleep(LOOK_EVERY_MS);
  }
}

/** Null: the launcher has not told this supervisor of it yet. */
async function statusOf(client: ControlClient, number: number): Promise<RestartStatus | null> {
  const untilMs = performance.now() + AWAY_WITHIN_MS;
  for (;;) {
    try {
      const { restart: status } = await client.get<NodeStatus>('/v1/status');
      return status !== null && status.number >= number ? status : null;
    } catch (error) {
      if (!(error instanceof TidegateError) || error.code !== 'control_unreachable' || performance.now() > untilMs) throw error;
    }
    await sleep(LOOK_EVERY_MS);
  }
}
