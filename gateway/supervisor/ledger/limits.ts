import type { Config } from '../../config/schema.js';
import type { WorkerConfig } from '../../config/worker-config.js';
import { appRate, GATEWAY_RATE, routeRate, serviceRate } from '../../policies/limits/keys.js';
import type { LimitKey } from '../protocol.js';

/** Requests a second, and how many may come at once. */
export interface RateLimit {
  readonly qps: number;
  readonly burst: number;
}

/** Requests a day, the day in the app's time zone. */
export interface QuotaLimit {
  readonly limit: number;
  readonly timeZone: string;
}

/** What the ledger holds to: rates by key, quotas by app. Quotas with `over: bill` refuse nothing, and so are not leased. */
export interface Limits {
  readonly rates: ReadonlyMap<LimitKey, RateLimit>;
  readonly quotas: ReadonlyMap<string, QuotaLimit>;
}

/** The schema's `limits` of any level. */
interface RateConfig {
  readonly qps?: number | undefined;
  readonly burst?: number | undefined;
}

export function limitsOf(config: WorkerConfig): Limits {
  const rates = new Map<LimitKey, RateLimit>();
  const quotas = new Map<string, QuotaLimit>();
  const add = (key: LimitKey, { qps, burst }: RateConfig): void => {
    if (qps !== undefined) rates.set(key, { qps, burst: burst ?? qps });
  };
  add(GATEWAY_RATE, config.limits);
  for (const service of config.services) {
    add(serviceRate(service.name), service.limits);
    for (const route of service.routes) add(routeRate(service.name, route.name), route.limits);
  }
  for (const app of config.apps) {
    add(appRate(app.name), app.limits);
    const limit = refusingQuota(app.limits.qpd);
    if (limit !== null) quotas.set(app.name, { limit, timeZone: app.time_zone });
  }
  return { rates, quotas };
}

/** Units a day of a quota that refuses what is over it; null: none, or one that bills it. */
export function refusingQuota(qpd: Config['apps'][number]['limits']['qpd']): number | null {
  if (qpd === undefined) return null;
  if (typeof qpd === 'number') return qpd;
  return qpd.over === 'refuse' ? qpd.limit : null;
}
