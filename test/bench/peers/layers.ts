/** Tidegate with its policies switched on one after the other. The event and the metrics are always there. */
import { randomBytes } from 'node:crypto';
import { AREA, type Peer } from './peer.js';
import { everythingFor, QPS, startNode } from './tidegate.js';

const key = randomBytes(24).toString('base64url');
const header = [`X-Api-Key: ${key}`];
const { limits, app } = everythingFor(key);
const unlimited = { ...app, limits: {} };
const limited = { ...app, limits: { qps: app.limits.qps } };

/** Each has all that stands above it. */
export const LAYERS: readonly Peer[] = [
  layer('open route, no limits', [], () => ({})),
  layer('+ API key', ['api_key'], () => ({ apps: [unlimited] })),
  layer('+ requests a second of gateway and app', ['api_key'], () => ({ limits, apps: [limited] })),
  layer('+ requests a day of the app', ['api_key'], () => ({ limits, apps: [app] })),
  layer('+ every other limit, address lists, the path kept', ['api_key'], everything),
];

/** `more`: of the configuration, by the upstream. */
function layer(name: string, authentication: readonly string[], more: (upstream: string) => object): Peer {
  return {
    name,
    missing: () => null,
    start: (context) => startNode(name.replaceAll(/[^a-z]+/gi, '-'), context, authentication, more(context.upstream), authentication.length === 0 ? [] : header),
  };
}

/** Limits of service, route and client address, address lists at each level, the path in the event. */
function everything(upstream: string): object {
  const ip = { allow: ['127.0.0.0/8'], deny: ['192.0.2.0/24'] };
  const clientLimits = { qps: QPS, client_ip: { qps: QPS } };
  return {
    limits: clientLimits, ip, apps: [{ ...app, ip }],
    services: [{
      name: 'catalogue', upstream: { targets: [{ url: upstream }] }, limits: clientLimits, ip, record_path: 'full',
      routes: [{ name: 'products', match: { path: `${AREA}*` }, authentication: ['api_key'], limits: { qps: QPS } }],
    }],
  };
}
