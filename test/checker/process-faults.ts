/** Faults of the product's processes: killed, stopped for a while, ended in order and started again. */
import { setTimeout as pause } from 'node:timers/promises';
import type { FaultKind } from './fault.js';
import type { ProductNode, Role } from './node.js';
import { eventually, signalTo } from './processes.js';
import type { SeededRandom } from './seeded-random.js';

/** Each time that it lives. */
const COMES_BACK_MS = 60_000;

/** @param nodes whose role is struck; one of them is drawn */
export function processFaults(nodes: readonly ProductNode[], roles: readonly Role[]): FaultKind[] {
  return roles.flatMap((role) => [killed(nodes, role), stopped(nodes, role)]);
}

export function nodeFaults(nodes: readonly ProductNode[]): FaultKind[] {
  return [
    wholeNode(nodes, 'kill launcher', (node) => node.killLauncher()),
    wholeNode(nodes, 'kill all', (node) => node.killAll()),
    wholeNode(nodes, 'restart', (node) => node.stop()),
    {
      name: 'stop launcher', missing: null,
      plan: (random) => {
        const [node, ms] = [random.pick(nodes), random.integer(1000, 8000)];
        return {
          detail: `SIGSTOP of the launcher of ${node.name} for ${ms} ms`,
          run: async () => {
            node.signalLauncher('SIGSTOP');
            await pause(ms);
            node.signalLauncher('SIGCONT');
          },
        };
      },
    },
    storm(nodes),
  ];
}

function killed(nodes: readonly ProductNode[], role: Role): FaultKind {
  return {
    name: `kill ${role}`, missing: null,
    plan: (random) => {
      const [node, times, gapMs, which] = [random.pick(nodes), random.integer(1, 3), random.integer(200, 2500), random.next()];
      return {
        detail: `kill -9 of a ${role} of ${node.name}, ${times} times`,
        run: async () => {
          for (let i = 0; i < times; i++) {
            if (i > 0) await pause(gapMs);
            signalTo(await alive(node, role, which), 'SIGKILL');
          }
        },
      };
    },
  };
}

function stopped(nodes: readonly ProductNode[], role: Role): FaultKind {
  return {
    name: `stop ${role}`, missing: null,
    plan: (random) => {
      const [node, ms, which, dies] = [random.pick(nodes), random.pick([500, 1500, 4000, 9000, 14_000]), random.next(), random.chance(0.3)];
      return {
        detail: `SIGSTOP of a ${role} of ${node.name} for ${ms} ms${dies ? ', then kill -9' : ''}`,
        run: async () => {
          const pid = await alive(node, role, which);
          signalTo(pid, 'SIGSTOP');
          await pause(ms);
          if (dies) signalTo(pid, 'SIGKILL');
          signalTo(pid, 'SIGCONT');
        },
      };
    },
  };
}

function wholeNode(nodes: readonly ProductNode[], name: string, end: (node: ProductNode) => Promise<void>): FaultKind {
  return {
    name, missing: null,
    plan: (random) => {
      const [node, ms] = [random.pick(nodes), random.pick([0, 0, 500, 3000])];
      return {
        detail: `${name} of ${node.name}, started again after ${ms} ms`,
        run: async () => {
          await end(node);
          await pause(ms);
          node.start();
        },
      };
    },
  };
}

/** One process after another, of all kinds, faster than they come back. */
function storm(nodes: readonly ProductNode[]): FaultKind {
  return {
    name: 'kill storm', missing: null,
    plan: (random) => {
      const strikes = Array.from({ length: random.integer(6, 12) }, () => ({ node: random.pick(nodes), role: random.pick(['supervisor', 'worker', 'collector'] as const), afterMs: random.integer(50, 1500), which: random.next() }));
      return {
        detail: `kill -9 of ${strikes.length} processes, one after another`,
        run: async () => {
          for (const { node, role, afterMs, which } of strikes) {
            await pause(afterMs);
            const pids = node.pids(role);
            const pid = pids[Math.floor(which * pids.length)];
            if (pid !== undefined) signalTo(pid, 'SIGKILL');
          }
        },
      };
    },
  };
}

/** A kill at a random moment beside another fault; of a process that is not there just then, none. */
export function companion(nodes: readonly ProductNode[], random: SeededRandom): { readonly detail: string; run(): Promise<void> } {
  const [node, role, afterMs, which] = [random.pick(nodes), random.pick(['supervisor', 'worker', 'collector'] as const), random.integer(100, 4000), random.next()];
  return {
    detail: `and after ${afterMs} ms kill -9 of a ${role} of ${node.name}`,
    run: async () => {
      await pause(afterMs);
      const pids = node.pids(role);
      const pid = pids[Math.floor(which * pids.length)];
      if (pid !== undefined) signalTo(pid, 'SIGKILL');
    },
  };
}

async function alive(node: ProductNode, role: Role, which: number): Promise<number> {
  return eventually(`a ${role} of ${node.name} lives`, () => {
    const pids = node.pids(role);
    return pids[Math.floor(which * pids.length)] ?? null;
  }, COMES_BACK_MS, 20);
}
