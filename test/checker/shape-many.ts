/** Many machines, as processes of this one: two gateways, two collectors, Kafka, Redis, the engine by HTTP, the checker's upstream behind it. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { clockFault, SetClock } from './clock-faults.js';
import { apps, keysOf, services, TOKEN } from './configuration.js';
import { SmallDisk } from './disk.js';
import { diskFaults } from './disk-faults.js';
import { Engine, engineFaults } from './engine.js';
import { Kafka, kafkaFaults, kafkaJars } from './kafka.js';
import { namespaceFaults } from './namespace-faults.js';
import { ProductNode } from './node.js';
import { partFault } from './part-faults.js';
import { nodeFaults, processFaults } from './process-faults.js';
import { freePort } from './processes.js';
import { hasRedis, Redis, redisFaults } from './redis.js';
import type { SeededRandom } from './seeded-random.js';
import type { Shape } from './shape.js';
import { Upstream, upstreamFaults } from './upstream.js';

const GATEWAYS = ['gateway-1', 'gateway-2'] as const;
const COLLECTORS = ['collector-1', 'collector-2'] as const;
/** Of the first gateway: its spool while Kafka is away. */
const DISK_MIB = 64;

/** Why this shape cannot be had here; null: it can. */
export function missingForMany(): string | null {
  if (kafkaJars() === null || spawnSync('java', ['-version']).status !== 0) return 'needs Java and the jars of Kafka: .ci/run, or test/checker/kafka.ts';
  return hasRedis() ? null : 'needs redis-server';
}

export async function startMany(folder: string, random: SeededRandom): Promise<Shape> {
  const [kafka, redis, engine, upstream] = await Promise.all([Kafka.start(folder), Redis.start(folder), Engine.start(folder), Upstream.start(folder)]);
  const disk = SmallDisk.mount(join(folder, 'disk'), DISK_MIB);
  const clock = new SetClock(folder, 'gateway-2');
  const keys = keysOf(random);
  const ports = [await freePort(), await freePort()];
  const made = async (name: string, command: 'gateway' | 'collector', port: number): Promise<ProductNode> => {
    const controlPort = await freePort();
    return new ProductNode({
      name, command, folder, controlPort, token: TOKEN, env: name === 'gateway-2' ? clock.env : {},
      config: {
        version: 1, node: name, nodes: GATEWAYS, workers: 1, control: { address: `127.0.0.1:${controlPort}`, token: TOKEN }, data_dir: join(folder, name === 'gateway-1' ? 'disk' : name, 'data'),
        listeners: { http: { address: `127.0.0.1:${port}`, timeouts: { drain: '5s' } } },
        event_log: { kafka: { brokers: kafka.brokers, partitions: 4 } }, store: { clickhouse: { url: engine.url, user: 'default', timeout: '10s' } },
        shared_state: { redis: { url: redis.url }, on_ledger_loss: 'allow' }, services: services(upstream.url), apps: apps(keys),
      },
    });
  };
  const gateways = await Promise.all(GATEWAYS.map((name, i) => made(name, 'gateway', ports[i] ?? 0)));
  const collectors = await Promise.all(COLLECTORS.map(async (name) => made(name, 'collector', await freePort())));
  const [first] = gateways as [ProductNode];
  const nodes = [...gateways, ...collectors];
  for (const node of nodes) node.start();
  let asked = 0;
  return {
    name: 'many', ports, nodes, token: TOKEN, keys,
    // in turn, so that what one of them does not know is seen
    origin: () => {
      const running = collectors.filter((node) => node.running);
      const asks = running.length > 0 ? running : collectors;
      return asks[asked++ % asks.length]?.origin ?? '';
    },
    faults: [
      ...processFaults(gateways, ['worker']), ...processFaults(nodes, ['supervisor']), ...processFaults(collectors, ['collector']), ...nodeFaults(nodes), ...upstreamFaults(upstream),
      ...diskFaults(first, disk), clockFault(clock), ...namespaceFaults(first, folder, [await freePort(), await freePort()]),
      ...kafkaFaults(kafka), ...redisFaults(redis), ...engineFaults(engine), partFault({ storeDir: engine.storeDir, down: () => engine.end('SIGTERM'), up: () => { engine.start(); } }),
    ],
    whole: async (withinMs) => {
      disk?.makeRoom();
      disk?.makeWritable();
      clock.step(0);
      for (const node of nodes) node.signalLauncher('SIGCONT');
      await Promise.all([kafka.whole(), redis.whole(), engine.whole(), upstream.whole()]);
      await Promise.all(nodes.map((node) => node.ready(withinMs)));
    },
    end: async (keepIn) => {
      await Promise.all(nodes.map((node) => node.killAll()));
      await Promise.all([kafka.end(), redis.end(), engine.end(), upstream.end()]);
      disk?.unmount(keepIn);
    },
  };
}
