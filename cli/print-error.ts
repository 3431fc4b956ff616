import { TidegateError } from '../errors/tidegate-error.js';
import { printable } from './render/terminal.js';

/** Tells an error as an operator wants it: what, its code, what to do. Errors that are not ours are faults of the program: with their stack. */
export function printError(error: unknown): void {
  if (error instanceof TidegateError && error.code === 'config_rejected') console.error(`tidegate: the configuration was rejected (config_rejected)\n${lines(error.message).replaceAll(/^/gm, '  ')}`);
  else if (error instanceof TidegateError) console.error(`tidegate: ${lines(error.message)} (${error.code})\n  ${error.remedy}`);
  else console.error(error);
}

/** File names, and what a server says, come from outside. */
const lines = (text: string): string => text.split('\n').map(printable).join('\n');
