/** The levels of the processes' log, and the one that the environment asks for. */
import { TidegateError } from '../../errors/tidegate-error.js';

/** Each writes what the one before it writes, and more. */
export const LOG_LEVELS = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * TIDEGATE_LOG_LEVEL: until the configuration is read, and after it where `log.level` is absent. Default: info.
 * @throws TidegateError log_level
 */
export function environmentLevel(environment: NodeJS.ProcessEnv = process.env): LogLevel {
  const wanted = environment['TIDEGATE_LOG_LEVEL'] ?? '';
  const level = wanted === '' ? 'info' : LOG_LEVELS.find((known) => known === wanted);
  if (level === undefined) throw new TidegateError('log_level', `TIDEGATE_LOG_LEVEL is ${JSON.stringify(wanted.slice(0, 60))}, which is none of ${LOG_LEVELS.join(', ')}`);
  return level;
}
