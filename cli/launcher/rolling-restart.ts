/**
 * `tidegate restart`, and SIGUSR2: every process but the launcher is replaced by one of the installed program, while requests are served.
 *
 *   check:       the installed program starts, and takes the configuration; else nothing is touched
 *   collector:   stores what it holds and ends; the next one takes up the spool or the log. First: who reads events is upgraded before who writes them
 *   supervisor:  ends; workers go on with what they hold until the next one is there
 *   each worker: the next one listens, then the old one drains
 *
 * What fails ends it: the processes not replaced yet go on as they were.
 */
import type { ErrorCode } from '../../errors/codes.js';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { RestartStatus } from '../../gateway/control/restart-status.js';
import type { Logger } from '../log.js';
import type { KeptProcess } from './kept-process.js';
import type { ChildMessage, LauncherMessage } from './messages.js';

/** A store may be migrated first. ms. */
const COLLECT_WITHIN_MS = 600_000;
const READY_WITHIN_MS = 60_000;
const STOP: LauncherMessage = { type: 'stop' };

export interface RestartedNode {
  /** Null: this half of a node has none. */
  readonly collector: KeptProcess | null;
  readonly supervisor: KeptProcess;
  /** Of the workers, in order. */
  readonly slots: readonly number[];
  /** The node goes down: nothing more is replaced. */
  readonly isStopping: boolean;
  readonly storeWithinMs: number;
  readonly stopWithinMs: number;
  /** From here on children are of the program as it is installed now. @throws TidegateError restart_failed */
  takeInstalled(): Promise<void>;
  /** The last word of the new worker before the old one drains; null: it ended without one. `serving`: it was replaced. */
  replaceWorker(slot: number): Promise<ChildMessage | null>;
  /** Resolves when all workers that drain are gone. */
  drained(): Promise<void>;
  tell(status: RestartStatus): void;
}

export class RollingRestart {
  readonly #node: RestartedNode;
  readonly #log: Logger;
  #status: RestartStatus | null = null;

  constructor(node: RestartedNode, log: Logger) {
    this.#node = node;
    this.#log = log;
  }

  /** Of the last one; null: there was none. */
  get status(): RestartStatus | null { return this.#status; }
  get isRunning(): boolean { return this.#status?.state === 'running'; }

  /** Resolves when it is done or has failed. While one runs, nothing happens. */
  async run(): Promise<void> {
    if (this.isRunning || this.#node.isStopping) return;
    this.#status = { number: (this.#status?.number ?? 0) + 1, state: 'running', started_at: new Date().toISOString(), ended_at: null, replaced: [], step: null, fault: null };
    this.#log.info({}, 'restarting: every process is replaced, one after another');
    try {
      await this.#replaceAll();
      this.#set({ state: 'done', ended_at: new Date().toISOString(), step: null });
      this.#log.info({}, 'restarted: every process but the launcher was replaced');
    } catch (error) {
      const { code, message, remedy } = error instanceof TidegateError ? error : new TidegateError('internal_error', (error as Error).message);
      this.#set({ state: 'failed', ended_at: new Date().toISOString(), step: null, fault: { code, detail: message } });
      this.#log.error({ code, remedy }, `the restart was given up, and what is not replaced goes on: ${message}`);
    }
  }

  async #replaceAll(): Promise<void> {
    const { collector, supervisor, slots, storeWithinMs, stopWithinMs } = this.#node;
    this.#step('the installed program is tried');
    await this.#node.takeInstalled();
    if (collector !== null) {
      this.#step('the collector stores what it holds and is replaced');
      // one that waits for its store gives up waiting
      collector.send({ type: 'stopping' });
      await collector.renew(STOP, storeWithinMs);
      this.#replaced('collector', await collector.next(({ type }) => type === 'collecting' || type === 'waiting' || type === 'fatal', COLLECT_WITHIN_MS), 'collecting');
    }
    this.#step('the supervisor is replaced');
    await supervisor.renew(STOP, stopWithinMs);
    this.#replaced('supervisor', await supervisor.next(({ type }) => type === 'ready' || type === 'fatal', READY_WITHIN_MS), 'ready');
    for (const slot of slots) {
      this.#step(`worker ${String(slot)} is replaced`);
      this.#replaced(`worker ${String(slot)}`, await this.#node.replaceWorker(slot), 'serving');
    }
    this.#step('the workers of before finish what they have begun');
    await this.#node.drained();
  }

  #step(step: string): void {
    if (this.#node.isStopping) throw new TidegateError('restart_failed', 'the node was told to stop');
    this.#set({ step });
  }

  /** @throws TidegateError as the new process says, else restart_failed */
  #replaced(name: string, said: ChildMessage | null, wanted: ChildMessage['type']): void {
    if (said?.type !== wanted) {
      const { code, detail }: { readonly code: ErrorCode; readonly detail: string } = said?.type === 'fatal' || said?.type === 'waiting' ? said : { code: 'restart_failed', detail: 'it ended, or said nothing in time; its log says why' };
      throw new TidegateError(code, `the new ${name}: ${detail}`);
    }
    this.#set({ replaced: [...this.#status?.replaced ?? [], name] });
    this.#log.info({}, `the ${name} was replaced`);
  }

  #set(change: Partial<RestartStatus>): void {
    if (this.#status === null) return;
    this.#status = { ...this.#status, ...change };
    this.#node.tell(this.#status);
  }
}
