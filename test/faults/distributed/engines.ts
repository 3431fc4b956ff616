/**
 * The distributed topology with a network of the test's own between nodes and engines, a second Redis to fail over to, clocks that can be set, and small disks under
 * Kafka and under gateway-1.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts, type TestConfig } from '../../harness/tidegate.js';
import { TestRedis } from '../../harness/redis.js';
import { SmallDisk } from '../../harness/small-disk.js';
import { TcpProxy } from '../../harness/tcp-proxy.js';
import { SteppedClock } from './stepped-clock.js';
import { Topology } from './topology.js';

/** Of each engine, between it and every node. */
export interface Network {
  readonly kafka: TcpProxy;
  readonly clickhouse: TcpProxy;
  readonly redis: TcpProxy;
}

const KAFKA_DISK_MEBIBYTES = 192;
const GATEWAY_DISK_MEBIBYTES = 192;
/** Whose data lie on a small disk. */
const ON_SMALL_DISK = 'gateway-1';
const STORE_TIMEOUT = '5s';
/** The longest there is. */
const REDIS_TIMEOUT = '400ms';

export class Engines implements AsyncDisposable {
  readonly topology: Topology;
  readonly network: Network;
  /** Null: not to be had here. */
  readonly disks: { readonly kafka: SmallDisk; readonly gateway: SmallDisk } | null;
  readonly clocks: readonly SteppedClock[];
  readonly #replica: TestRedis;
  #masterIsFirst = true;

  private constructor(topology: Topology, network: Network, replica: TestRedis, disks: Engines['disks'], clocks: readonly SteppedClock[]) {
    this.topology = topology;
    this.network = network;
    this.disks = disks;
    this.clocks = clocks;
    this.#replica = replica;
  }

  static async start(title: string, withDisks: boolean, withClocks: boolean): Promise<Engines> {
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-engines-'));
    const [kafkaPort = 0] = await freePorts(1);
    // the broker tells its clients where to find it: there
    const kafka = await TcpProxy.start(kafkaPort);
    const disks = withDisks ? { kafka: SmallDisk.mount(join(folder, 'kafka'), KAFKA_DISK_MEBIBYTES), gateway: SmallDisk.mount(join(folder, ON_SMALL_DISK), GATEWAY_DISK_MEBIBYTES) } : null;
    const clocks = withClocks ? ['gateway-1', 'collector-1'].map((node) => new SteppedClock(node, folder)) : [];
    const ends: (() => Promise<void>)[] = [async () => {
      await kafka[Symbol.asyncDispose]();
      disks?.kafka[Symbol.dispose]();
      disks?.gateway[Symbol.dispose]();
      rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
    }];
    let network: Network | null = null;
    const behind = async (port: string): Promise<TcpProxy> => {
      const proxy = await TcpProxy.start(Number(port));
      ends.push(() => proxy[Symbol.asyncDispose]());
      return proxy;
    };
    let topology: Topology | null = null;
    try {
      topology = await Topology.start({
        title,
        kafka: { port: kafkaPort, properties: { 'advertised.listeners': `PLAINTEXT://127.0.0.1:${kafka.port}` }, ...(disks === null ? {} : { dataDir: () => join(disks.kafka.path, 'data') }) },
        through: async ({ clickhouse, redis }) => {
          network = { kafka, clickhouse: await behind(new URL(clickhouse).port), redis: await behind(new URL(redis).port) };
          return { kafka: `127.0.0.1:${kafka.port}`, clickhouse: `http://127.0.0.1:${network.clickhouse.port}`, redis: `redis://127.0.0.1:${network.redis.port}` };
        },
        config: (name, _part, base) => ({
          ...patient(base), ...(name === ON_SMALL_DISK && disks !== null ? { data_dir: join(disks.gateway.path, 'data') } : {}),
        }),
        env: (name) => clocks.find((clock) => clock.node === name)?.env ?? {},
      });
      for (const end of ends) topology.onEnd(end);
      const { clickhouse, redis } = network as Network | null ?? fail();
      const replica = await TestRedis.start({ persist: true, replicaOf: topology.redis });
      topology.onEnd(() => replica.stop());
      return new Engines(topology, { kafka, clickhouse, redis }, replica, disks, clocks);
    } catch (error) {
      if (topology === null) for (const end of ends) await end();
      else await topology[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The one that nodes reach. */
  get redisMaster(): TestRedis {
    return this.#masterIsFirst ? this.topology.redis : this.#replica;
  }

  /** The master dies, its replica takes over its address, and it comes back as the replica. */
  async failOverRedis(): Promise<void> {
    const [master, replica] = this.#masterIsFirst ? [this.topology.redis, this.#replica] : [this.#replica, this.topology.redis];
    await master.kill();
    await replica.with((client) => client.replicaof('NO', 'ONE'));
    this.network.redis.switchTo(replica.port);
    this.#masterIsFirst = !this.#masterIsFirst;
    await master.restart();
    await master.with((client) => client.replicaof('127.0.0.1', replica.port));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.topology[Symbol.asyncDispose]();
  }
}

/** A store's silence is shorter than the ones here; Redis, on a slow machine, is no fault. */
function patient({ store, shared_state: sharedState }: TestConfig): TestConfig {
  const { clickhouse } = store as { clickhouse: object };
  const { redis } = sharedState as { redis: object };
  return { store: { clickhouse: { ...clickhouse, timeout: STORE_TIMEOUT } }, shared_state: { ...sharedState as object, redis: { ...redis, timeout: REDIS_TIMEOUT } } };
}

function fail(): never {
  throw new Error('the topology has asked for no addresses');
}
