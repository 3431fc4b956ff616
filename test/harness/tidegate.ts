/**
 * A whole node for a test: its own folder, free ports, real processes. `await using node = await TestNode.start({…})` leaves none behind.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually } from './deadline.js';
import { freePorts } from './ports.js';

export { freePorts } from './ports.js';

export const OPERATOR_TOKEN = 'test-operator-token-0123456789abcdef';

export type Role = 'supervisor' | 'worker' | 'collector';

/** A configuration as it would stand in YAML (JSON is YAML); ports, data_dir and the token are filled in where absent. */
export type TestConfig = Readonly<Record<string, unknown>>;

export interface TestNodeOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Folder of an earlier node, to start again on its data. */
  readonly folder?: string;
  /** False: the folder stays after `stop`. */
  readonly removeFolder?: boolean;
  /** Default: all of a node. */
  readonly command?: 'start' | 'gateway' | 'collector';
  /** False: `start` does not wait for readiness. */
  readonly waitReady?: boolean;
  /** A bound socket's descriptor, handed over as systemd does. */
  readonly socket?: number;
}

export class TestNode implements AsyncDisposable {
  readonly folder: string;
  readonly port: number;
  readonly controlPort: number;
  readonly launcher: ChildProcess;
  readonly #removeFolder: boolean;
  #output = '';
  readonly #exited: Promise<number>;

  private constructor(folder: string, port: number, controlPort: number, options: TestNodeOptions) {
    this.folder = folder;
    this.port = port;
    this.controlPort = controlPort;
    this.#removeFolder = options.removeFolder ?? true;
    const { command, args } = tidegateCommand([options.command ?? 'start', '-c', this.configPath]);
    const env = { ...process.env, TIDEGATE_LOG_LEVEL: 'info', ...options.env };
    this.launcher = options.socket === undefined ? spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env })
      : spawn('sh', ['-c', 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"', 'sh', command, ...args], { stdio: ['ignore', 'pipe', 'pipe', options.socket], env });
    const keep = (text: string): void => { this.#output = (this.#output + text).slice(-1_000_000); };
    this.launcher.stdout?.setEncoding('utf8').on('data', keep);
    this.launcher.stderr?.setEncoding('utf8').on('data', keep);
    this.#exited = new Promise((resolve) => { this.launcher.once('close', (code) => { resolve(code ?? -1); }); });
  }

  static async start(config: TestConfig, options: TestNodeOptions = {}): Promise<TestNode> {
    const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'tidegate-test-'));
    const [port, controlPort] = await freePorts(2) as [number, number];
    const { listeners, control, ...rest } = config as { listeners?: { http?: object }; control?: object };
    const whole = {
      version: 1,
      listeners: { http: { address: `127.0.0.1:${port}`, ...listeners?.http } },
      control: { address: `127.0.0.1:${controlPort}`, token: OPERATOR_TOKEN, ...control },
      workers: 1, data_dir: join(folder, 'data'), services: [], apps: [], ...rest,
    };
    writeFileSync(join(folder, 'tidegate.yaml'), JSON.stringify(whole, null, 2));
    const node = new TestNode(folder, port, controlPort, options);
    try {
      if (options.waitReady ?? true) await node.ready();
    } catch (error) {
      await node[Symbol.asyncDispose]();
      throw error;
    }
    return node;
  }

  get configPath(): string { return join(this.folder, 'tidegate.yaml'); }
  get dataDir(): string { return join(this.folder, 'data'); }
  get url(): string { return `http://127.0.0.1:${this.port}`; }
  get controlUrl(): string { return `http://127.0.0.1:${this.controlPort}`; }
  /** What all its processes have said. */
  get output(): string { return this.#output; }
  /** The launcher's exit code, once it has ended and its output is complete. */
  get exited(): Promise<number> { return this.#exited; }

  async ready(): Promise<void> {
    const ended = this.#exited.then((code) => { throw new Error(`the node ended with exit code ${code}:\n${this.#output}`); });
    await Promise.race([ended, eventually(`${this.controlUrl}/readyz\n${this.#output}`, async () => {
      const answer = await fetch(`${this.controlUrl}/readyz`);
      await answer.text();
      return answer.ok ? true : null;
    }, 120_000)]).catch((error: unknown) => { throw new Error(`not ready:\n${this.#output}`, { cause: error }); });
    ended.catch(() => {});
  }

  /** Asks the control origin as the operator; answers with the parsed body, or throws on a status that is not 2xx. */
  async control<T>(path: string, init: RequestInit = {}): Promise<T> {
    const answer = await fetch(`${this.controlUrl}${path}`, {
      ...init, headers: { authorization: `Bearer ${OPERATOR_TOKEN}`, ...(init.body === undefined ? {} : { 'content-type': 'application/json' }), ...init.headers as object },
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
    return JSON.parse(text) as T;
  }

  /** The text of /metrics. */
  async metrics(): Promise<string> {
    return (await fetch(`${this.controlUrl}/metrics`, { headers: { authorization: `Bearer ${OPERATOR_TOKEN}` } })).text();
  }

  /** Rewrites the configuration file; the node notices by itself. */
  rewriteConfig(change: (config: Record<string, unknown>) => void): void {
    const config = JSON.parse(readFileSync(this.configPath, 'utf8')) as Record<string, unknown>;
    change(config);
    writeFileSync(this.configPath, JSON.stringify(config, null, 2));
  }

  /** The living processes of a role, oldest first. Linux. */
  pids(role: Role): number[] {
    return childrenOf(this.launcher.pid ?? 0).filter((pid) => commandLine(pid).includes(`${role}-process.`));
  }

  /** Signals one process of a role and resolves when it is gone. */
  async kill(pid: number, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    process.kill(pid, signal);
    await eventually(`the end of ${pid}`, () => (isGone(pid) ? true : null), 60_000, 5);
  }

  /** Signals the launcher and resolves with its exit code. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number> {
    this.launcher.kill(signal);
    return this.#exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.launcher.exitCode === null && this.launcher.signalCode === null) {
      const all = childrenOf(this.launcher.pid ?? 0);
      this.launcher.kill('SIGKILL');
      await this.#exited;
      for (const pid of all) await eventually(`the end of ${pid} after the launcher's`, () => (isGone(pid) ? true : null));
    }
    if (this.#removeFolder) rmSync(this.folder, { recursive: true, force: true });
  }
}

/** How to run the command line that stands beside this harness, compiled or not. */
export function tidegateCommand(args: readonly string[]): { readonly command: string; readonly args: string[] } {
  const here = fileURLToPath(import.meta.url);
  const compiled = here.endsWith('.js');
  const main = join(dirname(here), '..', '..', 'cli', compiled ? 'main.js' : 'main.ts');
  return { command: process.execPath, args: [...(compiled ? [] : ['--import', 'tsx']), main, ...args] };
}

/** The processes that this one has made and that are its own. Linux. */
export function childrenOf(pid: number): number[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter((other) => statFields(other)?.[1] === String(pid)).sort((a, b) => a - b);
}

/** Gone, or a zombie. */
export function isGone(pid: number): boolean {
  const state = statFields(pid)?.[0];
  return state === undefined || state === 'Z' || state === 'X';
}

/** The living processes of a group: what a terminal sends its Ctrl-C to. Linux. */
export function processesOfGroup(group: number): number[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => statFields(pid)?.[2] === String(group) && !isGone(pid));
}

/** State, parent, group and so on: the fields of /proc/<pid>/stat after the name. */
function statFields(pid: number): string[] | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null;
  }
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    // it has ended since it was listed
    return '';
  }
}
