/** Processes that the checker has started, and theirs; none of them outlives it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { randomInt } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';

export interface ProcessOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly logFile: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** One that is started again and again under the same command line. */
export class KeptChild {
  readonly #options: ProcessOptions;
  #child: ChildProcess | null = null;
  #exited: Promise<number | null> = Promise.resolve(null);

  constructor(options: ProcessOptions) {
    this.#options = options;
  }

  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  get running(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** The exit code, once it has ended; null: by a signal. */
  get exited(): Promise<number | null> {
    return this.#exited;
  }

  start(): void {
    if (this.running) return;
    const { command, args, logFile, env, cwd } = this.#options;
    const log = openSync(logFile, 'a');
    // a group of its own: a terminal's Ctrl-C is for the checker alone
    const child = spawn(command, args, { detached: true, stdio: ['ignore', log, log], env: { ...process.env, ...env }, ...(cwd === undefined ? {} : { cwd }) });
    closeSync(log);
    const end = (): void => { child.kill('SIGKILL'); };
    process.once('exit', end);
    this.#exited = new Promise((resolve) => {
      child.once('error', () => { resolve(null); });
      child.once('exit', (code) => {
        process.removeListener('exit', end);
        resolve(code);
      });
    });
    this.#child = child;
  }

  signal(signal: NodeJS.Signals): void {
    if (this.running) this.#child?.kill(signal);
  }

  /** Resolves when it is gone. */
  async end(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (!this.running) return;
    this.signal(signal);
    // one that stands still takes no other signal
    if (signal !== 'SIGKILL') this.signal('SIGCONT');
    await this.#exited;
  }
}

/** Living processes below one, nearest first. Linux. */
export function descendants(pid: number): number[] {
  const parents = new Map(readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).map((one) => [one, parentOf(one)] as const));
  const found = [pid];
  for (const above of found) for (const [one, parent] of parents) if (parent === above) found.push(one);
  return found.slice(1);
}

/** A process and all below it, for whoever looks into a failure: state, command line, and what each thread waits for. */
export function snapshotOf(launcherPid: number): string[] {
  return [launcherPid, ...descendants(launcherPid)].flatMap((pid) => [
    `${pid} ${stat(pid)[0] ?? 'gone'} ${commandLine(pid)}`,
    ...tasks(pid).map((task) => `  ${task} ${read(`/proc/${pid}/task/${task}/comm`).trim()} ${read(`/proc/${pid}/task/${task}/wchan`)} ${read(`/proc/${pid}/task/${task}/syscall`).trim()}`),
  ]);
}

function tasks(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/** The whole command line, or '' of one that is gone. */
export function commandLine(pid: number): string {
  return read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ');
}

export function isGone(pid: number): boolean {
  const state = stat(pid)[0];
  return state === undefined || state === 'Z' || state === 'X';
}

/** @returns false: it was gone */
export function signalTo(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}

/** Asks until it is not null. @throws Error past the time, with the last failure as its cause */
export async function eventually<T>(what: string, ask: () => Promise<T | null> | T | null, withinMs: number, everyMs = 100): Promise<T> {
  const untilMs = performance.now() + withinMs;
  let cause: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== null) return answer;
    } catch (error) {
      cause = error;
    }
    if (performance.now() > untilMs) throw new Error(`${what}: not within ${Math.round(withinMs / 1000)} s`, { cause });
    await pause(everyMs);
  }
}

/** Below those that a system hands out by itself, so that no connection takes them meanwhile; narrower where the test runner has dealt ranges out. */
const [LOWEST_PORT = 10_000, ABOVE_PORTS = 32_768] = process.env['TIDEGATE_TEST_PORTS']?.split('-').map(Number) ?? [];
const handedOut = new Set<number>();

export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(LOWEST_PORT, ABOVE_PORTS);
    if (handedOut.has(port)) continue;
    const server = createServer();
    try {
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
      handedOut.add(port);
      return port;
    } catch {
      continue;
    } finally {
      server.close();
    }
  }
}

const parentOf = (pid: number): number => Number(stat(pid)[1] ?? 0);

/** State, parent and so on: what stands behind the name. */
function stat(pid: number): string[] {
  const text = read(`/proc/${pid}/stat`);
  return text === '' ? [] : text.slice(text.lastIndexOf(')') + 2).split(' ');
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
