/**
 * The node's first process: holds the listening sockets (it is node:cluster's primary), starts the supervisor, then the workers and the
 * collector, restarts what ends, and takes the node down in order. It reads no configuration and does nothing that could fail in
 * service: when it dies its workers die with it.
 *
 *   SIGTERM or SIGINT:  workers drain -> supervisor seals their streams -> collector stores the rest -> supervisor ends -> exit 0
 *   a second one:       everything is killed; nothing recorded is lost, the next start takes it up
 *   SIGUSR2:            every child is replaced by one of the installed program (rolling-restart.ts)
 */
import cluster from 'node:cluster';
import { fork, type ChildProcess } from 'node:child_process';
import { rmSync } from 'node:fs';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { Logger, ProcessLog } from '../log.js';
import { installedProgram, type InstalledProgram, type ProcessRole } from './installed-program.js';
import { KeptProcess } from './kept-process.js';
import { collects, type Part } from '../../gateway/supervisor/part.js';
import type { CollectorNews } from '../../gateway/supervisor/collecting.js';
import { ENV, type ChildMessage } from './messages.js';
import { newRunDir } from './run-dir.js';
import { handedOver, inheritedVariable } from '../../gateway/listeners/inherited-socket.js';
import { NodeLock } from '../../gateway/events/node-lock.js';
import { ENOUGH_OPEN_FILES, openFilesLimit } from './open-files.js';
import { RollingRestart } from './rolling-restart.js';

/** Beyond what the configuration gives workers to drain. */
const DRAIN_GRACE_MS = 5000;
const SEAL_WITHIN_MS = 10_000;
const STORE_WITHIN_MS = 60_000;
const STOP_WITHIN_MS = 10_000;
/** A worker that replaces another, from its start. */
const SERVE_WITHIN_MS = 60_000;
/** Before what a child inherits. */
const CHILD_STDIO = ['inherit', 'inherit', 'inherit', 'ipc'] as const;
/** One Ctrl-C comes twice where npm passes on what the terminal has sent to the whole group already. */
const SAME_SIGNAL_MS = 500;

export interface LauncherOptions {
  readonly configPath: string;
  readonly log: Logger;
  /** What `log` belongs to: written as the supervisor says. */
  readonly processLog?: Pick<ProcessLog, 'apply' | 'suppressed'>;
  /** Default: all of a node. */
  readonly part?: Part;
  /** For tests: what children are started from. Called at the start, and at each restart. */
  readonly program?: () => InstalledProgram;
}

export class Launcher {
  readonly #options: LauncherOptions;
  readonly #log: Logger;
  #program: InstalledProgram;
  readonly #restart: RollingRestart;
  readonly #part: Part;
  readonly #runDir = newRunDir();
  readonly #supervisor: KeptProcess;
  readonly #collector: KeptProcess;
  /** By slot; those that drain, and those that do not serve yet in another's place, are in #passing. */
  readonly #workers = new Map<number, KeptProcess>();
  readonly #passing = new Set<KeptProcess>();
  /** For the whole run: children that are started from then on inherit it. */
  #dataDir: { readonly path: string; readonly lock: Promise<NodeLock> } | null = null;
  #lock: NodeLock | null = null;
  #drainMs = 30_000;
  #ready = false;
  #serving = false;
  #stopping = false;
  #toldAtMs = 0;
  /** As children take it from their environment; '' until the supervisor has said it. */
  #logSettings = '';
  /** Ended without being told to. */
  #workerRestarts = 0;
  /** By children, also those that are gone. */
  #suppressedLines = 0;
  #collectorNews: CollectorNews = { fault: null, everRan: false };
  /** What a child said before it exited with FATAL_EXIT. */
  #fatal: TidegateError | null = null;
  #finish: (exitCode: number) => void = () => {};
  #fail: (error: Error) => void = () => {};

  constructor(options: LauncherOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#part = options.part ?? 'whole';
    this.#program = (options.program ?? installedProgram)();
    this.#supervisor = this.#keep('supervisor', () => this.#fork('supervisor'), (exitCode, signal) => {
      if (this.#ready || this.#stopping) return;
      this.#log.error({ exit_code: exitCode, signal }, 'the supervisor ended before it was ready: the node ends');
      this.#fail(this.#fatal ?? new Error(`the supervisor ended before it was ready (${signal ?? `exit code ${String(exitCode)}`}); its log says why`));
    });
    this.#collector = this.#keep('collector', () => this.#fork('collector'), () => {}, (message) => { this.#onCollectorMessage(message); });
    this.#restart = this.#makeRestart();
  }

  /**
   * Runs the node until it is told to stop; resolves with the exit code.
   * @throws TidegateError of what kept the node from starting: the configuration, the data directory, an address in use
   */
  async run(): Promise<number> {
    this.#checkOpenFiles();
    cluster.schedulingPolicy = cluster.SCHED_NONE;
    this.#setUpWorkers();
    const onSignal = (signal: NodeJS.Signals): void => { this.#onSignal(signal); };
    process.on('SIGTERM', onSignal);
    process.on('SIGINT', onSignal);
    const onRestart = (): void => { this.#restartAll(); };
    process.on('SIGUSR2', onRestart);
    try {
      return await new Promise<number>((resolve, reject) => {
        this.#finish = resolve;
        this.#fail = (error) => {
          // at once, so that nothing is started again on the way out
          this.#killAll();
          reject(error);
        };
        this.#supervisor.start();
      });
    } finally {
      this.#stopping = true;
      this.#killAll();
      this.#lock?.release();
      rmSync(this.#runDir, { recursive: true, force: true });
      process.off('SIGTERM', onSignal);
      process.off('SIGINT', onSignal);
      process.off('SIGUSR2', onRestart);
    }
  }

  #checkOpenFiles(): void {
    const limit = openFilesLimit();
    if (limit === null || limit >= ENOUGH_OPEN_FILES) return;
    const { code, remedy } = new TidegateError('open_files_low', '');
    this.#log.warn({ code, limit, enough: ENOUGH_OPEN_FILES, remedy }, `the limit of open files is low: ${String(limit)}`);
  }

  /** It may not be able to say so itself for long: the supervisor tells it to whoever asks. */
  #onCollectorMessage(message: ChildMessage): void {
    if (message.type === 'suppressed') {
      this.#onMessage(message);
      return;
    }
    if (message.type === 'collecting') this.#collectorNews = { fault: null, everRan: true };
    else if (message.type === 'fatal' || message.type === 'waiting') {
      const { fault, everRan } = this.#collectorNews;
      this.#collectorNews = { fault: { code: message.code, detail: message.detail, since: fault?.since ?? new Date().toISOString() }, everRan };
    } else return;
    this.#supervisor.send({ type: 'collector', news: this.#collectorNews });
  }

  #onMessage(message: ChildMessage): void {
    switch (message.type) {
      case 'fatal':
        this.#fatal = new TidegateError(message.code, message.detail);
        // until something has served, what keeps one worker from listening keeps all: an address in use
        if (!this.#serving && this.#ready && !this.#stopping && message.code.startsWith('address_')) this.#fail(this.#fatal);
        return;
      case 'data_dir': void this.#takeDataDir(message.dataDir); return;
      case 'ready':
        // one that was started since has not heard it
        if (this.#stopping) this.#supervisor.send({ type: 'stopping' });
        this.#drainMs = message.drainMs;
        if (!this.#ready && collects(this.#part)) this.#collector.start();
        this.#supervisor.send({ type: 'collector', news: this.#collectorNews });
        this.#tellCounts();
        this.#ready = true;
        this.#setWorkers(message.workers);
        return;
      case 'workers':
        this.#drainMs = message.drainMs;
        this.#setWorkers(message.n);
        return;
      case 'restart': this.#restartAll(); return;
      case 'reloaded': this.#collector.send({ type: 'reloaded' }); return;
      case 'log':
        this.#logSettings = JSON.stringify(message.settings);
        this.#options.processLog?.apply(message.settings);
        for (const child of this.#all()) child.send(message);
        return;
      case 'suppressed':
        this.#suppressedLines += message.lines;
        this.#tellCounts();
        return;
      case 'sealed': case 'collecting': case 'waiting': case 'ending': return;
      case 'serving': this.#serving = true;
    }
  }

  /** A supervisor that is started again finds it taken. */
  async #takeDataDir(path: string): Promise<void> {
    try {
      if (this.#dataDir?.path !== path) this.#dataDir = { path, lock: NodeLock.take(path) };
      const isFirst = this.#lock === null;
      this.#lock = await this.#dataDir.lock;
      if (isFirst) this.#inheritLock(this.#lock, path);
      this.#supervisor.send({ type: 'held', run: this.#lock.run });
    } catch (error) {
      this.#dataDir = null;
      const { code, message } = error instanceof TidegateError ? error : new TidegateError('data_dir_unlockable', `${path}: ${String(error)}`);
      this.#supervisor.send({ type: 'not_held', code, detail: message });
    }
  }

  #inheritLock({ run }: NodeLock, dataDir: string): void {
    if (run !== null) {
      this.#setUpWorkers();
      return;
    }
    const { code, remedy } = new TidegateError('data_dir_unlocked', '');
    this.#log.warn({ code, data_dir: dataDir, remedy }, 'the data directory is not locked, because the program flock is missing');
  }

  #setWorkers(wanted: number): void {
    if (this.#stopping) return;
    for (let slot = 1; slot <= wanted; slot++) {
      if (this.#workers.has(slot)) continue;
      const worker = this.#makeWorker(slot);
      this.#workers.set(slot, worker);
      worker.start();
    }
    for (const [slot, worker] of [...this.#workers].sort(([a], [b]) => b - a)) {
      if (slot <= wanted) continue;
      this.#workers.delete(slot);
      this.#letPass(worker);
    }
  }

  #makeWorker(slot: number): KeptProcess {
    const worker = this.#keep(`worker ${String(slot)}`, () => this.#forkWorker(slot), () => { this.#onWorkerEnd(slot, worker); });
    return worker;
  }

  /** It drains, and is not started again. */
  #letPass(worker: KeptProcess): void {
    this.#passing.add(worker);
    void this.#drain(worker).then(() => this.#passing.delete(worker));
  }

  async #replaceWorker(slot: number): Promise<ChildMessage | null> {
    const old = this.#workers.get(slot);
    const worker = this.#makeWorker(slot);
    this.#passing.add(worker);
    worker.start();
    const said = await worker.next(({ type }) => type === 'serving' || type === 'fatal', SERVE_WITHIN_MS);
    // the node goes down and drains it, or fewer workers are wanted meanwhile
    if (this.#stopping) return said;
    if (said?.type !== 'serving') {
      worker.abandon();
      this.#passing.delete(worker);
    } else if (old === undefined || this.#workers.get(slot) !== old) this.#letPass(worker);
    else {
      this.#passing.delete(worker);
      this.#workers.set(slot, worker);
      this.#letPass(old);
    }
    return said;
  }

  #restartAll(): void {
    if (this.#ready) void this.#restart.run();
    else this.#log.warn({}, 'told to restart before the node is ready: it is starting, so nothing is done');
  }

  #makeRestart(): RollingRestart {
    const isStopping = (): boolean => this.#stopping;
    const slots = (): number[] => [...this.#workers.keys()].sort((a, b) => a - b);
    return new RollingRestart({
      collector: collects(this.#part) ? this.#collector : null, supervisor: this.#supervisor, storeWithinMs: STORE_WITHIN_MS, stopWithinMs: STOP_WITHIN_MS,
      get isStopping() { return isStopping(); },
      get slots() { return slots(); },
      takeInstalled: async () => {
        const program = (this.#options.program ?? installedProgram)();
        await program.check(this.#options.configPath);
        this.#program = program;
        this.#setUpWorkers();
      },
      replaceWorker: (slot) => this.#replaceWorker(slot),
      drained: async () => { await Promise.all([...this.#passing].map((worker) => worker.gone)); },
      tell: () => { this.#tellCounts(); },
    }, this.#log);
  }

  /** One that drains is not among the workers any more, or the node stops. */
  #onWorkerEnd(slot: number, worker: KeptProcess): void {
    if (this.#stopping || this.#workers.get(slot) !== worker) return;
    this.#workerRestarts++;
    this.#tellCounts();
  }

  /** What only the launcher can count on through the ends of others. */
  #tellCounts(): void {
    this.#supervisor.send({ type: 'restarts', workers: this.#workerRestarts });
    this.#supervisor.send({ type: 'suppressed', lines: this.#suppressedLines + (this.#options.processLog?.suppressed() ?? 0) });
    if (this.#restart.status !== null) this.#supervisor.send({ type: 'restart', status: this.#restart.status });
  }

  async #drain(worker: KeptProcess): Promise<void> {
    await worker.retire({ type: 'drain' }, this.#drainMs + DRAIN_GRACE_MS);
  }

  #onSignal(signal: NodeJS.Signals): void {
    if (this.#stopping) {
      if (performance.now() - this.#toldAtMs < SAME_SIGNAL_MS) return;
      this.#log.warn({ signal }, 'told to stop a second time: ending at once');
      this.#finish(signal === 'SIGINT' ? 130 : 143);
      return;
    }
    this.#log.info({ signal }, 'stopping');
    this.#stopping = true;
    this.#toldAtMs = performance.now();
    this.#stop().then(() => { this.#finish(0); }, this.#fail);
  }

  async #stop(): Promise<void> {
    for (const child of this.#all()) child.send({ type: 'stopping' });
    await Promise.all([...this.#workers.values(), ...this.#passing].map((worker) => this.#drain(worker)));
    // one that is just starting seals by itself
    if (this.#supervisor.isAtWork) await this.#seal();
    await this.#collector.retire({ type: 'stop' }, STORE_WITHIN_MS);
    await this.#supervisor.retire({ type: 'stop' }, STOP_WITHIN_MS);
    this.#log.info({}, 'stopped');
  }

  /** Resolves when the supervisor has sealed, or has ended: then the next one seals as it starts. */
  async #seal(): Promise<void> {
    this.#supervisor.send({ type: 'seal' });
    await this.#supervisor.next(({ type }) => type === 'sealed', SEAL_WITHIN_MS);
  }

  #all(): KeptProcess[] {
    return [this.#supervisor, this.#collector, ...this.#workers.values(), ...this.#passing];
  }

  #killAll(): void {
    for (const child of this.#all()) child.abandon();
  }

  #keep(
    name: string, spawn: () => ChildProcess, onExit: (exitCode: number | null, signal: NodeJS.Signals | null) => void,
    onMessage = (message: ChildMessage): void => { this.#onMessage(message); },
  ): KeptProcess {
    return new KeptProcess({ name, spawn, onExit, onMessage, log: this.#log });
  }

  #env(): NodeJS.ProcessEnv {
    return { ...process.env, [ENV.runDir]: this.#runDir, [ENV.config]: this.#options.configPath, [ENV.part]: this.#part, [ENV.log]: this.#logSettings, [ENV.run]: this.#lock?.run ?? '' };
  }

  /** Nobody reads them but who looks at the list of processes: which configuration is this one's? */
  #shownArguments(): string[] {
    return ['-c', this.#options.configPath];
  }

  #setUpWorkers(): void {
    cluster.setupPrimary({ exec: this.#program.entry('worker'), args: this.#shownArguments(), stdio: [...CHILD_STDIO, ...handedOver(), ...this.#lockToInherit()] });
  }

  #lockToInherit(): number[] {
    return this.#lock === null || this.#lock.fd === -1 ? [] : [this.#lock.fd];
  }

  #fork(role: ProcessRole): ChildProcess {
    return fork(this.#program.entry(role), this.#shownArguments(), { env: this.#env(), stdio: [...CHILD_STDIO, ...this.#lockToInherit()] });
  }

  #forkWorker(slot: number): ChildProcess {
    const worker = cluster.fork({ ...this.#env(), ...inheritedVariable(CHILD_STDIO.length), [ENV.worker]: String(slot) });
    // node:cluster repeats the process's errors, which KeptProcess takes; without a listener they would end the launcher
    worker.on('error', () => {
      if (worker.process.pid === undefined) delete cluster.workers?.[worker.id];
    });
    return worker.process;
  }
}
