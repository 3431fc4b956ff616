/** The processes that a bench has started: each kept by its pid, so that none outlives it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { programPath } from '../harness/requires.js';
import { processTree } from './proc-cpu.js';

const STOP_WITHIN_MS = 15_000;
const KEPT_OUTPUT = 20_000;

export interface SpawnOptions {
  /** Runs on this core only, with all it starts; null: on any. */
  readonly core?: number | null;
  readonly env?: Readonly<Record<string, string>>;
}

export interface Ended {
  /** Null: ended by a signal. */
  readonly code: number | null;
  readonly output: string;
}

export class BenchProcess {
  readonly name: string;
  readonly pid: number;
  readonly ended: Promise<Ended>;
  readonly #child: ChildProcess;
  #output = '';

  constructor(name: string, child: ChildProcess) {
    this.name = name;
    this.#child = child;
    this.pid = child.pid ?? -1;
    const keep = (text: string): void => { this.#output = (this.#output + text).slice(-KEPT_OUTPUT); };
    child.stdout?.setEncoding('utf8').on('data', keep);
    child.stderr?.setEncoding('utf8').on('data', keep);
    this.ended = new Promise((resolve) => {
      child.once('error', (error) => { resolve({ code: -1, output: `${name}: ${error.message}` }); });
      child.once('close', (code) => { resolve({ code, output: this.#output }); });
    });
  }

  /** Rejects if the process ends before `ready` resolves. */
  async until<T>(ready: Promise<T>): Promise<T> {
    const early = this.ended.then(({ code, output }) => { throw new Error(`${this.name} ended with exit code ${String(code)}:\n${output}`); });
    try {
      return await Promise.race([ready, early]);
    } finally {
      early.catch(() => {});
      ready.catch(() => {});
    }
  }

  /** Asks it to end, then makes it and all that it started end. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null || this.pid === -1) return;
    const tree = processTree(this.pid);
    this.#child.kill('SIGTERM');
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => { timer = setTimeout(resolve, STOP_WITHIN_MS, 'late'); });
    const outcome = await Promise.race([this.ended, late]);
    clearTimeout(timer);
    if (outcome !== 'late') return;
    console.error(`${this.name} did not end within ${STOP_WITHIN_MS / 1000} s of SIGTERM: it is killed`);
    for (const pid of tree.filter((own) => processTree(this.pid).includes(own))) killIfThere(pid);
    await this.ended;
  }
}

export class Processes implements AsyncDisposable {
  readonly #running = new Set<BenchProcess>();
  readonly #taskset = programPath('taskset');
  #stopped = false;

  spawn(name: string, program: string, args: readonly string[], options: SpawnOptions = {}): BenchProcess {
    if (this.#stopped) throw new Error('the bench is being stopped');
    const pinned = typeof options.core === 'number' && this.#taskset !== null;
    const [command, ...all] = pinned ? [this.#taskset, '-c', String(options.core), program, ...args] : [program, ...args];
    const child = spawn(command, all, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...options.env } });
    const running = new BenchProcess(name, child);
    this.#running.add(running);
    void running.ended.then(() => this.#running.delete(running));
    return running;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    await this.stopAll();
  }

  async stopAll(): Promise<void> {
    await Promise.all([...this.#running].map((running) => running.stop()));
  }
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
