/** What is asked of Tidegate with everything on and of nginx beside it, scenario by scenario. */
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '../harness/deadline.js';
import { smallGet, type Load } from './load.js';
import { REFUSED_PATH } from './peers/nginx.js';
import { AREA, headerFields, type Peer, type RunningPeer } from './peers/peer.js';
import { EVERYTHING_ON, everythingFor, startNode } from './peers/tidegate.js';

export const MANY_CONNECTIONS = 600;
const IDLE_CONNECTIONS = 1000;
const POSTED_BYTES = 4096;
const TOKEN_SECONDS = 7200;

/** One app a way to be let in, or not. */
export interface Credentials {
  readonly key: string;
  /** Of an app whose day is used up. */
  readonly spentKey: string;
  readonly token: string;
}

export interface Scenario {
  readonly words: string;
  /** Every answer's status, of Tidegate and of nginx. */
  readonly statuses: readonly [own: number, nginx: number];
  /** `load`: of the small GET. */
  readonly own: (load: Load, credentials: Credentials) => Load;
  readonly nginx: (load: Load) => Load;
}

const OK = [200, 200] as const;
const same = (load: Load): Load => load;
const withPath = (load: Load, path: string): Load => ({ ...load, url: new URL(path, load.url).href });

/** The same for both. */
const alike = (words: string, change: (load: Load) => Load): Scenario => ({ words, statuses: OK, own: change, nginx: change });

/** nginx refuses by itself too, and knows nobody. */
const refusal = (words: string, status: number, own: Scenario['own']): Scenario => ({
  words, statuses: [status, 403], own: (load, credentials) => ({ ...own(load, credentials), refused: true }), nginx: (load) => ({ ...withPath(load, REFUSED_PATH), refused: true }),
});

/** `script`: wrk's, that posts. What memory is asked of comes before what leaves some behind: one worker takes them all, in this order. */
export const scenarios = (script: string): readonly Scenario[] => [
  alike('small GET', same),
  alike(`small GET, ${MANY_CONNECTIONS} connections`, (load) => ({ ...load, connections: MANY_CONNECTIONS })),
  alike(`small GET, ${IDLE_CONNECTIONS.toLocaleString('en')} idle connections beside`, (load) => ({ ...load, idle: IDLE_CONNECTIONS })),
  { words: 'small GET by JWT (HS256)', statuses: OK, own: (load, { token }) => ({ ...load, headers: [`Authorization: Bearer ${token}`] }), nginx: same },
  alike('POST of 4 KB', (load) => ({ ...load, script })),
  alike('answer of 10 KB', (load) => withPath(load, `${AREA}10k`)),
  alike('answer of 1 MB', (load) => withPath(load, `${AREA}1m`)),
  refusal('refused: a wrong key', 401, (load) => ({ ...load, headers: ['X-Api-Key: of-nobody'] })),
  refusal('refused: the app is over its limit', 429, (load, { spentKey }) => ({ ...load, headers: [`X-Api-Key: ${spentKey}`] })),
];

/** Where wrk's script stands that posts. */
export function postScript(folder: string): string {
  const file = join(folder, 'post.lua');
  writeFileSync(file, `wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/octet-stream"\nwrk.body = string.rep("tide", ${POSTED_BYTES / 4})\n`);
  return file;
}

const newKey = (): string => randomBytes(24).toString('base64url');
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Everything on, as it is elsewhere, with more apps. */
export function scenarioPeer(): { readonly peer: Peer; readonly credentials: Credentials } {
  const secret = newKey();
  const credentials = { key: newKey(), spentKey: newKey(), token: signedToken('partner', secret) };
  const peer: Peer = {
    name: EVERYTHING_ON,
    missing: () => null,
    start: (context) => {
      const { limits, app } = everythingFor(credentials.key);
      const apps = [
        app,
        { ...app, name: 'partner', keys: [], jwt: { algorithm: 'HS256', secret } },
        { ...app, name: 'spent', keys: [{ id: 'k1', sha256: sha256(credentials.spentKey) }], limits: { ...app.limits, qpd: 1 } },
      ];
      // all of them are of one address
      const listeners = { http: { address: `127.0.0.1:${context.port}`, limits: { connections_per_client: IDLE_CONNECTIONS + MANY_CONNECTIONS } } };
      return startNode('scenarios', context, ['api_key', 'jwt'], { limits, apps, listeners }, [`X-Api-Key: ${credentials.key}`]);
    },
  };
  return { peer, credentials };
}

/** A JWT of the app, HS256, good for two hours. */
function signedToken(app: string, secret: string): string {
  const piece = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${piece({ alg: 'HS256', typ: 'JWT' })}.${piece({ iss: app, sub: 'user-17', exp: Math.floor(Date.now() / 1000) + TOKEN_SECONDS })}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

/** Resolves when the load is answered as it is to be, body and all; the first request of a day is let through. @throws Error: it never is */
export async function answeredWith(status: number, load: Load): Promise<void> {
  await eventually(`${status} from ${load.url}`, async () => {
    const post = load.script === null ? {} : { method: 'POST', body: 'tide' };
    const answer = await fetch(load.url, { ...post, headers: headerFields(load.headers) });
    await answer.arrayBuffer();
    if (answer.status !== status) throw new Error(String(answer.status));
    return true;
  }, 5000);
}

export const loadsOf = ({ own, nginx }: Scenario, [tidegate, proxy]: readonly [RunningPeer, RunningPeer], credentials: Credentials): readonly [Load, Load] =>
  [own(smallGet(tidegate), credentials), nginx(smallGet(proxy))];
