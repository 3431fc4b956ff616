/** Caddy's reverse_proxy on one core. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { programPath } from '../../harness/requires.js';
import { answering, type Peer } from './peer.js';

export const caddyPeer: Peer = {
  name: 'Caddy reverse_proxy',
  missing: () => (programPath('caddy') === null ? 'caddy' : null),
  start: async ({ processes, folder, upstream, port, core }) => {
    const own = join(folder, 'caddy');
    mkdirSync(own);
    const file = join(own, 'Caddyfile');
    writeFileSync(file, `{
	admin off
	auto_https off
}
http://:${port} {
	bind 127.0.0.1
	reverse_proxy ${upstream} {
		transport http {
			keepalive 5m
			keepalive_idle_conns 1024
			keepalive_idle_conns_per_host 256
			compression off
		}
	}
}
`);
    const env = { GOMAXPROCS: '1', HOME: own, XDG_DATA_HOME: own, XDG_CONFIG_HOME: own };
    return answering(processes.spawn('caddy', programPath('caddy') as string, ['run', '--adapter', 'caddyfile', '--config', file], { core, env }), port);
  },
};
