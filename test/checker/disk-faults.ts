/** The disk below the data directory has no room, or takes no writes. */
import { setTimeout as pause } from 'node:timers/promises';
import type { SmallDisk } from './disk.js';
import type { FaultKind } from './fault.js';
import type { ProductNode } from './node.js';
import { signalTo } from './processes.js';

const FILL_EVERY_MS = 50;
/** A node that meets a read-only disk has this long to say so and end. */
const REFUSES_WITHIN_MS = 15_000;

/** @param disk below the data directory of `node`; null: none could be mounted */
export function diskFaults(node: ProductNode, disk: SmallDisk | null): FaultKind[] {
  const missing = disk === null ? 'needs root on Linux, to mount a tmpfs' : null;
  return [
    {
      name: 'disk full', missing, mayLose: true,
      plan: (random) => {
        const [ms, role] = [random.integer(1500, 8000), random.pick([null, 'collector', 'supervisor', 'worker'] as const)];
        return {
          detail: `the disk is full for ${ms} ms${role === null ? '' : `, and a ${role} is killed meanwhile`}`,
          run: async () => {
            const untilMs = performance.now() + ms;
            let kills = role !== null;
            while (performance.now() < untilMs) {
              disk?.fill();
              if (kills && performance.now() > untilMs - ms / 2) {
                kills = false;
                const pid = node.pids(role ?? 'worker')[0];
                if (pid !== undefined) signalTo(pid, 'SIGKILL');
              }
              await pause(FILL_EVERY_MS);
            }
            disk?.makeRoom();
          },
        };
      },
    },
    {
      name: 'disk read-only', missing,
      plan: (random) => {
        const byKill = random.chance(0.5);
        return {
          detail: `${byKill ? 'kill of all' : 'SIGTERM'}, a start on a disk that is read-only, a start on one that is not`,
          run: async () => {
            if (byKill) await node.killAll();
            else await node.stop();
            disk?.makeReadOnly();
            node.start();
            await Promise.race([node.exited, pause(REFUSES_WITHIN_MS)]);
            await node.killAll();
            disk?.makeWritable();
            node.start();
          },
        };
      },
    },
  ];
}
