import type { Command } from 'commander';
import { TidegateError } from '../../errors/tidegate-error.js';
import { ConfigRejectedError } from '../../gateway/config/config-problem.js';
import { renderDiff } from '../../gateway/config/diff.js';
import { readConfigText } from '../../gateway/config/load.js';
import type { ConfigDiff } from '../../gateway/control/control-deps.js';
import { ControlClient, findControl, withControlOptions, type ControlOptions } from '../control-client.js';
import { printable, standardOutput, styled, type Terminal } from '../render/terminal.js';

interface DiffOptions extends ControlOptions { readonly json?: boolean }

export function register(program: Command): void {
  withControlOptions(program.command('diff <file>').description('what a reload of FILE would change; exit 0: nothing, 2: something'))
    .option('--json', 'as the API returns it')
    .action(async (file: string, options: DiffOptions) => { process.exitCode = await diff(file, options, standardOutput()); });
}

/** @returns the exit code. @throws config_rejected: the file would be rejected, with its errors */
export async function diff(file: string, options: DiffOptions, terminal: Terminal): Promise<0 | 2> {
  const text = readGiven(file);
  const client = new ControlClient(findControl(options));
  const found = await client.post<ConfigDiff>('/v1/config/diff', 'application/yaml', text).catch((error: unknown) => { throw placedIn(file, error); });
  if (options.json === true) {
    terminal.write(`${JSON.stringify(found, null, 2)}\n`);
  } else if (found.changes.length === 0) {
    terminal.write(`Nothing would change: ${found.from} is in force.\n`);
  } else {
    const styles = { '+': 'green', '-': 'red', '~': 'yellow' } as const;
    terminal.write(`${found.from} -> ${found.to}\n`);
    for (const line of renderDiff(found.changes).split('\n')) terminal.write(`${styled(terminal, styles[line[0] as keyof typeof styles], printable(line))}\n`);
  }
  return found.changes.length === 0 ? 0 : 2;
}

/** @throws config_unreadable, config_syntax */
function readGiven(file: string): string {
  try {
    return readConfigText(file);
  } catch (error) {
    if (!(error instanceof TidegateError)) throw error;
    throw new TidegateError(error.code, `${file}: ${error.message}`, { cause: error });
  }
}

/** The node read the text as a new content of its own file; what is wrong is in the one that was given. */
function placedIn(file: string, error: unknown): unknown {
  if (!(error instanceof ConfigRejectedError)) return error;
  return new ConfigRejectedError(error.problems.map((problem) => (problem.file.startsWith('$') ? problem : { ...problem, file })));
}
