import type { Command } from 'commander';
import type { RebuildLine } from '../../collector/rebuild/rebuild.js';
import { SUM_NAMES } from '../../collector/rebuild/rebuild-statements.js';
import { ControlClient, findControl, withControlOptions, type ControlOptions } from '../control-client.js';
import { count, share } from '../render/figures.js';
import { progress, type Progress } from '../render/progress.js';
import { standardError, standardOutput, type Terminal } from '../render/terminal.js';
import { stepLines } from '../step-lines.js';

interface RebuildCommandOptions extends ControlOptions { readonly swap?: boolean; readonly json?: boolean }

/** As `diff` has it. */
const DIFFERENT = 2;

export function register(program: Command): void {
  withControlOptions(program.command('rebuild').description('rebuilds the rollups from raw events, next to the old ones, and compares them; exit 0: equal, or swapped, 2: they differ'))
    .option('--swap', 'puts them in the place of those that differ')
    .option('--json', 'one JSON line per step, as the API returns it')
    .action(async (options: RebuildCommandOptions) => {
      process.exitCode = await rebuild(options, standardOutput(), progress(standardError(), process.stderr.isTTY, () => Date.now()));
    });
}

/** Ctrl-C ends it: partitions are swapped by then or not; run again, it goes on. @returns the exit code. @throws what the node answers */
export async function rebuild(options: RebuildCommandOptions, terminal: Terminal, shown: Progress): Promise<number> {
  const swap = options.swap === true;
  let differing = 0;
  try {
    for await (const line of stepLines<RebuildLine>(new ControlClient(findControl(options)), '/v1/rebuild', { swap: String(swap) })) {
      if (line.type === 'progress') {
        shown.show(line.done, Math.max(1, line.all), line.all === 0 ? line.what : `${share(line.done, line.all)} of ${count(line.all)} events, ${line.what}`);
        continue;
      }
      if (line.type === 'end') ({ differing } = line);
      const told = options.json === true ? `${JSON.stringify(line)}\n` : tell(line, swap);
      if (told === '') continue;
      shown.end();
      terminal.write(told);
    }
  } finally {
    shown.end();
  }
  return differing > 0 && !swap ? DIFFERENT : 0;
}

/** '': nothing to say. */
function tell(line: Exclude<RebuildLine, { type: 'progress' }>, swap: boolean): string {
  switch (line.type) {
    case 'compared': {
      if (line.differing === 0) return '';
      const off = SUM_NAMES.filter((name) => line.held[name] !== line.rebuilt[name]).map((name) => `${name} ${count(line.held[name])} -> ${count(line.rebuilt[name])}`);
      return `${line.rollup} ${line.day}: ${count(line.differing)} ${line.differing === 1 ? 'row differs' : 'rows differ'}; ${off.length === 0 ? 'the sums do not' : off.join(', ')}\n`;
    }
    case 'swapped': return `${line.rollup} ${line.partition}: swapped\n`;
    case 'left': return `raw events are not whole any more, so their rollups stay as they are: ${line.days.join(', ')}\n`;
    case 'end': {
      const days = `${count(line.days)} ${line.days === 1 ? 'day' : 'days'} of raw events`;
      if (line.differing === 0) return `${days}: the rollups are equal.\n`;
      return swap ? `${days}: ${line.swapped} ${line.swapped === 1 ? 'partition was' : 'partitions were'} swapped.\n` : `${days}: the rollups differ. tidegate rebuild --swap puts what raw events say in their place.\n`;
    }
  }
}
