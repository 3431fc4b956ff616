/** What the product is configured with: one service that keeps paths, and apps with limits and without. */
import { createHash } from 'node:crypto';
import type { PlannedRequest } from './conversation.js';
import type { SeededRandom } from './seeded-random.js';

export const TOKEN = 'checker-operator-token-0123456789abcdef';
const APPS = ['plain', 'other', 'limited'] as const;
/** Of the app that is refused now and then. */
const LIMITED_QPS = 2;

export type Keys = Readonly<Record<PlannedRequest['caller'], string>>;

export function keysOf(random: SeededRandom): Keys {
  const key = (name: string): string => `key-${name}-${random.fork(`key ${name}`).integer(0, 0xffff_ffff).toString(16)}-0123456789abcdef`;
  return { plain: key('plain'), other: key('other'), limited: key('limited'), nobody: key('nobody') };
}

export function services(upstreamUrl: string): readonly object[] {
  return [{
    name: 'checked', record_path: 'full', upstream: { targets: [{ url: upstreamUrl }], timeouts: { connect: '2s', headers: '10s', idle: '20s' } },
    routes: [{ name: 'all', match: { path: '/c/*' }, authentication: ['api_key'] }],
  }];
}

export function apps(keys: Keys): readonly object[] {
  return APPS.map((name) => ({
    name, services: ['checked'], keys: [{ id: 'k', sha256: createHash('sha256').update(keys[name]).digest('hex') }],
    limits: name === 'limited' ? { qps: LIMITED_QPS } : name === 'other' ? { qpd: 100_000_000 } : {},
  }));
}
