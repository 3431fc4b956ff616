/** `tidegate check`: everything that a reload would refuse, without a reload. */
import { TidegateError } from '../../errors/tidegate-error.js';
import type { ConfigProblem } from './config-problem.js';
import { loadWithPlaces } from './load.js';
import type { LoadedConfig } from './load.js';
import type { Environment } from './variables.js';

export interface CheckResult {
  readonly errors: readonly ConfigProblem[];
  readonly warnings: readonly ConfigProblem[];
}

/** Builds what the configuration would run as, and lets it go; throws a TidegateError where that fails. */
export type TrialCompile = (loaded: LoadedConfig) => void;

/** All that is wrong with a file: syntax, schema, meaning, and a trial compile once these are right. */
export function checkFile(file: string, options: { readonly environment?: Environment; readonly trialCompile?: TrialCompile } = {}): CheckResult {
  const { result, locate } = loadWithPlaces(file, options.environment);
  if (result.loaded === null || options.trialCompile === undefined) return { errors: result.errors, warnings: result.warnings };
  try {
    options.trialCompile(result.loaded);
  } catch (error) {
    if (!(error instanceof TidegateError)) throw error;
    return { errors: [{ ...locate([]), path: '', message: error.message, code: error.code }], warnings: result.warnings };
  }
  return { errors: [], warnings: result.warnings };
}
