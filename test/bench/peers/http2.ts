/** What a gRPC call costs in proxies that take HTTP/2 on both sides. */
import { connect } from 'node:net';
import { programPath } from '../../harness/requires.js';
import { eventually } from '../../harness/deadline.js';
import { processTree } from '../proc-cpu.js';
import type { BenchProcess } from '../processes.js';
import { startNginx } from './nginx.js';
import { nodeProgram } from './node-proxies.js';
import type { Peer, PeerContext, RunningPeer } from './peer.js';

/** Of a unary call, as any gRPC client names it. */
const CALL = '/catalogue.Products/Get';

export const nginxGrpcPeer: Peer = {
  name: 'nginx grpc_pass',
  missing: () => (programPath('nginx') === null ? 'nginx' : null),
  start: async (context) => listening(startNginx('nginx-grpc', context, grpcServer(context.port, context.upstream)), context.port),
};

export const naiveHttp2Peer: Peer = {
  name: 'node:http2, as one writes it first',
  missing: () => null,
  start: async ({ processes, upstream, port, core }) =>
    listening(processes.spawn('node:http2', process.execPath, [...nodeProgram(import.meta.url, 'http2-proxy'), String(port), upstream], { core, env: { NODE_ENV: 'production' } }), port),
};

/** Answers calls, on the client's core. */
export async function startHttp2Upstream({ processes, port, core }: Pick<PeerContext, 'processes' | 'port' | 'core'>): Promise<string> {
  await listening(processes.spawn('http2-upstream', process.execPath, [...nodeProgram(import.meta.url, 'http2-upstream'), String(port)], { core, env: { NODE_ENV: 'production' } }), port);
  return `http://127.0.0.1:${port}`;
}

async function listening(child: BenchProcess, port: number): Promise<RunningPeer> {
  await child.until(eventually(`${child.name} to listen`, () => new Promise<true | null>((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => { resolve(null); });
  })));
  const tree = processTree(child.pid);
  return { url: `http://127.0.0.1:${port}${CALL}`, headers: ['content-type: application/grpc', 'te: trailers'], own: () => tree, all: () => tree };
}

const grpcServer = (port: number, upstream: string): string => `
  upstream calls {
    server ${upstream.replace('http://', '')};
    keepalive 64;
    keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:${port} http2 reuseport;
    location / { grpc_pass grpc://calls; }
  }`;
