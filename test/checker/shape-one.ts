/** One machine: one node on a small disk of its own, with a clock of its own, the checker's upstream behind it. */
import { join } from 'node:path';
import { clockFault, SetClock } from './clock-faults.js';
import { apps, keysOf, services, TOKEN } from './configuration.js';
import { SmallDisk } from './disk.js';
import { diskFaults } from './disk-faults.js';
import { namespaceFaults } from './namespace-faults.js';
import { ProductNode, ROLES } from './node.js';
import { partFault } from './part-faults.js';
import { nodeFaults, processFaults } from './process-faults.js';
import { freePort } from './processes.js';
import type { SeededRandom } from './seeded-random.js';
import type { Shape } from './shape.js';
import { Upstream, upstreamFaults } from './upstream.js';

/** The store's own files and logs, before a request is stored; and for each minute of load. */
const DISK_MIB = 400;
const DISK_MIB_A_MINUTE = 12;
const WORKERS = 2;

export async function startOne(folder: string, random: SeededRandom, minutes: number): Promise<Shape> {
  const [port, controlPort, otherPort, otherControlPort] = [await freePort(), await freePort(), await freePort(), await freePort()];
  const upstream = await Upstream.start(folder);
  const disk = SmallDisk.mount(join(folder, 'disk'), Math.ceil(DISK_MIB + DISK_MIB_A_MINUTE * minutes));
  const clock = new SetClock(folder, 'node');
  const keys = keysOf(random);
  const node = new ProductNode({
    name: 'node', command: 'start', folder, controlPort, token: TOKEN, env: clock.env,
    config: {
      version: 1, listeners: { http: { address: `127.0.0.1:${port}`, timeouts: { drain: '5s' } } }, control: { address: `127.0.0.1:${controlPort}`, token: TOKEN }, workers: WORKERS,
      data_dir: join(folder, 'disk', 'data'), services: services(upstream.url), apps: apps(keys),
    },
  });
  const nodes = [node];
  node.start();
  return {
    name: 'one', ports: [port], nodes, token: TOKEN, keys, origin: () => node.origin,
    faults: [
      ...processFaults(nodes, ROLES), ...nodeFaults(nodes), ...upstreamFaults(upstream), ...diskFaults(node, disk), clockFault(clock),
      ...namespaceFaults(node, folder, [otherPort, otherControlPort]),
      partFault({ storeDir: join(node.dataDir, 'store'), down: () => node.stop(), up: () => { node.start(); } }),
    ],
    whole: async (withinMs) => {
      disk?.makeRoom();
      disk?.makeWritable();
      clock.step(0);
      node.signalLauncher('SIGCONT');
      await upstream.whole();
      await node.ready(withinMs);
    },
    end: async (keepIn) => {
      await node.killAll();
      await upstream.end();
      disk?.unmount(keepIn);
    },
  };
}
