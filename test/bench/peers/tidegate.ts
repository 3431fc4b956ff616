/** Tidegate as it is started by its users: all its processes, one worker. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '../../harness/deadline.js';
import { freePorts, tidegateCommand } from '../../harness/tidegate.js';
import { commandLine, processTree } from '../proc-cpu.js';
import { answers, PATH, type Peer, type PeerContext, type RunningPeer } from './peer.js';

/** Never reached here: what is measured is the counting. */
const QPS = 1_000_000;
const QPD = 1_000_000_000;

export const EVERYTHING_ON = 'Tidegate, everything on';

/** API key, QPS of the gateway and of the app, QPD, the event, metrics. */
export const tidegatePeer: Peer = {
  name: EVERYTHING_ON,
  missing: () => null,
  start: (context) => {
    const key = randomBytes(24).toString('base64url');
    const keys = [{ id: 'k1', sha256: createHash('sha256').update(key).digest('hex') }];
    const apps = [{ name: 'acme', keys, services: ['catalogue'], limits: { qps: QPS, qpd: QPD } }];
    return startNode('everything-on', context, ['api_key'], { limits: { qps: QPS }, apps }, [`X-Api-Key: ${key}`]);
  },
};

/** An open route without limits; the event and metrics are always there. */
export const barePeer: Peer = {
  name: 'Tidegate, open route, no limits',
  missing: () => null,
  start: (context) => startNode('bare', context, [], {}, []),
};

async function startNode(name: string, context: PeerContext, authentication: readonly string[], more: object, headers: readonly string[]): Promise<RunningPeer> {
  const { processes, folder, upstream, port, core } = context;
  const own = join(folder, name);
  mkdirSync(own);
  const [controlPort] = await freePorts(1);
  const config = {
    version: 1, node: 'bench', workers: 1, data_dir: join(own, 'data'),
    listeners: { http: { address: `127.0.0.1:${port}` } },
    control: { address: `127.0.0.1:${String(controlPort)}`, token: randomBytes(16).toString('hex') },
    services: [{ name: 'catalogue', upstream: { targets: [{ url: upstream }] }, routes: [{ name: 'products', match: { path: '/v1/products/*' }, authentication }] }],
    ...more,
  };
  const file = join(own, 'tidegate.yaml');
  // JSON is YAML
  writeFileSync(file, JSON.stringify(config, null, 2));
  const { command, args } = tidegateCommand(['start', '-c', file]);
  const launcher = processes.spawn(name, command, args, { core, env: { TIDEGATE_LOG_LEVEL: 'warn', NODE_ENV: 'production' } });
  await launcher.until(eventually('readiness', async () => {
    const answer = await fetch(`http://127.0.0.1:${String(controlPort)}/readyz`);
    await answer.text();
    return answer.ok ? true : null;
  }, 30_000, 50));
  const url = `http://127.0.0.1:${port}${PATH}`;
  await launcher.until(answers(url, headers));
  const all = processTree(launcher.pid);
  const workers = all.filter((pid) => commandLine(pid).includes('worker-process.'));
  if (workers.length !== 1) throw new Error(`${workers.length} workers instead of 1`);
  return { url, headers, own: () => workers, all: () => all };
}
