/**
 * A process's log: pino's lines, of which secrets are taken out, repeats are held back, and which are written in the form and to the place that the
 * configuration names. Until it is known: JSON on standard output, text on a terminal, the level of TIDEGATE_LOG_LEVEL.
 */
import { isatty } from 'node:tty';
import { pino, type Logger } from 'pino';
import { environmentLevel } from '../gateway/config/log-level.js';
import type { AccessFields } from '../gateway/access-log.js';
import type { LogSettings } from '../gateway/supervisor/log-settings.js';
import { formOf, type Form } from './log/forms.js';
import { LineOutput } from './log/line-output.js';
import { LOOK_EVERY_MS } from './log/log-file.js';
import { redactLine, redactText, type LogLine } from './log/redact-line.js';
import { Repeats } from './log/repeats.js';

export type { Logger } from 'pino';

export interface ProcessLog {
  readonly logger: Logger;
  /** From the next line on. */
  readonly apply: (settings: LogSettings) => void;
  /** Lines of requests that have ended; written soon. */
  readonly access: (rows: readonly AccessFields[]) => void;
  /** Resolves when the lines of requests are written too, or nobody takes them. */
  readonly written: () => Promise<void>;
  /** Writes at once what waits, and says how many lines were held back: for a process that ends without an exit. */
  readonly close: () => void;
  /** Lines that were held back, or could not be written, since the process began. */
  readonly suppressed: () => number;
}

/** Of a node's first process, and of commands. */
const FIRST: Omit<LogSettings, 'level'> = { format: null, file: null, rotate: { bytes: 0, ageMs: 0, keep: 0 }, repeats: 20 };
const HELD_BACK: ReadonlySet<string> = new Set(['warn', 'error']);

/**
 * @param fields stand in every line: the process's role, a worker's slot
 * @param settings of a process that is started while the node runs
 * @throws TidegateError log_level
 */
export function makeLog(fields: Readonly<Record<string, string | number>>, settings: LogSettings = { ...FIRST, level: environmentLevel() }): ProcessLog {
  const terminal = isatty(1);
  const output = new LineOutput();
  const repeats = new Repeats(settings.repeats);
  const base = { ...fields, pid: process.pid };
  let form: Form = formOf('json', fields, false);
  let told: string | null = null;
  const put = (level: string, more: LogLine, msg: string): void => { output.write(form(redactLine({ level, time: new Date().toISOString(), ...base, ...more, msg }))); };

  const logger = pino({
    level: settings.level,
    base,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    hooks: {
      logMethod(args, method, levelNumber) {
        const level = pino.levels.labels[levelNumber] ?? '';
        const [first, second] = args as readonly unknown[];
        const code = typeof first === 'object' && first !== null ? (first as { readonly code?: unknown }).code : undefined;
        const message = typeof first === 'string' ? first : typeof second === 'string' ? second : '';
        if (!HELD_BACK.has(level) || repeats.take(level, typeof code === 'string' ? code : null, message)) method.apply(this, args);
      },
    },
  }, { write: (line: string) => { output.write(form(redactLine(JSON.parse(line) as LogLine))); } });

  const sayLeftOut = (all: boolean): void => {
    for (const { level, code, message, count } of repeats.over(all)) put(level, { ...(code === null ? {} : { code }), suppressed: count }, `${count} more lines were left out, which said within a minute: ${message}`);
  };
  const sayFault = (): void => {
    const { fault } = output;
    if (fault !== null && fault !== told) put('error', { code: 'log_file', reason: fault }, 'the log file cannot be written: lines go to standard output until it can');
    told = fault;
  };
  const apply = (now: LogSettings): void => {
    const format = now.format ?? (terminal && now.file === null ? 'text' : 'json');
    form = formOf(format, fields, terminal && now.file === null);
    output.moveTo(now.file);
    sayFault();
    const before = logger.level;
    logger.level = now.level;
    // whatever the level: who looks for lines later sees why there are none, or so many
    if (now.level !== before) put('info', { log_level: now.level, before }, 'the level of the log has changed');
    repeats.limit = now.repeats;
  };
  apply(settings);
  setInterval(() => {
    output.look();
    sayFault();
    sayLeftOut(false);
  }, LOOK_EVERY_MS).unref();
  const close = (): void => {
    output.flush();
    sayFault();
    sayLeftOut(true);
  };
  process.once('exit', close);
  return {
    logger, apply, close,
    written: () => output.written(),
    suppressed: () => repeats.total + output.lost,
    access: (rows) => { output.writeLater(rows.map((row) => form({ level: 'info', time: row.time, ...base, ...withoutSecrets(row), msg: 'request' }))); },
  };
}

/** What the client has written freely; the rest is the gateway's own, or has no query. */
function withoutSecrets(row: AccessFields): LogLine {
  return { ...row, host: redactText(row.host), path: redactText(row.path), ...(row.user_agent === undefined ? {} : { user_agent: redactText(row.user_agent) }), ...(row.referer === undefined ? {} : { referer: redactText(row.referer) }) };
}
