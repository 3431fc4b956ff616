/** nginx twice: the upstream of every peer, and the proxy that the others are compared with. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { programPath } from '../../harness/requires.js';
import type { BenchProcess } from '../processes.js';
import { answering, AREA, type Peer, type PeerContext, type RunningPeer } from './peer.js';

const BODY = '{"id":17,"name":"tide table","price":{"amount":1290,"currency":"EUR"},"stock":4}';

/** What the upstream answers with, by the path's last piece: a small answer unless it stands here. Bytes. */
export const ANSWERS = { '10k': 10_240, '1m': 1_048_576 } as const;
/** Refused by the proxy itself. */
export const REFUSED_PATH = '/refused';

const upstreamServer = (port: number, files: string): string => `
  server {
    listen 127.0.0.1:${port} reuseport;
    default_type application/json;
    open_file_cache max=16;
${Object.keys(ANSWERS).map((name) => `    location = ${AREA}${name} { alias ${files}/${name}; }`).join('\n')}
    location / { return 200 '${BODY}'; }
  }`;

// an answer that its client takes slowly is held back, and not written to disk
const proxyServer = (port: number, upstream: string): string => `
  upstream service {
    server ${upstream.replace('http://', '')};
    keepalive 1024;
    keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:${port} reuseport;
    location = ${REFUSED_PATH} { return 403; }
    location / {
      proxy_pass http://service;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_max_temp_file_size 0;
    }
  }`;

/** The answers behind every proxy. */
export function startUpstream(context: Omit<PeerContext, 'upstream'>): Promise<RunningPeer> {
  const files = join(context.folder, 'answers');
  mkdirSync(files);
  for (const [name, bytes] of Object.entries(ANSWERS)) writeFileSync(join(files, name), 'tide '.repeat(bytes / 5 + 1).slice(0, bytes));
  return answering(startNginx('upstream', context, upstreamServer(context.port, files)), context.port);
}

export const nginxPeer: Peer = {
  name: 'nginx proxy_pass',
  missing: () => (programPath('nginx') === null ? 'nginx' : null),
  start: (context) => answering(startNginx('nginx', context, proxyServer(context.port, context.upstream)), context.port),
};

/** @param server its `server` blocks. It may not listen yet. */
export function startNginx(name: string, { processes, folder, core }: Pick<PeerContext, 'processes' | 'folder' | 'core'>, server: string): BenchProcess {
  const own = join(folder, name);
  mkdirSync(own);
  // another user's worker could not read the files of this one
  writeFileSync(join(own, 'nginx.conf'), `daemon off;
${process.getuid?.() === 0 ? 'user root;' : ''}
pid ${own}/nginx.pid;
error_log stderr crit;
worker_processes 1;
events { worker_connections 4096; }
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
  return processes.spawn(name, programPath('nginx') as string, ['-p', own, '-e', 'stderr', '-c', join(own, 'nginx.conf')], { core });
}
