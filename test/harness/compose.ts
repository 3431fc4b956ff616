/** docker-compose.yml as Compose would take it: merged and interpolated; and its services of our own image as processes, where no Docker engine is. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { packageRoot } from '../../cli/version.js';
import { eventually } from './deadline.js';

export interface ComposeService {
  readonly image: string;
  readonly restart?: string;
  readonly hostname?: string;
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly networks?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly deploy?: { readonly resources: { readonly limits: { readonly cpus?: string; readonly memory?: string } } };
}

export interface ComposeFile {
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly networks: Readonly<Record<string, { readonly internal?: boolean } | null>>;
  readonly volumes: Readonly<Record<string, object | null>>;
}

export const composeText = (): string => readFileSync(join(packageRoot(), 'docker-compose.yml'), 'utf8');

/** `${NAME}`, `${NAME:-default}`, `${NAME:?message}` and `$$`, as Compose has them. @throws Error naming a variable that is required and not there */
export function interpolate(text: string, environment: ReadonlyMap<string, string>): string {
  return text.replaceAll(/\$\$|\$\{([A-Za-z_]\w*)(?::([-?])([^}]*))?\}/g, (whole, name: string | undefined, operator: string | undefined, operand: string | undefined) => {
    if (whole === '$$') return '$';
    const value = environment.get(name ?? '');
    if (value !== undefined && value !== '') return value;
    if (operator === '-') return operand ?? '';
    throw new Error(`${name} is not set: ${operand}`);
  });
}

export function loadCompose(environment: ReadonlyMap<string, string>): ComposeFile {
  // after parsing, as Compose does it: what a variable holds is no YAML
  const parsed: unknown = parse(composeText(), { merge: true });
  const walk = (value: unknown): unknown => {
    if (typeof value === 'string') return interpolate(value, environment);
    if (Array.isArray(value)) return value.map(walk);
    if (typeof value === 'object' && value !== null) return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, walk(item)]));
    return value;
  };
  return walk(parsed) as ComposeFile;
}

/** Where what a service calls `host:port` is found on this machine. */
export type Places = ReadonlyMap<string, string>;

/** A service of our own image, run as its container would be: its entry point, command and environment, and nothing of this process's environment. */
export class ComposeProcess implements AsyncDisposable {
  readonly name: string;
  readonly #service: ComposeService;
  readonly #places: Places;
  readonly #process: ChildProcess;
  readonly #exited: Promise<number>;
  #output = '';

  /**
   * @param places by `host:port`; `127.0.0.1:port` is the service's own
   * @param network what stands in for the container's own addresses and volumes: further environment
   */
  constructor(name: string, service: ComposeService, places: Places, network: Readonly<Record<string, string>> = {}) {
    this.name = name;
    this.#service = service;
    this.#places = places;
    const argv = [...(service.entrypoint ?? imageEntrypoint()), ...(service.command ?? [])].map((word) => this.#mounted(this.#placed(word)));
    const [command, args] = ownProgram(argv);
    const environment = Object.fromEntries(Object.entries(service.environment ?? {}).map(([key, value]) => [key, this.#placed(value)]));
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], cwd: packageRoot(), env: { PATH: process.env['PATH'], ...environment, ...network } });
    this.#process = child;
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => { this.#output = (this.#output + text).slice(-200_000); });
    this.#exited = new Promise((resolve) => { child.once('close', (code) => { resolve(code ?? -1); }); });
  }

  get output(): string { return this.#output; }

  /** Runs the service's health check until it passes. */
  async healthy(): Promise<void> {
    const [kind, command = '', ...args] = this.#service.healthcheck?.test ?? [];
    if (kind !== 'CMD') throw new Error(`${this.name}: its health check is not in the form that runs without a shell`);
    let said = '';
    await eventually(`${this.name} is healthy`, async () => {
      const [exitCode, text] = await run(command === 'node' ? process.execPath : command, args.map((word) => this.#placed(word)));
      said = text;
      return exitCode === 0 ? true : null;
    }, 60_000, 250).catch((error: unknown) => { throw new Error(`${String(error)}\n${said}\n${this.output.slice(-4000)}`); });
  }

  /** As `docker compose stop`. */
  async stop(): Promise<number> {
    this.#process.kill('SIGTERM');
    return this.#exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill('SIGKILL');
    await this.#exited;
  }

  #placed(text: string): string {
    let placed = text;
    for (const [from, to] of this.#places) {
      const own = from.startsWith(`${this.name}:`) ? `0.0.0.0${from.slice(this.name.length)}|127.0.0.1${from.slice(this.name.length)}|` : '';
      placed = placed.replaceAll(new RegExp(`(?<![\\w.-])(?:${own}${from})(?!\\d)`, 'g'), to);
    }
    return placed;
  }

  /** A path in a folder that is mounted from here. */
  #mounted(word: string): string {
    for (const volume of this.#service.volumes ?? []) {
      const [source = '', target = ''] = volume.split(':');
      if (source.startsWith('./') && word.startsWith(target)) return join(packageRoot(), source) + word.slice(target.length);
    }
    return word;
  }
}

/** What the image runs, as the Dockerfile says. */
function imageEntrypoint(): string[] {
  const line = /^ENTRYPOINT (\[.*\])$/m.exec(readFileSync(join(packageRoot(), 'Dockerfile'), 'utf8'));
  if (line === null) throw new Error('the Dockerfile has no ENTRYPOINT');
  return JSON.parse(line[1] ?? '[]') as string[];
}

/** `node dist/x.js …` as it runs here, compiled or not. */
function ownProgram([program, file = '', ...args]: readonly string[]): [string, string[]] {
  if (program !== 'node' || !file.startsWith('dist/')) throw new Error(`not a program of this package: ${program} ${file}`);
  const here = fileURLToPath(import.meta.url);
  const compiled = here.endsWith('.js');
  const path = join(here, '..', '..', '..', compiled ? file.slice('dist/'.length) : file.slice('dist/'.length).replace(/\.js$/, '.ts'));
  if (!existsSync(path)) throw new Error(`${file} is not there`);
  return [process.execPath, [...(compiled ? [] : ['--import', 'tsx']), path, ...args]];
}

function run(command: string, args: readonly string[]): Promise<[exitCode: number, text: string]> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (piece: string) => { text += piece; });
    child.once('error', reject);
    child.once('close', (code) => { resolve([code ?? -1, text]); });
  });
}
