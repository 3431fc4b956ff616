import type { Command } from 'commander';
import { agoMs, isAgo, parseInstant } from '../../collector/reports/time-text.js';
import type { DeclaredGap } from '../../gateway/control/control-deps.js';
import { ControlClient, findControl, withControlOptions, type ControlOptions } from '../control-client.js';
import { standardOutput, type Terminal } from '../render/terminal.js';

interface DeclareOptions extends ControlOptions { readonly from: string; readonly to?: string }

const TIMES = 'a day in UTC (2026-11-23, yesterday, monday), how long ago (45m, 24h, 7d), or RFC 3339';

export function register(program: Command): void {
  const command = program.command('gap').description('declares times for which the record may be incomplete');
  withControlOptions(command.command('declare').description('declares that a node\'s data directory was restored from a snapshot: requests answered in between may be missing. Cannot be withdrawn'))
    .requiredOption('--from <time>', `when the snapshot was made: ${TIMES}`)
    .option('--to <time>', 'when the node ran again, written like --from (default: when the node was started)')
    .action((options: DeclareOptions) => declare(options, standardOutput()));
}

/** @throws TidegateError invalid_parameter; what the control origin says */
export async function declare({ from, to, ...control }: DeclareOptions, terminal: Terminal, nowMs = Date.now()): Promise<void> {
  const body = JSON.stringify({ from: instant('--from', from, nowMs), to: to === undefined ? undefined : instant('--to', to, nowMs) });
  const gap = await new ControlClient(findControl(control)).post<DeclaredGap>('/v1/gaps', 'application/json', body);
  terminal.write(`What node ${gap.node} answered between ${gap.from} and ${gap.to} may be missing. The days of that time are not complete, and each closes only by tidegate billing close --day DAY --accept-gap REASON.\n`);
}

/** @throws invalid_parameter */
function instant(option: string, text: string, nowMs: number): string {
  // a report's range may begin a little later than it was said, a gap may not
  return new Date(isAgo(text) ? agoMs(text, nowMs) : parseInstant(option, text, { nowMs, timeZone: 'UTC' })).toISOString();
}
