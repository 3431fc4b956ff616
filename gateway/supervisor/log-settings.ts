/**
 * How the node's processes write their log: what the configuration in force says, and for a while what an operator has said of the level.
 * The supervisor alone knows; the launcher hands it on to every process, and to each that it starts later.
 */
import { closeSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { TidegateError } from '../../errors/tidegate-error.js';
import { environmentLevel, LOG_LEVELS, type LogLevel } from '../config/log-level.js';
import type { LogConfig } from '../config/schema.js';
import { byteCount, durationMs } from '../config/units.js';
import type { LogLevelStatus } from '../control/control-deps.js';
import { openLogFile } from './open-log-file.js';
import { logLevelFile, type ConfigInForce } from './run-files.js';

/** For all processes of a node alike; plain JSON. */
export interface LogSettings {
  readonly level: LogLevel;
  /** Null: text on a terminal, else JSON. */
  readonly format: NonNullable<LogConfig['format']> | null;
  /** Absolute; null: standard output. */
  readonly file: string | null;
  readonly rotate: { readonly bytes: number; readonly ageMs: number; readonly keep: number };
  /** Warnings and errors of one code and message that are written in a minute; 0: all. */
  readonly repeats: number;
}

/** How long a level holds that was set without saying for how long. */
export const LEVEL_FOR_MS = 600_000;
/** What is to stay longer belongs into the configuration. */
export const MOST_LEVEL_FOR_MS = 7 * 86_400_000;

interface Override { readonly level: LogLevel; readonly untilMs: number }

export interface NodeLogOptions {
  readonly runDir: string;
  readonly inForce: () => ConfigInForce;
  readonly tell: (settings: LogSettings) => void;
}

export class NodeLog {
  readonly #options: NodeLogOptions;
  readonly #path: string;
  #override: Override | null;
  #timer: NodeJS.Timeout | null = null;

  /** Goes on with the level that was set before this supervisor began. */
  constructor(options: NodeLogOptions) {
    this.#options = options;
    this.#path = logLevelFile(options.runDir);
    this.#override = readOverride(this.#path);
    this.#arm();
  }

  get status(): LogLevelStatus {
    const configured = this.#configured;
    const until = this.#override === null ? null : new Date(this.#override.untilMs).toISOString();
    return { level: this.#override?.level ?? configured, configured, until };
  }

  /** Tells all processes how they write now. */
  tell(): void {
    this.#options.tell({ ...logSettings(this.#options.inForce()), level: this.status.level });
  }

  /** Until `forMs` from now, whatever is reloaded meanwhile. */
  set(level: LogLevel, forMs: number): LogLevelStatus {
    return this.#take({ level, untilMs: Date.now() + forMs });
  }

  /** The configured level again. */
  reset(): LogLevelStatus {
    return this.#take(null);
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #take(override: Override | null): LogLevelStatus {
    this.#override = override;
    try {
      if (override === null) rmSync(this.#path, { force: true });
      else {
        writeFileSync(`${this.#path}.new`, JSON.stringify(override), { mode: 0o600 });
        renameSync(`${this.#path}.new`, this.#path);
      }
    } catch {
      // a disk that is full or read-only: the level holds all the same, and the next supervisor may not know of it
    }
    this.#arm();
    this.tell();
    return this.status;
  }

  #arm(): void {
    this.close();
    if (this.#override !== null) this.#timer = setTimeout(() => { this.reset(); }, Math.max(0, this.#override.untilMs - Date.now()));
  }

  get #configured(): LogLevel {
    return this.#options.inForce().config.log.level ?? environmentLevel();
  }
}

/**
 * Finds before it counts whether the log file can be written. @param inForce null: nothing is; one that it has is not tried again, since no reload should fail for its disk
 * @throws TidegateError log_file
 */
export function tryLogFile(candidate: ConfigInForce, inForce: ConfigInForce | null): void {
  const path = logFile(candidate);
  if (path === null || (inForce !== null && path === logFile(inForce))) return;
  const opened = openLogFile(path);
  if (opened.fd === null) throw new TidegateError('log_file', `log.file: ${path} cannot be written: ${opened.why}`);
  closeSync(opened.fd);
}

const logFile = ({ config: { log: { file } }, baseDir }: ConfigInForce): string | null => (file === undefined ? null : resolve(baseDir, file));

function logSettings(inForce: ConfigInForce): Omit<LogSettings, 'level'> {
  const { format = null, rotate: { size, age, keep }, repeats } = inForce.config.log;
  return { format, file: logFile(inForce), rotate: { bytes: byteCount(size), ageMs: durationMs(age), keep }, repeats };
}

function readOverride(path: string): Override | null {
  try {
    const { level, untilMs } = JSON.parse(readFileSync(path, 'utf8')) as Override;
    return LOG_LEVELS.includes(level) && untilMs > Date.now() ? { level, untilMs } : null;
  } catch {
    return null;
  }
}
