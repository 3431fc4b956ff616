/**
 * What a reload of a text would change: read, tried and compared in a process of its own, from what the run directory says is in force. The trial leaves no
 * trace: no name is resolved, no port bound, no file made.
 */
import { TidegateError } from '../../errors/tidegate-error.js';
import type { ConfigProblem } from '../config/config-problem.js';
import { diffConfigs } from '../config/diff.js';
import { loadConfigText } from '../config/load.js';
import type { Environment } from '../config/variables.js';
import type { ConfigDiff } from '../control/control-deps.js';
import { completed, fixedFault, problemOf } from './candidate.js';
import { readConfigInForce } from './run-files.js';
import { trialCompile } from './trial-compile.js';

export interface TrialRequest {
  readonly text: string;
  /** Of the configuration in force: `file:` references are relative to its folder. */
  readonly file: string;
  readonly runDir: string;
}

/** Errors that an answer lists: a text can be wrong in more places than anybody reads. */
const MOST_ERRORS = 200;
const UNTOLD = 'is refused for what a variable stands for, which is not told here: `tidegate check` on the node says why';

export function trialDiff({ text, file, runDir }: TrialRequest, environment: Environment = process.env): ConfigDiff {
  const inForce = readConfigInForce(runDir);
  if (inForce === null) throw new Error('nothing is in force yet');
  const from = inForce.version;
  const rejected = (errors: readonly ConfigProblem[]): ConfigDiff => ({ from, to: from, changes: [], errors });
  const { loaded, errors } = loadConfigText(text, file, environment);
  if (loaded === null) return rejected(tellable(errors, text, file, environment).slice(0, MOST_ERRORS));
  const candidate = completed(loaded);
  const fixed = fixedFault(candidate, inForce);
  if (fixed !== null) return rejected([fixed]);
  try {
    trialCompile(candidate);
  } catch (error) {
    if (!(error instanceof TidegateError)) throw error;
    return rejected([problemOf(candidate, error.code, '', candidate.written.length === 0 ? error.message : UNTOLD)]);
  }
  return { from, to: candidate.version, changes: diffConfigs(inForce, candidate), errors: [] };
}

/**
 * What variables hold is not for who sends a text that names them, and a message can hold a part of it. Told is only what would be said as well if they all
 * held something else.
 */
function tellable(errors: readonly ConfigProblem[], text: string, file: string, environment: Environment): ConfigProblem[] {
  const others = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== undefined && value !== '').map(([name]) => [name, `a value of ${name}`]));
  const told = new Set(loadConfigText(text, file, { ...environment, ...others }).errors.map(identity));
  return errors.map((error) => (told.has(identity(error)) ? error : { ...error, message: UNTOLD }));
}

const identity = ({ line, column, path, code, message }: ConfigProblem): string => JSON.stringify([line, column, path, code, message]);
