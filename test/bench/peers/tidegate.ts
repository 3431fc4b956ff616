/** Tidegate as it is started by its users: all its processes; one worker, unless it says otherwise. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '../../harness/deadline.js';
import { freePorts, tidegateCommand } from '../../harness/tidegate.js';
import { commandLine, processTree } from '../proc-cpu.js';
import { answers, AREA, PATH, type Peer, type PeerContext, type RunningPeer } from './peer.js';

/** Of a start and of a reload: 100,000 apps take their time. */
const READY_WITHIN_MS = 180_000;

/** Never reached here: what is measured is the counting. */
export const QPS = 1_000_000;
const QPD = 1_000_000_000;

export const EVERYTHING_ON = 'Tidegate, everything on';

export interface NodePeer extends Peer {
  readonly start: (context: PeerContext) => Promise<BenchNode>;
}

/** API key, QPS of the gateway and of the app, QPD, the event, metrics. */
export const tidegatePeer: NodePeer = everythingOn(EVERYTHING_ON, 'everything-on', null);

export const workersPeer = (workers: number): Peer => everythingOn(`Tidegate, ${workers} ${workers === 1 ? 'worker' : 'workers'}`, `workers-${workers}`, null, () => ({ workers }));

/** The same of another revision, that was built into `root`. */
export const revisionPeer = (revision: string, root: string): Peer => everythingOn(`Tidegate at ${revision}`, 'other-revision', root);

/** @param more keys of the configuration beside the usual ones */
export function everythingOn(name: string, folder: string, root: string | null, more: (context: PeerContext) => object = () => ({})): NodePeer {
  return {
    name,
    missing: () => null,
    start: (context) => {
      const key = randomBytes(24).toString('base64url');
      const { limits, app } = everythingFor(key);
      return startNode(folder, context, ['api_key'], { limits, apps: [app], ...more(context) }, [`X-Api-Key: ${key}`], root);
    },
  };
}

/** The gateway's limits, and an app with its own. */
export function everythingFor(key: string) {
  const keys = [{ id: 'k1', sha256: createHash('sha256').update(key).digest('hex') }];
  return { limits: { qps: QPS }, app: { name: 'acme', keys, services: ['catalogue'], limits: { qps: QPS, qpd: QPD } } };
}

/** An open route without limits; the event and metrics are always there. */
export const barePeer: Peer = {
  name: 'Tidegate, open route, no limits',
  missing: () => null,
  start: (context) => startNode('bare', context, [], {}, []),
};

/** So many routes and apps, each app with its key and limits; asked are the last of both. */
export const scalePeer = (routeCount: number, appCount: number): Peer => ({
  name: `Tidegate, ${routeCount.toLocaleString('en')} routes, ${appCount.toLocaleString('en')} apps`,
  missing: () => null,
  start: (context) => {
    const key = randomBytes(24).toString('base64url');
    const last = createHash('sha256').update(key).digest('hex');
    const apps = Array.from({ length: appCount }, (_, i) => ({
      name: `app-${i}`, services: ['catalogue'], limits: { qps: QPS, qpd: QPD },
      keys: [{ id: 'k1', sha256: i === appCount - 1 ? last : createHash('sha256').update(`${key} ${i}`).digest('hex') }],
    }));
    const routes = Array.from({ length: routeCount }, (_, i) => ({ name: `route-${i}`, match: { path: i === routeCount - 1 ? `${AREA}:id` : `/v1/area-${i}/:id` } }));
    return startNode(`scale-${routeCount}-${appCount}`, context, ['api_key'], {
      apps, services: [{ name: 'catalogue', upstream: { targets: [{ url: context.upstream }] }, routes }],
    }, [`X-Api-Key: ${key}`]);
  },
});

export interface BenchNode extends RunningPeer {
  readonly dataDir: string;
  /** Asks the control API as the operator. @throws Error: an answer that is not 2xx */
  readonly control: (path: string, method?: string) => Promise<unknown>;
  readonly stop: () => Promise<void>;
}

/** @param more keys of the configuration beside, or in place of, the usual ones */
export async function startNode(name: string, context: PeerContext, authentication: readonly string[], more: object, headers: readonly string[], root: string | null = null): Promise<BenchNode> {
  const { processes, folder, upstream, port, core } = context;
  const own = join(folder, name);
  mkdirSync(own);
  const [controlPort] = await freePorts(1);
  const token = randomBytes(16).toString('hex');
  const config = {
    version: 1, node: 'bench', workers: 1, data_dir: join(own, 'data'),
    listeners: { http: { address: `127.0.0.1:${port}` } },
    control: { address: `127.0.0.1:${String(controlPort)}`, token },
    services: [{ name: 'catalogue', upstream: { targets: [{ url: upstream }] }, routes: [{ name: 'products', match: { path: `${AREA}*` }, authentication }] }],
    ...more,
  };
  const file = join(own, 'tidegate.yaml');
  // JSON is YAML
  writeFileSync(file, JSON.stringify(config, null, 2));
  const arguments_ = ['start', '-c', file];
  const { command, args } = root === null ? tidegateCommand(arguments_) : { command: process.execPath, args: [join(root, 'dist/cli/main.js'), ...arguments_] };
  const launcher = processes.spawn(name, command, args, { core, env: { TIDEGATE_LOG_LEVEL: 'warn', NODE_ENV: 'production' } });
  await launcher.until(eventually('readiness', async () => {
    const answer = await fetch(`http://127.0.0.1:${String(controlPort)}/readyz`);
    await answer.text();
    return answer.ok ? true : null;
  }, READY_WITHIN_MS, 50)).catch(async (error: unknown) => {
    // what is left out must not disturb the others
    await launcher.stop();
    throw error;
  });
  const url = `http://127.0.0.1:${port}${PATH}`;
  await launcher.until(answers(url, headers));
  const all = processTree(launcher.pid);
  const workers = all.filter((pid) => commandLine(pid).includes('worker-process.'));
  if (workers.length !== config.workers) throw new Error(`${workers.length} workers instead of ${config.workers}`);
  const control = async (path: string, method = 'GET'): Promise<unknown> => {
    const answer = await fetch(`http://127.0.0.1:${String(controlPort)}${path}`, { method, headers: { authorization: `Bearer ${token}` } });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return await answer.json();
  };
  return {
    url, headers, own: () => workers, all: () => all, dataDir: config.data_dir, control, stop: () => launcher.stop(),
    reload: () => reload(file, config, control),
  };
}

/** Changes the configuration and waits until the worker runs it; answers with the seconds from the word to the worker's. */
async function reload(file: string, config: Readonly<Record<string, unknown>>, control: BenchNode['control']): Promise<number> {
  writeFileSync(file, JSON.stringify({ ...config, trusted_proxies: [`10.${Math.floor(Math.random() * 256)}.${Math.floor(Math.random() * 256)}.0/24`] }, null, 2));
  const from = performance.now();
  const { version } = await control('/v1/reload', 'POST') as { version: string };
  await eventually('the worker to run the new version', async () => {
    const { workers } = await control('/v1/status') as { workers: readonly { config_version: string }[] };
    return workers.every((worker) => worker.config_version === version) ? true : null;
  }, READY_WITHIN_MS, 20);
  return (performance.now() - from) / 1000;
}
