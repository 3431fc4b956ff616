/**
 * Names of limits, as workers and ledger know them. Names of services, routes and apps hold no colon (schema), so no two limits share a key.
 *
 *   qps:gateway   qps:service:S   qps:route:S/R   qps:app:A   rates
 *   qpd:app:A                                                 the app's quota of today: what a worker asks for; only the ledger knows which day that is
 *   qpd:app:A:2026-11-21                                      the app's quota of that day: what is granted, used, given back
 */
import type { LimitKey } from '../../supervisor/protocol.js';

export const GATEWAY_RATE: LimitKey = 'qps:gateway';
export const serviceRate = (service: string): LimitKey => `qps:service:${service}`;
export const routeRate = (service: string, route: string): LimitKey => `qps:route:${service}/${route}`;
export const appRate = (app: string): LimitKey => `qps:app:${app}`;

const QUOTA = 'qpd:app:';
export const appQuota = (app: string): LimitKey => QUOTA + app;
export const quotaOfDay = (app: string, day: string): LimitKey => `${QUOTA}${app}:${day}`;

export const isQuota = (key: LimitKey): boolean => key.startsWith(QUOTA);

/** The app of a quota's key, dated or not. */
export function quotaApp(key: LimitKey): string {
  const colon = key.indexOf(':', QUOTA.length);
  return colon === -1 ? key.slice(QUOTA.length) : key.slice(QUOTA.length, colon);
}

/** The name that the limit has in RateLimit and RateLimit-Policy: `app-qps`, `app-qpd`, `service-qps`, `route-qps`, `gateway-qps`. */
export function policyName(key: LimitKey): string {
  if (isQuota(key)) return 'app-qpd';
  if (key.startsWith('qps:app:')) return 'app-qps';
  if (key.startsWith('qps:service:')) return 'service-qps';
  if (key.startsWith('qps:route:')) return 'route-qps';
  return 'gateway-qps';
}
