/**
 * What recording adds, and what of it the metrics are: Tidegate's data path alone in a process of its own, whole and with something left out. All let a turn's answers go together at the turn's end;
 * whole it counts, encodes and writes their events first, without metrics it encodes and writes, without recording it does nothing of it. Without that, the arm that does not record
 * would pay for one system call an answer more often, and recording would seem to cost less than nothing.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { nodeProgram } from './node-proxies.js';
import { answering, type Peer } from './peer.js';

export type LeftOut = 'nothing' | 'metrics' | 'recording';

/** @param life which of several processes of the same */
export function dataPathPeer(leftOut: LeftOut, life: number): Peer {
  const name = leftOut === 'nothing' ? `whole ${life}` : `no ${leftOut} ${life}`;
  return {
    name,
    missing: () => null,
    start: async ({ processes, folder, upstream, port, core }) => {
      const own = join(folder, name);
      mkdirSync(own);
      const child = processes.spawn(name, process.execPath, [...nodeProgram(import.meta.url, 'data-path'), String(port), upstream, own, leftOut], { core });
      return answering(child, port);
    },
  };
}
