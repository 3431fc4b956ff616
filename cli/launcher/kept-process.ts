/** One child that is kept running: when it ends it is started again, after a wait that doubles while it keeps dying young. */
import type { ChildProcess } from 'node:child_process';
import type { Logger } from '../log.js';
import { FATAL_EXIT, type ChildMessage, type LauncherMessage } from './messages.js';

const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 5000;
/** Who lived this long starts again without the waits of before. */
const SETTLED_MS = 10_000;

export interface KeptProcessOptions {
  readonly name: string;
  readonly spawn: () => ChildProcess;
  readonly onMessage: (message: ChildMessage) => void;
  /** Called at each end, before a restart is planned; after abandon() or retire() none is. */
  readonly onExit: (exitCode: number | null, signal: NodeJS.Signals | null) => void;
  readonly log: Logger;
}

export class KeptProcess {
  readonly #options: KeptProcessOptions;
  #child: ChildProcess | null = null;
  #timer: NodeJS.Timeout | null = null;
  #waitMs = FIRST_WAIT_MS;
  #retired = false;
  readonly #gone: Promise<void>;
  #resolveGone: () => void = () => {};

  constructor(options: KeptProcessOptions) {
    this.#options = options;
    this.#gone = new Promise((resolve) => { this.#resolveGone = resolve; });
  }

  get running(): boolean { return this.#child !== null; }

  start(): void {
    this.#timer = null;
    const { log, name, onMessage, spawn } = this.#options;
    const startedAt = performance.now();
    let child: ChildProcess;
    try {
      child = spawn();
    } catch (error) {
      log.error({ err: error }, `the ${name} cannot be started`);
      this.#ended(null, null, startedAt);
      return;
    }
    this.#child = child;
    child.on('message', (message) => { onMessage(message as ChildMessage); });
    child.on('error', (error) => {
      // a message to a child that is just ending: 'exit' follows, and nothing is lost
      if (child.pid !== undefined) {
        log.debug({ err: error }, name);
        return;
      }
      // no process, no memory, no file descriptor to be had: no 'exit' will come
      log.error({ err: error }, `the ${name} cannot be started`);
      this.#ended(null, null, startedAt);
    });
    child.on('exit', (exitCode, signal) => { this.#ended(exitCode, signal, startedAt); });
  }

  #ended(exitCode: number | null, signal: NodeJS.Signals | null, startedAt: number): void {
    this.#child = null;
    this.#options.onExit(exitCode, signal);
    if (this.#retired) {
      this.#resolveGone();
      return;
    }
    if (performance.now() - startedAt >= SETTLED_MS) this.#waitMs = FIRST_WAIT_MS;
    const waitMs = exitCode === FATAL_EXIT ? LONGEST_WAIT_MS : this.#waitMs;
    this.#options.log.warn({ exit_code: exitCode, signal, restart_in_ms: waitMs }, `the ${this.#options.name} ended and is started again`);
    this.#timer = setTimeout(() => { this.start(); }, waitMs);
    this.#waitMs = Math.min(this.#waitMs * 2, LONGEST_WAIT_MS);
  }

  send(message: LauncherMessage): void {
    if (this.#child?.connected === true) this.#child.send(message, () => {});
  }

  /** Kills it, for good, without waiting. */
  abandon(): void {
    this.#retired = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#child?.kill('SIGKILL');
  }

  /**
   * Starts it no more and tells it to end; SIGKILL after `withinMs`. Resolves when it is gone, with false where it had to be killed.
   */
  async retire(message: LauncherMessage, withinMs: number): Promise<boolean> {
    this.#retired = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#child === null) return true;
    let inTime = true;
    this.send(message);
    const deadline = setTimeout(() => {
      inTime = false;
      this.#options.log.error({ within_ms: withinMs }, `the ${this.#options.name} did not end in time and is killed`);
      this.#child?.kill('SIGKILL');
    }, withinMs);
    await this.#gone;
    clearTimeout(deadline);
    return inTime;
  }
}
