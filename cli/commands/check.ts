import type { Command } from 'commander';
import { checkFile } from '../../gateway/config/check.js';
import { formatProblem } from '../../gateway/config/config-problem.js';
import { trialCompile } from '../../gateway/supervisor/trial-compile.js';
import { standardOutput, type Terminal } from '../render/terminal.js';

export function register(program: Command): void {
  program.command('check <file>').description('checks syntax, schema and a trial compile; exit 0: valid, 1: not')
    .option('--json', 'errors and warnings as JSON')
    .action((file: string, { json }: { readonly json?: boolean }) => { process.exitCode = check(file, json === true, standardOutput()); });
}

/** @returns the exit code */
export function check(file: string, json: boolean, terminal: Terminal): 0 | 1 {
  const { errors, warnings } = checkFile(file, { trialCompile });
  if (json) {
    terminal.write(`${JSON.stringify({ file, errors, warnings }, null, 2)}\n`);
  } else {
    for (const problem of errors) terminal.write(`${formatProblem(problem)}\n`);
    for (const problem of warnings) terminal.write(`${formatProblem(problem)} warning\n`);
    if (errors.length === 0) terminal.write(`${file} is good.\n`);
  }
  return errors.length === 0 ? 0 : 1;
}
