/** nginx twice: the upstream of every peer, and the proxy that the others are compared with. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { programPath } from '../../harness/requires.js';
import { answering, type Peer, type PeerContext, type RunningPeer } from './peer.js';

const BODY = '{"id":17,"name":"tide table","price":{"amount":1290,"currency":"EUR"},"stock":4}';

const upstreamServer = (port: number): string => `
  server {
    listen 127.0.0.1:${port} reuseport;
    default_type application/json;
    return 200 '${BODY}';
  }`;

const proxyServer = (port: number, upstream: string): string => `
  upstream service {
    server ${upstream.replace('http://', '')};
    keepalive 128;
    keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:${port} reuseport;
    location / {
      proxy_pass http://service;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }
  }`;

/** The small JSON answer behind every proxy. */
export function startUpstream(context: Omit<PeerContext, 'upstream'>): Promise<RunningPeer> {
  return startNginx('upstream', context, upstreamServer(context.port));
}

export const nginxPeer: Peer = {
  name: 'nginx proxy_pass',
  missing: () => (programPath('nginx') === null ? 'nginx' : null),
  start: (context) => startNginx('nginx', context, proxyServer(context.port, context.upstream)),
};

async function startNginx(name: string, { processes, folder, port, core }: Omit<PeerContext, 'upstream'>, server: string): Promise<RunningPeer> {
  const own = join(folder, name);
  mkdirSync(own);
  writeFileSync(join(own, 'nginx.conf'), `daemon off;
pid ${own}/nginx.pid;
error_log stderr crit;
worker_processes 1;
events { worker_connections 1024; }
http {
  access_log off;
  keepalive_timeout 300s;
  keepalive_requests 1000000000;
  client_body_temp_path ${own}/body;
  proxy_temp_path ${own}/proxy;
  fastcgi_temp_path ${own}/fastcgi;
  uwsgi_temp_path ${own}/uwsgi;
  scgi_temp_path ${own}/scgi;
${server}
}
`);
  const child = processes.spawn(name, programPath('nginx') as string, ['-p', own, '-e', 'stderr', '-c', join(own, 'nginx.conf')], { core });
  return answering(child, port);
}
