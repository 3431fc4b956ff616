/**
 * One child that is kept running: when it ends it is started again. How soon follows from why it ended, and from how far it had come (docs/decisions/0049): who was killed from outside is
 * started at once, and who fails by itself waits, for twice as long each time that it dies young, and longest where it has never done its work.
 */
import type { ChildProcess } from 'node:child_process';
import type { Logger } from '../log.js';
import { FATAL_EXIT, type ChildMessage, type LauncherMessage } from './messages.js';

const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 5000;
/** Of one that had done its work, or that somebody else ended: it would have gone on. */
const LONGEST_WAIT_AT_WORK_MS = 1000;
/** Who lived this long starts again without the waits of before. */
const SETTLED_MS = 10_000;
/** Of a process's own making. Any other comes from outside: an operator, the kernel that has no memory left. */
const CRASH_SIGNALS: ReadonlySet<NodeJS.Signals> = new Set(['SIGABRT', 'SIGBUS', 'SIGFPE', 'SIGILL', 'SIGSEGV', 'SIGSYS', 'SIGTRAP']);
/** With these a child says that it does what it is there for. */
const AT_WORK: ReadonlySet<ChildMessage['type']> = new Set<ChildMessage['type']>(['ready', 'serving', 'collecting']);

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
  /** In this life. */
  #atWork = false;
  #retired = false;
  /** Of renew(): the next end is wanted. */
  #onRenewed: (() => void) | null = null;
  #waiting: { readonly settles: (message: ChildMessage) => boolean; readonly resolve: (message: ChildMessage | null) => void } | null = null;
  readonly #gone: Promise<void>;
  #resolveGone: () => void = () => {};

  constructor(options: KeptProcessOptions) {
    this.#options = options;
    this.#gone = new Promise((resolve) => { this.#resolveGone = resolve; });
  }

  /** It runs, and has said that it does what it is there for. */
  get isAtWork(): boolean { return this.#child !== null && this.#atWork; }
  /** Resolves when it has ended for good, after retire() or abandon(). */
  get gone(): Promise<void> { return this.#gone; }

  /** Nothing happens where one runs already. */
  start(): void {
    if (this.#child !== null) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#atWork = false;
    const { log, name, spawn } = this.#options;
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
    let saidExitCode: number | null = null;
    child.on('message', (value) => {
      const message = value as ChildMessage;
      if (message.type === 'ending') saidExitCode = message.exitCode;
      else this.#take(message);
    });
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
    child.on('exit', (exitCode, signal) => {
      if (saidExitCode === null) this.#ended(exitCode, signal, startedAt);
      else this.#ended(saidExitCode, null, startedAt);
    });
  }

  #take(message: ChildMessage): void {
    if (AT_WORK.has(message.type)) this.#atWork = true;
    this.#options.onMessage(message);
    if (this.#waiting?.settles(message) === true) this.#settle(message);
  }

  #settle(message: ChildMessage | null): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.resolve(message);
  }

  #ended(exitCode: number | null, signal: NodeJS.Signals | null, startedAt: number): void {
    this.#child = null;
    this.#settle(null);
    const onRenewed = this.#onRenewed;
    this.#onRenewed = null;
    if (onRenewed !== null && !this.#retired) {
      this.#waitMs = FIRST_WAIT_MS;
      this.start();
      onRenewed();
      return;
    }
    onRenewed?.();
    this.#options.onExit(exitCode, signal);
    if (this.#retired) {
      this.#resolveGone();
      return;
    }
    const waitMs = this.#nextWaitMs(exitCode, signal, performance.now() - startedAt);
    this.#options.log.warn({ exit_code: exitCode, signal, restart_in_ms: waitMs }, `the ${this.#options.name} ended and is started again`);
    this.#timer = setTimeout(() => { this.start(); }, waitMs);
  }

  #nextWaitMs(exitCode: number | null, signal: NodeJS.Signals | null, livedMs: number): number {
    if (exitCode === FATAL_EXIT) return LONGEST_WAIT_MS;
    const wasKilled = signal !== null && !CRASH_SIGNALS.has(signal);
    if (livedMs >= SETTLED_MS || (wasKilled && this.#atWork)) this.#waitMs = FIRST_WAIT_MS;
    const waitMs = Math.min(this.#waitMs, wasKilled || this.#atWork ? LONGEST_WAIT_AT_WORK_MS : LONGEST_WAIT_MS);
    this.#waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS);
    return waitMs;
  }

  send(message: LauncherMessage): void {
    if (this.#child?.connected === true) this.#child.send(message, () => {});
  }

  /** The next message of the child that runs which `settles`; null: it ended before one came, or not within `withinMs`. One is waited for at a time. */
  async next(settles: (message: ChildMessage) => boolean, withinMs: number): Promise<ChildMessage | null> {
    this.#settle(null);
    return new Promise((resolve) => {
      const deadline = setTimeout(() => { this.#settle(null); }, withinMs);
      this.#waiting = { settles, resolve: (message) => { clearTimeout(deadline); resolve(message); } };
    });
  }

  /** Tells the child to end, SIGKILL after `withinMs`, and starts another at once: resolves when that is done. It is no restart: onExit is not called. */
  async renew(message: LauncherMessage, withinMs: number): Promise<void> {
    if (this.#retired) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#child === null) {
      this.start();
      return;
    }
    const renewed = new Promise<void>((resolve) => { this.#onRenewed = resolve; });
    await this.#tellToEnd(message, withinMs, renewed);
  }

  /** Kills it, for good, without waiting. */
  abandon(): void {
    this.#retired = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#child === null) this.#resolveGone();
    else this.#child.kill('SIGKILL');
  }

  /**
   * Starts it no more and tells it to end; SIGKILL after `withinMs`. Resolves when it is gone, with false where it had to be killed.
   */
  async retire(message: LauncherMessage, withinMs: number): Promise<boolean> {
    this.#retired = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#child === null) {
      this.#resolveGone();
      return true;
    }
    return this.#tellToEnd(message, withinMs, this.#gone);
  }

  async #tellToEnd(message: LauncherMessage, withinMs: number, ended: Promise<void>): Promise<boolean> {
    const child = this.#child;
    let inTime = true;
    this.send(message);
    const deadline = setTimeout(() => {
      inTime = false;
      this.#options.log.error({ within_ms: withinMs }, `the ${this.#options.name} did not end in time and is killed`);
      child?.kill('SIGKILL');
    }, withinMs);
    await ended;
    clearTimeout(deadline);
    return inTime;
  }
}
