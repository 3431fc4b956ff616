/** Proxies that people write on node: each is a process of its own, this file's neighbour. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { answering, type Peer } from './peer.js';

export const fastifyPeer: Peer = nodePeer('@fastify/http-proxy', 'fastify-proxy');
export const undiciPeer: Peer = nodePeer('node:http + undici Pool', 'undici-proxy');

function nodePeer(name: string, file: string): Peer {
  return {
    name,
    missing: () => null,
    start: async ({ processes, upstream, port, core }) => {
      const child = processes.spawn(name, process.execPath, [...nodeProgram(import.meta.url, file), String(port), upstream], { core, env: { NODE_ENV: 'production' } });
      return answering(child, port);
    },
  };
}

/** node's arguments to run the neighbour `file` of the module `from`, compiled or not. */
export function nodeProgram(from: string, file: string): string[] {
  const compiled = fileURLToPath(new URL(`${file}.js`, from));
  return existsSync(compiled) ? [compiled] : ['--import', 'tsx', join(compiled, '..', `${file}.ts`)];
}
