/** haproxy with one thread. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { programPath } from '../../harness/requires.js';
import { answering, type Peer } from './peer.js';

export const haproxyPeer: Peer = {
  name: 'haproxy',
  missing: () => (programPath('haproxy') === null ? 'haproxy' : null),
  start: async ({ processes, folder, upstream, port, core }) => {
    const own = join(folder, 'haproxy');
    mkdirSync(own);
    const file = join(own, 'haproxy.cfg');
    // by default it pools a connection with those that made it alone
    writeFileSync(file, `global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 2s
  timeout client 300s
  timeout server 300s
  option http-keep-alive
  http-reuse always
frontend proxy
  bind 127.0.0.1:${port}
  default_backend service
backend service
  server upstream ${upstream.replace('http://', '')} pool-max-conn 128 pool-purge-delay 300s
`);
    return answering(processes.spawn('haproxy', programPath('haproxy') as string, ['-db', '-f', file], { core }), port);
  },
};
