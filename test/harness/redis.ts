/**
 * A real redis-server for a test, on a free port and in its own folder; nothing is kept on disk unless `persist`. `await using redis = await
 * TestRedis.start()` leaves none behind. `TestRedis.cluster()` makes three masters of one cluster.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { eventually } from './deadline.js';
import { programPath } from './requires.js';
import { freePorts } from './tidegate.js';

export interface TestRedisOptions {
  readonly port?: number;
  /** Further arguments, as on redis-server's command line. */
  readonly args?: readonly string[];
  /** Every write is in the append-only file before it is answered: a restart finds it. */
  readonly persist?: boolean;
  /** Speaks TLS on this port instead. */
  readonly tls?: boolean;
  /** Master to follow. */
  readonly replicaOf?: TestRedis;
}

export class TestRedis implements AsyncDisposable {
  readonly port: number;
  readonly folder = mkdtempSync(join(tmpdir(), 'tidegate-redis-'));
  readonly #options: TestRedisOptions;
  #process: ChildProcess | null = null;

  private constructor(port: number, options: TestRedisOptions) {
    this.port = port;
    this.#options = options;
  }

  static async start(options: TestRedisOptions = {}): Promise<TestRedis> {
    const [port = 0, bus = 0] = await freePorts(2);
    // a cluster's node talks to others at its port + 10,000 unless told otherwise: that one may be taken
    const args = options.args?.includes('--cluster-enabled') === true && !options.args.includes('--cluster-port') ? [...options.args, '--cluster-port', String(bus)] : options.args ?? [];
    const redis = new TestRedis(options.port ?? port, { ...options, args });
    if (options.tls === true) makeCertificate(redis.folder);
    try {
      await redis.restart();
    } catch (error) {
      await redis.stop();
      throw error;
    }
    return redis;
  }

  /** Three masters, each with a third of the slots. */
  static async cluster(): Promise<TestRedisCluster> {
    const nodes: TestRedis[] = [];
    const cluster = new TestRedisCluster(nodes);
    try {
      for (let i = 0; i < 3; i++) nodes.push(await TestRedis.start({ args: ['--cluster-enabled', 'yes', '--cluster-config-file', 'nodes.conf', '--cluster-node-timeout', '2000'] }));
      execFileSync('redis-cli', ['--cluster', 'create', ...nodes.map(({ port }) => `127.0.0.1:${port}`), '--cluster-yes'], { stdio: ['ignore', 'pipe', 'pipe'] });
      for (const node of nodes) await node.with((client) => eventually('the cluster is whole', async () => /cluster_state:ok/.test(String(await client.call('CLUSTER', 'INFO'))) ? true : null));
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  get url(): string { return `redis${this.#options.tls === true ? 's' : ''}://127.0.0.1:${this.port}`; }
  get pid(): number { return this.#process?.pid ?? 0; }
  /** With `tls`: the certificate that signed its own, PEM. */
  get caFile(): string { return join(this.folder, 'cert.pem'); }

  /** SIGKILL; resolves when it is gone. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => { child.once('close', resolve); });
    child.kill('SIGKILL');
    await gone;
  }

  /** SIGSTOP: connections stay, nothing answers. */
  pause(): void { this.#process?.kill('SIGSTOP'); }
  resume(): void { this.#process?.kill('SIGCONT'); }

  /** Starts it, again after `kill`, on the same port; resolves when it answers. */
  async restart(): Promise<void> {
    const program = programPath('redis-server');
    if (program === null) throw new Error('redis-server is missing: apt-get install redis-server');
    const { args = [], persist = false, tls = false, replicaOf } = this.#options;
    const log = openSync(join(this.folder, 'log'), 'a');
    const child = spawn(program, [
      '--bind', '127.0.0.1', '--dir', this.folder, '--save', '', '--appendonly', persist ? 'yes' : 'no', '--appendfsync', 'always',
      ...(tls ? ['--port', '0', '--tls-port', String(this.port), '--tls-cert-file', join(this.folder, 'cert.pem'), '--tls-key-file', join(this.folder, 'key.pem'), '--tls-auth-clients', 'no'] : ['--port', String(this.port)]),
      ...(replicaOf === undefined ? [] : ['--replicaof', `127.0.0.1 ${replicaOf.port}`]), ...args,
    ], { stdio: ['ignore', log, log], cwd: this.folder });
    closeSync(log);
    const end = (): void => { child.kill('SIGKILL'); };
    process.once('exit', end);
    child.once('close', () => { process.removeListener('exit', end); });
    this.#process = child;
    await eventually('redis-server answers', async () => {
      if (child.exitCode !== null) throw new Error(readFileSync(join(this.folder, 'log'), 'utf8').slice(-2000));
      // a server that asks for a password answers, too
      const said = execFileSync('redis-cli', ['-p', String(this.port), ...(tls ? ['--tls', '--cacert', this.caFile] : []), 'ping'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], timeout: 2000 });
      return /PONG|NOAUTH/.test(said) || null;
    });
  }

  /** A plain client, for as long as `use` takes. */
  async with<T>(use: (client: Redis) => Promise<T>): Promise<T> {
    const client = new Redis(this.url, {
      lazyConnect: true, retryStrategy: () => null, enableReadyCheck: false, maxRetriesPerRequest: 0,
      ...(this.#options.tls === true ? { tls: { ca: readFileSync(this.caFile) } } : {}),
    });
    client.on('error', () => {});
    try {
      await client.connect();
      return await use(client);
    } finally {
      client.disconnect();
    }
  }

  /** Forgets everything, as an operator's FLUSHALL does. */
  async wipe(): Promise<void> { await this.with((client) => client.flushall()); }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }

  [Symbol.asyncDispose](): Promise<void> { return this.stop(); }
}

export class TestRedisCluster implements AsyncDisposable {
  readonly nodes: readonly TestRedis[];

  constructor(nodes: readonly TestRedis[]) { this.nodes = nodes; }

  get url(): string { return this.nodes.map(({ url }) => url).join(','); }

  /** How many keys match, on all nodes together. */
  async keys(pattern: string): Promise<number> {
    const each = await Promise.all(this.nodes.map((node) => node.with(async (client) => (await client.keys(pattern)).length)));
    return each.reduce((sum, count) => sum + count, 0);
  }

  async stop(): Promise<void> { for (const node of this.nodes) await node.stop(); }

  [Symbol.asyncDispose](): Promise<void> { return this.stop(); }
}

function makeCertificate(folder: string): void {
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=127.0.0.1',
    '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', join(folder, 'key.pem'), '-out', join(folder, 'cert.pem')], { stdio: 'ignore' });
}
