#!/usr/bin/env node
/** `tidegate …`: the command line. Errors of ours are told in words with their code; anything else is a fault of the program, with its stack. */
import { printError } from './print-error.js';
import { makeProgram } from './program.js';

// a reader that has read enough, such as head, is no failure
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit();
});

try {
  await makeProgram().parseAsync();
} catch (error) {
  printError(error);
  process.exitCode = 1;
}
