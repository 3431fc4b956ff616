/**
 * A ClickHouse server for tests: chDB in a process of its own, behind ClickHouse's HTTP interface. `await using server = await TestClickHouse.start()`
 * leaves nothing behind. Needs `requires('chdb')`. Users: TEST_USERS; `default` has every right and no password.
 *
 *     await server.faults({ kind: 'kill', at: 'after', statement: '^INSERT INTO tidegate.events', times: 1 });   // stored, and never answered
 *     await server.restart();                                                                                    // on the same data and port
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Fault } from './clickhouse-server-faults.js';

export { TEST_USERS } from './clickhouse-server-access.js';
export type { Fault } from './clickhouse-server-faults.js';

export interface TestClickHouseOptions {
  /** Where its data lies; default: a folder of its own, removed at the end. */
  readonly folder?: string;
  /** Default: any that is free. A restart keeps it. */
  readonly port?: number;
  /** What it says it is; default: the engine's version. */
  readonly version?: string;
  /** Paths of PEM files: it speaks TLS. */
  readonly tls?: { readonly cert: string; readonly key: string };
}

const PROCESS = fileURLToPath(new URL(`./clickhouse-server-process${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url));

export class TestClickHouse implements AsyncDisposable {
  readonly folder: string;
  readonly #options: TestClickHouseOptions;
  #child: ChildProcess;
  #exited: Promise<unknown>;
  #port: number;
  #controlPort = 0;

  private constructor(options: TestClickHouseOptions) {
    this.#options = options;
    this.folder = options.folder ?? mkdtempSync(join(tmpdir(), 'tidegate-clickhouse-'));
    this.#port = options.port ?? 0;
    [this.#child, this.#exited] = this.#spawn();
  }

  static async start(options: TestClickHouseOptions = {}): Promise<TestClickHouse> {
    const server = new TestClickHouse(options);
    await server.#ready();
    return server;
  }

  get port(): number { return this.#port; }
  get url(): string { return `${this.#options.tls === undefined ? 'http' : 'https'}://127.0.0.1:${this.#port}`; }
  get pid(): number { return this.#child.pid ?? 0; }
  /** Resolves when the process has gone, however. */
  get exited(): Promise<unknown> { return this.#exited; }

  /** From now on these go wrong, and nothing else; none: all is well. */
  async faults(...faults: readonly Fault[]): Promise<void> {
    await this.#control('PUT', '/faults', faults);
  }

  /** How often each fault has struck. */
  async hits(): Promise<readonly number[]> {
    return JSON.parse(await this.#control('GET', '/faults')) as number[];
  }

  /** The first 200 characters of each statement since it was started. */
  async statements(): Promise<readonly string[]> {
    return JSON.parse(await this.#control('GET', '/statements')) as string[];
  }

  /** Cuts every connection and refuses new ones. */
  async refuse(): Promise<void> {
    await this.#control('PUT', '/listening', false);
  }

  async accept(): Promise<void> {
    await this.#control('PUT', '/listening', true);
  }

  /** SIGSTOP: connections open and nothing answers. */
  pause(): void {
    this.#child.kill('SIGSTOP');
  }

  resume(): void {
    this.#child.kill('SIGCONT');
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exited;
  }

  /** After a kill, on the same data, port and options. */
  async restart(): Promise<void> {
    await this.kill();
    [this.#child, this.#exited] = this.#spawn();
    await this.#ready();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    if (this.#options.folder === undefined) rmSync(this.folder, { recursive: true, force: true });
  }

  #spawn(): [ChildProcess, Promise<unknown>] {
    const { version, tls } = this.#options;
    const child = spawn(process.execPath, [
      ...process.execArgv.filter((option) => !option.startsWith('--test')), ...(PROCESS.endsWith('.ts') && !process.execArgv.join(' ').includes('tsx') ? ['--import', 'tsx'] : []),
      PROCESS, '--data', this.folder, '--port', String(this.#port),
      ...(version === undefined ? [] : ['--version', version]), ...(tls === undefined ? [] : ['--cert', tls.cert, '--key', tls.key]),
      // the engine's statements run on libuv's threads
    ], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], env: { ...process.env, UV_THREADPOOL_SIZE: '12' } });
    return [child, once(child, 'exit')];
  }

  async #ready(): Promise<void> {
    const message = await Promise.race([once(this.#child, 'message'), this.#exited.then(() => { throw new Error('the ClickHouse test server ended before it was ready'); })]) as unknown[];
    const { port, controlPort } = message[0] as { port: number; controlPort: number };
    this.#port = port;
    this.#controlPort = controlPort;
  }

  async #control(method: string, path: string, body?: unknown): Promise<string> {
    const answer = await fetch(`http://127.0.0.1:${this.#controlPort}${path}`, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
    return answer.text();
  }
}
