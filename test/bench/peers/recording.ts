/**
 * What recording adds: Tidegate's data path alone in a process of its own, twice. Both let a turn's answers go together at the turn's end;
 * the one counts, encodes and writes their events first, the other does nothing of it. Without that, the arm that does not record
 * would pay for one system call an answer more often, and recording would seem to cost less than nothing.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { nodeProgram } from './node-proxies.js';
import { answering, type Peer } from './peer.js';

/** @param life which of several processes of the same */
export const recordingPeer = (life: number): Peer => dataPath(`recording ${life}`, 'with');
export const unrecordedPeer = (life: number): Peer => dataPath(`no recording ${life}`, 'without');

function dataPath(name: string, recording: 'with' | 'without'): Peer {
  return {
    name,
    missing: () => null,
    start: async ({ processes, folder, upstream, port, core }) => {
      const own = join(folder, name);
      mkdirSync(own);
      const child = processes.spawn(name, process.execPath, [...nodeProgram(import.meta.url, 'data-path'), String(port), upstream, own, recording], { core });
      return answering(child, port);
    },
  };
}
