/** The processes' log: pino's JSON lines on standard output; readable text where that is a terminal. TIDEGATE_LOG_LEVEL sets the level. */
import { pino, type Logger } from 'pino';
import pinoPretty from 'pino-pretty';

export type { Logger } from 'pino';

const LEVELS: ReadonlySet<string> = new Set(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']);

/** `fields` stand in every line: the process's role, a worker's slot. */
export function makeLog(fields: Readonly<Record<string, string | number>>): Logger {
  const wanted = process.env['TIDEGATE_LOG_LEVEL'] ?? 'info';
  const options = {
    level: LEVELS.has(wanted) ? wanted : 'info',
    base: { ...fields, pid: process.pid },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  if (!process.stdout.isTTY) return pino(options, pino.destination({ dest: 1, sync: true }));
  // a line's own `worker` is the one it speaks of, and is shown with its other fields
  const ignore = fields['worker'] === undefined ? 'pid,role' : 'pid,role,worker';
  return pino(options, pinoPretty({ sync: true, translateTime: 'SYS:HH:MM:ss.l', ignore, messageFormat: `${fields['role'] ?? ''}${fields['worker'] ?? ''} {msg}` }));
}
