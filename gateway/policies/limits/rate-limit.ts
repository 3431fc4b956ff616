import type { AppConfig, RouteConfig, ServiceConfig, Config } from '../../config/schema.js';
import { refusal, type Policy, type PolicyExchange, type Refusal } from '../../exchange.js';
import type { LimitKey } from '../../supervisor/protocol.js';
import { appRate, GATEWAY_RATE, routeRate, serviceRate } from './keys.js';
import type { AskResult, LeaseBook } from './lease-book.js';

export const LEDGER_UNAVAILABLE = refusal('ledger_unavailable', 'ledger_unavailable', 'the limit could not be asked for in time');

export interface RateLimitScope {
  readonly gateway: Config['limits'];
  readonly service: ServiceConfig;
  readonly route: RouteConfig;
  /** Apps that may come by this route; [] where it is open to all. */
  readonly apps: readonly AppConfig[];
}

/**
 * QPS of the gateway, the service, the route and the app: one unit of each, in this order; what was taken is given back if a later one
 * refuses. Null if none of them is limited. Makes no promise while units are held.
 */
export function rateLimitPolicy(scope: RateLimitScope, leases: LeaseBook): Policy | null {
  const keys: LimitKey[] = [];
  if (scope.gateway.qps !== undefined) keys.push(GATEWAY_RATE);
  if (scope.service.limits.qps !== undefined) keys.push(serviceRate(scope.service.name));
  if (scope.route.limits.qps !== undefined) keys.push(routeRate(scope.service.name, scope.route.name));
  const apps = appKeys(scope.apps);
  if (keys.length === 0 && apps.size === 0) return null;
  const limit = new RateLimit(keys, apps, leases);
  return (exchange) => limit.takeFrom(exchange, 0);
}

/** The request was refused by a later policy: its units go back. */
export function giveBackRates(exchange: PolicyExchange, leases: LeaseBook): void {
  const { route, app, snapshot } = exchange;
  if (snapshot.config.limits.qps !== undefined) leases.giveBack(GATEWAY_RATE);
  if (route.service.config?.limits.qps !== undefined) leases.giveBack(serviceRate(route.service.name));
  if (route.config?.limits.qps !== undefined) leases.giveBack(routeRate(route.service.name, route.name));
  if (app !== null && app.config.limits.qps !== undefined) leases.giveBack(appRate(app.name));
}

class RateLimit {
  readonly #keys: readonly LimitKey[];
  readonly #apps: ReadonlyMap<string, LimitKey>;
  readonly #leases: LeaseBook;
  readonly #refusals: readonly Refusal[];
  readonly #appRefusal = limited('the app');

  constructor(keys: readonly LimitKey[], apps: ReadonlyMap<string, LimitKey>, leases: LeaseBook) {
    this.#keys = keys;
    this.#apps = apps;
    this.#leases = leases;
    this.#refusals = keys.map((key) => limited(key === GATEWAY_RATE ? 'the gateway' : key.startsWith('qps:service:') ? 'the service' : 'the route'));
  }

  /** Takes from limit number `from` on; the app's is the last. */
  takeFrom(exchange: PolicyExchange, from: number): Refusal | null | Promise<Refusal | null> {
    const count = this.#keys.length;
    for (let i = from; i < count; i++) {
      const key = this.#keys[i] as LimitKey;
      const result = this.#leases.tryTake(key, exchange.timeMs);
      if (result === 'ask') return this.#wait(exchange, key, i);
      if (result !== 'taken') return this.#refuse(exchange, key, i, result);
      if (i === count - 1) exchange.limitAnswer = this.#leases.answer(key, exchange.timeMs);
    }
    const { app } = exchange;
    const key = app === null || from > count ? undefined : this.#apps.get(app.name);
    if (key === undefined) return null;
    const result = this.#leases.tryTake(key, exchange.timeMs);
    if (result === 'ask') return this.#wait(exchange, key, count);
    if (result !== 'taken') return this.#refuse(exchange, key, count, result);
    exchange.limitAnswer = this.#leases.answer(key, exchange.timeMs);
    return null;
  }

  async #wait(exchange: PolicyExchange, key: LimitKey, index: number): Promise<Refusal | null> {
    const result = await this.#leases.ask(key);
    if (result !== 'taken') return this.#refuse(exchange, key, index, result);
    exchange.limitAnswer = this.#leases.answer(key, exchange.timeMs);
    return this.takeFrom(exchange, index + 1);
  }

  #refuse(exchange: PolicyExchange, key: LimitKey, index: number, result: Exclude<AskResult, 'taken'>): Refusal {
    for (let i = 0; i < index; i++) this.#leases.giveBack(this.#keys[i] as LimitKey);
    if (result === 'unavailable') return LEDGER_UNAVAILABLE;
    exchange.limitAnswer = this.#leases.answer(key, exchange.timeMs);
    return this.#refusals[index] ?? this.#appRefusal;
  }
}

function limited(whose: string): Refusal {
  return refusal('rate_limited', 'rate_limited', `the QPS limit of ${whose} is reached`, 'rate_limit');
}

/** A configuration's apps are one array, whatever the number of routes. */
const keysByApps = new WeakMap<readonly AppConfig[], ReadonlyMap<string, LimitKey>>();

function appKeys(apps: readonly AppConfig[]): ReadonlyMap<string, LimitKey> {
  const known = keysByApps.get(apps);
  if (known !== undefined) return known;
  const keys = new Map<string, LimitKey>();
  for (const app of apps) if (app.limits.qps !== undefined) keys.set(app.name, appRate(app.name));
  keysByApps.set(apps, keys);
  return keys;
}
