/**
 * The distributed shape for fault tests: 2 gateways of 2 workers, 2 collectors, as processes of the command line; real Kafka, real Redis, the ClickHouse test
 * server; an upstream that counts. Needs `requires('kafka', 'redis', 'chdb', 'linux')`.
 *
 *     await using topology = await Topology.start();
 *     await topology.fault({ name: 'Kafka away', during: async () => { await topology.kafka.kill(); …; await topology.kafka.restart(); } });
 *
 * `fault` drives load before, through and after, waits until all of it is stored, adds a line to the table and throws what is wrong with it. The table is
 * printed at the end, however that comes.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ClickHouseStore } from '../../../collector/store/clickhouse-store.js';
import { TestClickHouse } from '../../harness/clickhouse-server.js';
import { eventually } from '../../harness/deadline.js';
import { TestKafka, type TestKafkaOptions } from '../../harness/kafka.js';
import { TestRedis, type TestRedisOptions } from '../../harness/redis.js';
import { freePorts, TestNode, type TestConfig } from '../../harness/tidegate.js';
import { TestUpstream } from '../../harness/upstream.js';
import { runFault, type Fault } from './fault-run.js';
import { faultsOf, tableOf, type FaultLine } from './fault-table.js';
import { SIZES } from './sizes.js';

/** Where nodes find the engines. */
export interface Addresses {
  /** `host:port,…` */
  readonly kafka: string;
  /** Origin. */
  readonly clickhouse: string;
  readonly redis: string;
}

export type Part = 'gateway' | 'collector';

export interface TopologyOptions {
  /** Above the table. */
  readonly title?: string;
  readonly kafka?: TestKafkaOptions;
  readonly redis?: TestRedisOptions;
  /** Where nodes find engines otherwise than where they are, through proxies for example. */
  readonly through?: (direct: Addresses) => Promise<Partial<Addresses>>;
  /** Laid over the configuration of a node, whole keys at a time. */
  readonly config?: (name: string, part: Part, base: TestConfig) => TestConfig;
  /** Of a node's processes. */
  readonly env?: (name: string, part: Part) => Readonly<Record<string, string>>;
  /** Requests a second, both gateways together; default: 800. */
  readonly perSecond?: number;
}

interface Day {
  readonly complete: boolean;
  readonly reasons: readonly string[];
  readonly streams: readonly { readonly stream: string; readonly missing: number; readonly twice: number }[];
}

const NAMES = { gateway: ['gateway-1', 'gateway-2'], collector: ['collector-1', 'collector-2'] } as const;
const APPS = ['north', 'east', 'south', 'west'];
/** Of each node. */
export const WORKERS = 2;
const WHOLE_WITHIN_MS = 300_000;

export class Topology implements AsyncDisposable {
  readonly keys: ReadonlyMap<string, string> = new Map(APPS.map((app) => [app, `key-${app}-${randomBytes(16).toString('hex')}`]));
  readonly folder = mkdtempSync(join(tmpdir(), 'tidegate-distributed-'));
  readonly lines: FaultLine[] = [];
  readonly perSecond: number;
  readonly #options: TopologyOptions;
  readonly #nodes = new Map<string, TestNode>();
  readonly #ports = new Map<string, number>();
  readonly #cleanups: (() => Promise<void>)[] = [];
  #addresses: Addresses = { kafka: '', clickhouse: '', redis: '' };
  #kafka: TestKafka | null = null;
  #clickhouse: TestClickHouse | null = null;
  #redis: TestRedis | null = null;
  #upstream: TestUpstream | null = null;
  #store: ClickHouseStore | null = null;

  private constructor(options: TopologyOptions) {
    this.#options = options;
    this.perSecond = options.perSecond ?? 800;
  }

  static async start(options: TopologyOptions = {}): Promise<Topology> {
    const topology = new Topology(options);
    try {
      await topology.#start();
    } catch (error) {
      await topology[Symbol.asyncDispose]();
      throw error;
    }
    return topology;
  }

  get kafka(): TestKafka { return started(this.#kafka); }
  get clickhouse(): TestClickHouse { return started(this.#clickhouse); }
  get redis(): TestRedis { return started(this.#redis); }
  get upstream(): TestUpstream { return started(this.#upstream); }
  /** The test's own connection, never through a proxy. */
  get store(): ClickHouseStore { return started(this.#store); }
  get gateways(): TestNode[] { return this.named('gateway').map(([, node]) => node); }
  get collectors(): TestNode[] { return this.named('collector').map(([, node]) => node); }
  /** Where requests go. */
  get ports(): readonly number[] { return [...this.#ports.values()]; }
  get nodes(): TestNode[] { return [...this.gateways, ...this.collectors]; }

  /** The nodes of a part that were started. */
  named(part: Part): (readonly [name: string, node: TestNode])[] {
    return NAMES[part].flatMap((name) => {
      const node = this.#nodes.get(name);
      return node === undefined ? [] : [[name, node] as const];
    });
  }

  /** Starts a node that is not running, on its earlier folder, and does not wait. A gateway listens where it did. */
  async startNode(name: string): Promise<TestNode> {
    const part: Part = name.startsWith('gateway') ? 'gateway' : 'collector';
    const base = this.#config(name, part);
    const folder = join(this.folder, name);
    mkdirSync(folder, { recursive: true });
    const node = await TestNode.start({ ...base, ...this.#options.config?.(name, part, base) }, {
      command: part, folder, removeFolder: false, waitReady: false, env: this.#options.env?.(name, part) ?? {},
    });
    this.#nodes.set(name, node);
    return node;
  }

  /** SIGTERM, and its end. */
  async stopNode(name: string): Promise<void> {
    await started(this.#nodes.get(name)).stop();
    this.#nodes.delete(name);
  }

  /** Starts each node that has ended, as one does whose first start is cut short, and does not wait. @param part of these alone */
  async startEnded(part?: Part): Promise<void> {
    for (const name of part === undefined ? [...NAMES.gateway, ...NAMES.collector] : NAMES[part]) {
      const launcher = this.#nodes.get(name)?.launcher;
      if (launcher === undefined || launcher.exitCode !== null || launcher.signalCode !== null) await this.startNode(name);
    }
  }

  /** Every process that should run does, and every node is ready. Starts those that have ended. */
  async whole(): Promise<void> {
    await this.startEnded();
    await eventually('every node is whole and ready', async () => {
      for (const node of this.gateways) if (node.pids('worker').length !== WORKERS || node.pids('supervisor').length !== 1) throw new Error('a gateway is not whole');
      for (const node of this.collectors) if (node.pids('collector').length !== 1 || node.pids('supervisor').length !== 1) throw new Error('a collector is not whole');
      for (const node of this.nodes) {
        const { ready, reasons, workers } = await node.control<{ ready: boolean; reasons: readonly string[]; workers: readonly { state: string }[] }>('/v1/status', { signal: AbortSignal.timeout(5000) });
        if (!ready || reasons.length > 0 || workers.some(({ state }) => state !== 'serving')) throw new Error(`${node.folder}: ${JSON.stringify({ ready, reasons, workers })}`);
      }
      return true;
    }, WHOLE_WITHIN_MS, 200).catch((error: unknown) => { throw new Error(`${String((error as Error).cause)}\n${this.said()}`, { cause: error }); });
  }

  /** Adds a line to the table. @throws Error with all that is wrong with it, and what the nodes have said */
  async fault(fault: Fault): Promise<void> {
    await this.whole();
    const line = await runFault(this, fault, this.lines.length);
    this.lines.push(line);
    const wrong = faultsOf(line, fault.mayCut ?? false, SIZES.lateShare);
    if (wrong.length > 0) throw new Error(`${fault.name}:\n  ${wrong.join('\n  ')}\n${this.said()}`);
  }

  /** Asked of either collector, the day is complete in the end: every stream is stored as far as it goes, with nothing missing and nothing twice. */
  async complete(): Promise<void> {
    await this.whole();
    for (const node of this.collectors) {
      await eventually('the day is complete', async () => {
        const { complete, reasons, streams } = await node.control<Day>('/v1/completeness');
        const off = streams.filter(({ missing, twice }) => missing > 0 || twice > 0);
        if (!complete || off.length > 0) throw new Error(JSON.stringify({ complete, reasons, off }));
        return true;
      }, WHOLE_WITHIN_MS, 500).catch((error: unknown) => { throw new Error(`${String((error as Error).cause)}\n${this.said()}`, { cause: error }); });
    }
  }

  /** The last warnings and errors of each node. */
  said(): string {
    return [...this.#nodes].map(([name, { output }]) => `-- ${name}\n${output.split('\n').filter((text) => /"level":"?(?:warn|error|fatal|[4-6]0)/.test(text)).slice(-15).join('\n')}`).join('\n');
  }

  /** Ended before the engines are, in the reverse of the order given. */
  onEnd(cleanup: () => Promise<void>): void {
    this.#cleanups.unshift(cleanup);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.lines.length > 0) console.log(tableOf(this.#options.title ?? 'faults', this.lines));
    for (const node of this.#nodes.values()) await node[Symbol.asyncDispose]();
    for (const cleanup of this.#cleanups) await cleanup();
    await this.#store?.close();
    await this.#upstream?.stop();
    await this.#redis?.stop();
    await this.#clickhouse?.[Symbol.asyncDispose]();
    await this.#kafka?.stop();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 });
  }

  async #start(): Promise<void> {
    await Promise.all([
      TestKafka.start(this.#options.kafka).then((kafka) => { this.#kafka = kafka; }), TestClickHouse.start().then((server) => { this.#clickhouse = server; }),
      TestRedis.start({ persist: true, ...this.#options.redis }).then((redis) => { this.#redis = redis; }), TestUpstream.start().then((upstream) => { this.#upstream = upstream; }),
    ]);
    const direct = { kafka: this.kafka.brokers, clickhouse: this.clickhouse.url, redis: this.redis.url };
    this.#addresses = { ...direct, ...await this.#options.through?.(direct) };
    this.#store = new ClickHouseStore({ urls: [direct.clickhouse], user: 'default', password: '', ca: null, cluster: null, insertQuorum: 0, timeoutMs: 60_000, compression: true });
    const ports = await freePorts(NAMES.gateway.length);
    for (const [i, name] of NAMES.gateway.entries()) this.#ports.set(name, ports[i] ?? 0);
    await Promise.all([...NAMES.gateway, ...NAMES.collector].map((name) => this.startNode(name)));
    await this.whole();
    // until each partition's end was reached once, the log may hold as much as it keeps
    await eventually('the collectors have seen the end of the log', async () => {
      const day = new Date().toISOString().slice(0, 10);
      for (const node of this.collectors) if ((await node.control<{ reasons: string[] }>(`/v1/completeness?day=${day}`)).reasons.some((reason) => reason.startsWith('no collector has said'))) return null;
      return true;
    }, WHOLE_WITHIN_MS, 200);
  }

  #config(name: string, part: Part): TestConfig {
    const { kafka, clickhouse, redis } = this.#addresses;
    return {
      node: name, nodes: NAMES.gateway, workers: WORKERS,
      ...(part === 'gateway' ? { listeners: { http: { address: `127.0.0.1:${this.#ports.get(name)}` } } } : {}),
      // segments come to their end within seconds
      event_log: { kafka: { brokers: kafka, partitions: 4 }, spool: { segment_bytes: '64KiB' } },
      store: { clickhouse: { url: clickhouse, user: 'default', timeout: '10s' } },
      // with `deny`, Redis away for longer than what is held lasts would be refusals by rule
      shared_state: { redis: { url: redis }, on_ledger_loss: 'allow' },
      services: [{ name: 'bytes', record_path: 'full', upstream: { targets: [{ url: this.upstream.url }] }, routes: [{ name: 'all', match: { path: '/*' }, authentication: ['api_key'] }] }],
      apps: APPS.map((app) => ({
        name: app, services: ['bytes'], keys: [{ id: 'k', sha256: createHash('sha256').update(this.keys.get(app) ?? '').digest('hex') }], limits: { qps: 100_000, qpd: 100_000_000 },
      })),
    };
  }
}

function started<T>(part: T | null | undefined): T {
  if (part === null || part === undefined) throw new Error('it is not running');
  return part;
}
