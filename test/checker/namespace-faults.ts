/** A second node on the data directory of a living one: in the same namespace, and in a PID namespace of its own as two containers with one volume have. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { FaultKind } from './fault.js';
import { PRODUCT, type ProductNode } from './node.js';
import { eventually, isGone, KeptChild, descendants, signalTo } from './processes.js';

/** @param ports of the second node: requests, control */
export function namespaceFaults(node: ProductNode, folder: string, ports: readonly [number, number]): FaultKind[] {
  const unshares = spawnSync('unshare', ['--pid', '--fork', '--mount-proc', 'true']).status === 0;
  return [
    secondNode('second node', null, node, folder, ports, []),
    secondNode('second namespace', unshares ? null : 'needs unshare, and root', node, folder, ports, ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc']),
  ];
}

function secondNode(name: string, missing: string | null, node: ProductNode, folder: string, [port, controlPort]: readonly [number, number], before: readonly string[]): FaultKind {
  const configFile = join(folder, `${name.replace(' ', '-')}.yaml`);
  const listeners = node.config['listeners'] as object | undefined;
  const control = node.config['control'] as object;
  writeFileSync(configFile, JSON.stringify({
    ...node.config, ...(listeners === undefined ? {} : { listeners: { http: { address: `127.0.0.1:${port}` } } }), control: { ...control, address: `127.0.0.1:${controlPort}` },
  }, null, 2));
  const command = [...before, process.execPath, PRODUCT, node.command, '-c', configFile];
  return {
    name, missing,
    plan: (random) => {
      const [ms, ending] = [random.integer(3000, 9000), random.pick(['SIGTERM', 'SIGKILL'] as const)];
      return {
        detail: `a second node on the data directory of ${node.name}, for ${ms} ms at most, ended by ${ending}`,
        run: async () => {
          const second = new KeptChild({ command: command[0] as string, args: command.slice(1), logFile: join(folder, `${name.replace(' ', '-')}.log`), env: node.env });
          second.start();
          await Promise.race([second.exited, pause(ms)]);
          const all = second.running && second.pid !== null ? [second.pid, ...descendants(second.pid)] : [];
          // the node itself, below what started it
          const launcher = all[before.length === 0 ? 0 : 1];
          if (ending === 'SIGTERM' && launcher !== undefined) {
            signalTo(launcher, 'SIGTERM');
            await Promise.race([second.exited, pause(20_000)]);
          }
          for (const pid of all) signalTo(pid, 'SIGKILL');
          await second.end();
          for (const pid of all) await eventually(`the end of ${pid}`, () => (isGone(pid) ? true : null), 30_000, 10);
        },
      };
    },
  };
}
