/** What the three kinds of children have in common: how they listen to the launcher, to signals, and how they end. */
import { rmSync } from 'node:fs';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { LogSettings } from '../../gateway/supervisor/log-settings.js';
import { makeLog, type Logger, type ProcessLog } from '../log.js';
import { ENV, FATAL_EXIT, type ChildMessage, type LauncherMessage } from './messages.js';

/**
 * A service manager signals every process of the node at once, and the launcher's word, which puts the end in order, comes a moment
 * later. A signal that is for this process alone (none comes) ends it alone, and the launcher starts it again.
 */
const WORD_WITHIN_MS = 500;
const TELL_EVERY_MS = 1000;

export class ChildLife {
  readonly log: Logger;
  readonly processLog: ProcessLog;
  readonly runDir = environment(ENV.runDir);
  #stopping = false;
  #suppressedTold = 0;
  /** Told to stop before there was anything to finish: a start under way is finished first. */
  #toldToStop = false;
  #onStop: () => void = () => { this.#toldToStop = true; };
  readonly #handlers = new Map<LauncherMessage['type'], (message: never) => void>();

  constructor(role: string, fields: Readonly<Record<string, number>> = {}) {
    const settings = process.env[ENV.log] ?? '';
    this.processLog = makeLog({ role, ...fields }, ...(settings === '' ? [] : [JSON.parse(settings) as LogSettings]));
    this.log = this.processLog.logger;
    setInterval(() => { this.#tellSuppressed(); }, TELL_EVERY_MS).unref();
    process.on('disconnect', () => { this.#orphaned(); });
    process.on('message', (message) => { this.#take(message as LauncherMessage); });
    // a terminal's Ctrl-C reaches the whole process group: the launcher's word counts
    process.on('SIGINT', () => {});
    // the launcher's alone, too; unheard it would end this process
    process.on('SIGUSR2', () => {});
    process.on('SIGTERM', () => {
      if (this.#stopping) return;
      setTimeout(() => { if (!this.#stopping) this.#onStop(); }, WORD_WITHIN_MS);
    });
    process.on('uncaughtException', (error) => { this.#crash(error); });
    process.on('unhandledRejection', (error) => { this.#crash(error); });
  }

  /** `finish` runs once, when the launcher says so or a signal is for this process alone; then the process exits. */
  onStop(finish: () => Promise<void>): void {
    let begun = false;
    this.#onStop = () => {
      if (begun) return;
      begun = true;
      finish().then(async () => { await this.#endInOrder(0); }).catch((error: unknown) => { this.#crash(error); });
    };
    if (this.#toldToStop) this.#onStop();
  }

  on<T extends 'held' | 'not_held' | 'stopping' | 'seal' | 'reloaded' | 'collector' | 'restarts' | 'restart' | 'suppressed'>(type: T, handler: (message: Extract<LauncherMessage, { readonly type: T }>) => void): void {
    this.#handlers.set(type, handler);
  }

  send(message: ChildMessage): void {
    if (process.connected) process.send?.(message);
  }

  /** Runs `start`; an error of ours goes to the launcher, which tells the operator, and ends the process. */
  async run(start: () => Promise<void>): Promise<void> {
    try {
      await start();
    } catch (error) {
      if (!(error instanceof TidegateError)) throw error;
      this.log.error({ code: error.code, remedy: error.remedy }, error.message);
      process.send?.({ type: 'fatal', code: error.code, detail: error.message } satisfies ChildMessage, () => { void this.#endInOrder(FATAL_EXIT); });
    }
  }

  #tellSuppressed(): void {
    const lines = this.processLog.suppressed() - this.#suppressedTold;
    if (lines === 0) return;
    this.#suppressedTold += lines;
    this.send({ type: 'suppressed', lines });
  }

  #take(message: LauncherMessage): void {
    switch (message.type) {
      case 'stopping':
        this.#stopping = true;
        this.#handlers.get('stopping')?.(message as never);
        return;
      case 'drain': case 'stop': this.#stopping = true; this.#onStop(); return;
      case 'log': this.processLog.apply(message.settings); return;
      case 'held': case 'not_held': case 'seal': case 'reloaded': case 'collector': case 'restarts': case 'restart': case 'suppressed': this.#handlers.get(message.type)?.(message as never);
    }
  }

  /** The launcher is dead, and with it the listening sockets: at once, like the launcher itself. */
  #orphaned(): void {
    rmSync(this.runDir, { recursive: true, force: true });
    process.kill(process.pid, 'SIGKILL');
  }

  #crash(error: unknown): void {
    this.log.fatal({ err: error }, 'ended by an error that nobody handled');
    this.#end(1);
  }

  async #endInOrder(exitCode: number): Promise<void> {
    await this.processLog.written();
    this.#end(exitCode);
  }

  /**
   * By SIGKILL: `process.exit` runs what native code has left for the exit, and there chDB 3.4, while it works, waits now and then for a lock of its own, without end.
   * Such a collector stored nothing, held the data directory, and was not started again, because it had not ended.
   */
  #end(exitCode: number): void {
    try {
      this.processLog.close();
      this.send({ type: 'ending', exitCode });
    } finally {
      process.kill(process.pid, 'SIGKILL');
    }
  }
}

function environment(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: this file is started by \`tidegate start\``);
  return value;
}
