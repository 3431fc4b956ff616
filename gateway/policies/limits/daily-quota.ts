import type { AppConfig } from '../../config/schema.js';
import { refusal, type Policy, type PolicyExchange, type Refusal } from '../../exchange.js';
import type { LimitKey } from '../../supervisor/protocol.js';
import { appQuota } from './keys.js';
import type { AskResult, LeaseBook } from './lease-book.js';
import { giveBackRates, LEDGER_UNAVAILABLE } from './rate-limit.js';

const QUOTA_EXHAUSTED = refusal('quota_exhausted', 'quota_exhausted', 'the app has used up its requests of today', 'daily_quota');

/**
 * QPD of the app: takes a unit of today's, says in `quotaKey` which, and moves the request's moment into the day that the unit is of: the ledger alone
 * turns the day. Whoever ends the request owes the book `recorded(quotaKey)` once a row that counts is in the spool, or `giveBack(quotaKey)`.
 * Apps without a quota, and those whose overage is billed, pass: nothing is ever refused to them, so nothing needs to be lent. Null if all apps are so.
 */
export function dailyQuotaPolicy(apps: readonly AppConfig[], leases: LeaseBook): Policy | null {
  const keys = quotaKeys(apps);
  if (keys.size === 0) return null;
  return (exchange) => {
    const { app } = exchange;
    const key = app === null ? undefined : keys.get(app.name);
    if (key === undefined) return null;
    const result = leases.tryTake(key, exchange.timeMs);
    if (result === 'ask') return wait(exchange, key, leases);
    return result === 'taken' ? admit(exchange, key, leases) : refuse(exchange, key, leases, result);
  };
}

async function wait(exchange: PolicyExchange, key: LimitKey, leases: LeaseBook): Promise<Refusal | null> {
  const result = await leases.ask(key);
  return result === 'taken' ? admit(exchange, key, leases) : refuse(exchange, key, leases, result);
}

function admit(exchange: PolicyExchange, key: LimitKey, leases: LeaseBook): null {
  const day = leases.today(key);
  if (day !== null) {
    exchange.quotaKey = day.key;
    if (exchange.timeMs < day.dayStartMs) exchange.timeMs = day.dayStartMs;
    else if (exchange.timeMs >= day.dayEndMs) exchange.timeMs = day.dayEndMs - 1;
  }
  exchange.limitAnswer = leases.answer(key, exchange.timeMs);
  return null;
}

function refuse(exchange: PolicyExchange, key: LimitKey, leases: LeaseBook, result: Exclude<AskResult, 'taken'>): Refusal {
  giveBackRates(exchange, leases);
  if (result === 'unavailable') return LEDGER_UNAVAILABLE;
  exchange.limitAnswer = leases.answer(key, exchange.timeMs);
  return QUOTA_EXHAUSTED;
}

/** A configuration's apps are one array, whatever the number of routes. */
const keysByApps = new WeakMap<readonly AppConfig[], ReadonlyMap<string, LimitKey>>();

function quotaKeys(apps: readonly AppConfig[]): ReadonlyMap<string, LimitKey> {
  const known = keysByApps.get(apps);
  if (known !== undefined) return known;
  const keys = new Map<string, LimitKey>();
  for (const app of apps) {
    const { qpd } = app.limits;
    if (qpd !== undefined && (typeof qpd === 'number' || qpd.over === 'refuse')) keys.set(app.name, appQuota(app.name));
  }
  keysByApps.set(apps, keys);
  return keys;
}
