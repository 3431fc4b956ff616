/** A node of the product, known by its command line and its YAML alone. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { commandLine, descendants, eventually, isGone, KeptChild, signalTo } from './processes.js';

/** The command line stands beside the checker in what was compiled; it is started, never imported. */
export const PRODUCT = fileURLToPath(new URL('../../cli/main.js', import.meta.url));

export type Role = 'supervisor' | 'worker' | 'collector';
export const ROLES: readonly Role[] = ['supervisor', 'worker', 'collector'];

export interface NodeOptions {
  readonly name: string;
  readonly command: 'start' | 'gateway' | 'collector';
  /** Of its configuration and log. */
  readonly folder: string;
  readonly controlPort: number;
  readonly token: string;
  /** JSON is YAML. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly env: Readonly<Record<string, string>>;
}

export class ProductNode {
  readonly name: string;
  readonly command: NodeOptions['command'];
  readonly configFile: string;
  readonly logFile: string;
  readonly config: NodeOptions['config'];
  readonly #options: NodeOptions;
  readonly #launcher: KeptChild;

  constructor(options: NodeOptions) {
    this.#options = options;
    this.name = options.name;
    this.command = options.command;
    this.config = options.config;
    mkdirSync(options.folder, { recursive: true });
    this.configFile = join(options.folder, `${options.name}.yaml`);
    this.logFile = join(options.folder, `${options.name}.log`);
    writeFileSync(this.configFile, JSON.stringify(options.config, null, 2));
    this.#launcher = new KeptChild({
      command: process.execPath, args: [PRODUCT, options.command, '-c', this.configFile], logFile: this.logFile, env: { TIDEGATE_LOG_LEVEL: 'info', ...options.env },
    });
  }

  get dataDir(): string { return String(this.config['data_dir']); }
  get origin(): string { return `http://127.0.0.1:${this.#options.controlPort}`; }
  get running(): boolean { return this.#launcher.running; }
  get exited(): Promise<number | null> { return this.#launcher.exited; }
  get launcherPid(): number | null { return this.running ? this.#launcher.pid : null; }
  get env(): Readonly<Record<string, string>> { return this.#options.env; }

  /** And does not wait. */
  start(): void {
    this.#launcher.start();
  }

  /** Ready, with every process that it should have. @throws Error past the time, with what `/readyz` says */
  async ready(withinMs: number): Promise<void> {
    await eventually(`${this.name} is ready (${this.logFile})`, async () => {
      // one whose start met a fault ends with an error; a service manager would start it again
      this.start();
      const answer = await fetch(`${this.origin}/readyz`, { signal: AbortSignal.timeout(5000) });
      const text = await answer.text();
      const absent = ROLES.filter((role) => this.#has(role) && this.pids(role).length === 0);
      if (!answer.ok || absent.length > 0) throw new Error(`${answer.status} ${text}, without ${absent.join(', ') || 'nothing'}`);
      return true;
    }, withinMs, 200);
  }

  pids(role: Role): number[] {
    const { launcherPid } = this;
    return launcherPid === null ? [] : descendants(launcherPid).filter((pid) => commandLine(pid).includes(`${role}-process.`));
  }

  signalLauncher(signal: NodeJS.Signals): void {
    this.#launcher.signal(signal);
  }

  /** SIGTERM, and its end. */
  async stop(): Promise<void> {
    await this.#launcher.end('SIGTERM');
  }

  /** SIGKILL to every process at once, and their end. */
  async killAll(): Promise<void> {
    const all = this.launcherPid === null ? [] : [this.launcherPid, ...descendants(this.launcherPid)];
    for (const pid of all) signalTo(pid, 'SIGKILL');
    await this.#launcher.end('SIGKILL');
    for (const pid of all) await eventually(`the end of ${pid}`, () => (isGone(pid) ? true : null), 30_000, 10);
  }

  /** SIGKILL to the launcher alone; resolves when its children are gone too, which end by themselves. */
  async killLauncher(): Promise<void> {
    const children = this.launcherPid === null ? [] : descendants(this.launcherPid);
    await this.#launcher.end('SIGKILL');
    for (const pid of children) await eventually(`the end of ${pid} after its launcher's`, () => (isGone(pid) ? true : null), 60_000, 10);
  }

  #has(role: Role): boolean {
    return role === 'supervisor' || (role === 'worker' ? this.command !== 'collector' : this.command !== 'gateway');
  }
}
