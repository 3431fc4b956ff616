/** Go's httputil.ReverseProxy on one core; built when the bench runs, into its folder. */
import { join } from 'node:path';
import { programPath } from '../../harness/requires.js';
import { packageRoot } from '../package-root.js';
import { answering, type Peer } from './peer.js';

export const goPeer: Peer = {
  name: 'Go httputil.ReverseProxy',
  missing: () => (programPath('go') === null ? 'go' : null),
  start: async ({ processes, folder, upstream, port, core }) => {
    const program = join(folder, 'reverse-proxy');
    const source = join(packageRoot(), 'test/bench/peers/reverse-proxy/main.go');
    const { code, output } = await processes.spawn('go build', programPath('go') as string, ['build', '-o', program, source], { env: { GOFLAGS: '', GO111MODULE: 'off' } }).ended;
    if (code !== 0) throw new Error(`go build:\n${output}`);
    return answering(processes.spawn('Go', program, [`127.0.0.1:${port}`, upstream], { core, env: { GOMAXPROCS: '1' } }), port);
  },
};
