import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AppConfig, Config } from '../../config/schema.js';
import { refusal as refusedAs, type PolicyExchange } from '../../exchange.js';
import type { LeaseGrant, WorkerMessage } from '../../supervisor/protocol.js';
import { dailyQuotaPolicy } from './daily-quota.js';
import { LeaseBook } from './lease-book.js';
import { rateLimitPolicy, type RateLimitScope } from './rate-limit.js';

const DAY_START = Date.parse('2026-11-21T00:00:00Z');
const DAY_END = Date.parse('2026-11-22T00:00:00Z');
const DAY = 'qpd:app:a:2026-11-21';

type Limits = Readonly<Partial<Record<'gateway' | 'service' | 'route', number>>> & { readonly app?: AppConfig['limits'] };

/** A lease book whose ledger grants from the numbers given, once each. */
class Bench {
  readonly asked: string[] = [];
  readonly book: LeaseBook;
  readonly apps: AppConfig[];
  readonly #config: Config;
  readonly #scope: RateLimitScope;
  /** Its turns of the event loop; null: the ledger is silent. */
  readonly #grants: Readonly<Record<string, number>> | null;
  nowMs = 0;

  constructor(limits: Limits, grants: Readonly<Record<string, number>> | null) {
    this.#grants = grants;
    this.apps = [{ name: 'a', limits: limits.app ?? {} } as unknown as AppConfig];
    const rate = (qps: number | undefined): { qps?: number } => qps === undefined ? {} : { qps };
    this.#config = {
      limits: rate(limits.gateway), apps: this.apps,
      services: [{ name: 's', limits: rate(limits.service), routes: [{ name: 'r', limits: rate(limits.route) }] }],
    } as unknown as Config;
    const service = this.#config.services[0] as RateLimitScope['service'];
    this.#scope = { gateway: this.#config.limits, service, route: service.routes[0] as RateLimitScope['route'], apps: this.apps };
    this.book = new LeaseBook({
      send: (message) => { this.#answer(message); }, clock: { wallMs: () => 0, monotonicMs: () => this.nowMs },
      lastWrittenSeq: () => -1, defer: (flush) => { queueMicrotask(flush); },
    });
    this.book.connected();
  }

  #answer(message: WorkerMessage): void {
    if (message.type !== 'lease' || this.#grants === null) return;
    const grants = message.wants.map(({ key }): LeaseGrant => {
      const granted = this.asked.includes(key) ? 0 : this.#grants?.[key] ?? 0;
      this.asked.push(key);
      const quota = key.startsWith('qpd:');
      return {
        key: quota ? DAY : key, granted, remaining: 0, limit: 100, retryAfterMs: granted > 0 ? 0 : 2000,
        burst: quota ? 0 : 100, dayStartMs: quota ? DAY_START : 0, dayEndMs: quota ? DAY_END : 0,
      };
    });
    queueMicrotask(() => { this.book.onGranted({ type: 'granted', id: message.id, grants }); });
  }

  exchange(timeMs = DAY_START + 1): PolicyExchange {
    return {
      timeMs, app: { name: 'a', config: this.apps[0] }, limitAnswer: null, quotaKey: null, snapshot: { config: this.#config },
      route: { name: 'r', config: this.#scope.route, service: { name: 's', config: this.#scope.service } },
    } as unknown as PolicyExchange;
  }

  get rates(): NonNullable<ReturnType<typeof rateLimitPolicy>> {
    const policy = rateLimitPolicy(this.#scope, this.book);
    assert.ok(policy !== null);
    return policy;
  }

  get quota(): NonNullable<ReturnType<typeof dailyQuotaPolicy>> {
    const policy = dailyQuotaPolicy(this.apps, this.book);
    assert.ok(policy !== null);
    return policy;
  }

  held(): Record<string, number> {
    return Object.fromEntries(this.book.holdings().map(({ key, held }) => [key, held]));
  }
}

test('no limits, no policies', () => {
  const bench = new Bench({}, {});
  const service = { name: 's', limits: {} } as unknown as RateLimitScope['service'];
  assert.equal(rateLimitPolicy({ gateway: {}, service, route: { name: 'r', limits: {} } as unknown as RateLimitScope['route'], apps: bench.apps }, bench.book), null);
  assert.equal(dailyQuotaPolicy(bench.apps, bench.book), null);
});

test('while units are held a request passes without a promise, taking one of each limit', async () => {
  const bench = new Bench({ gateway: 9, service: 9, route: 9, app: { qps: 9 } }, { 'qps:gateway': 9, 'qps:service:s': 8, 'qps:route:s/r': 7, 'qps:app:a': 6 });
  assert.equal(await bench.rates(bench.exchange()), null);
  const exchange = bench.exchange();
  assert.equal(bench.rates(exchange), null);
  assert.deepEqual(bench.held(), { 'qps:gateway': 7, 'qps:service:s': 6, 'qps:route:s/r': 5, 'qps:app:a': 4 });
  assert.equal(exchange.limitAnswer?.policy, 'app-qps');
  assert.deepEqual({ ...exchange.limitAnswer }, { policy: 'app-qps', limit: 100, windowSeconds: 1, remaining: 4, resetSeconds: 1 });
});

test('a later limit refuses: earlier units come back, and the answer is the refusing limit\'s', async () => {
  const bench = new Bench({ gateway: 9, service: 9, app: { qps: 9 } }, { 'qps:gateway': 5, 'qps:service:s': 5, 'qps:app:a': 1 });
  assert.equal(await bench.rates(bench.exchange()), null);
  for (const again of [await bench.rates(bench.exchange()), bench.rates(bench.exchange())]) assert.equal((again as { code: string }).code, 'rate_limited');
  const exchange = bench.exchange();
  const refusal = bench.rates(exchange);
  assert.deepEqual(refusal, refusedAs('rate_limited', 'rate_limited', 'the QPS limit of the app is reached', 'rate_limit'));
  assert.deepEqual([exchange.limitAnswer?.policy, exchange.limitAnswer?.remaining, exchange.limitAnswer?.resetSeconds], ['app-qps', 0, 2]);
  assert.deepEqual(bench.held(), { 'qps:gateway': 4, 'qps:service:s': 4 });
});

test('a silent ledger: ledger_unavailable, and nothing is kept', async () => {
  const bench = new Bench({ gateway: 9 }, null);
  const verdict = bench.rates(bench.exchange());
  bench.nowMs = 1000;
  bench.book.tick();
  assert.equal((await verdict)?.code, 'ledger_unavailable');
});

test('a daily quota names its unit\'s key and keeps the request\'s moment in its day', async () => {
  const bench = new Bench({ app: { qpd: 100 } }, { 'qpd:app:a': 9 });
  const late = bench.exchange(DAY_END + 5);
  assert.equal(await bench.quota(late), null);
  assert.deepEqual([late.quotaKey, late.timeMs], [DAY, DAY_END - 1]);
  const early = bench.exchange(DAY_START - 5);
  assert.equal(bench.quota(early), null);
  assert.deepEqual([early.quotaKey, early.timeMs], [DAY, DAY_START]);
  assert.deepEqual({ ...early.limitAnswer }, { policy: 'app-qpd', limit: 100, windowSeconds: 86_400, remaining: 7, resetSeconds: 86_400 });
});

test('an exhausted quota refuses, and the rates\' units come back', async () => {
  const bench = new Bench({ gateway: 9, app: { qps: 9, qpd: { limit: 1, over: 'refuse' } } }, { 'qps:gateway': 5, 'qps:app:a': 5, 'qpd:app:a': 1 });
  assert.equal(await bench.rates(bench.exchange()), null);
  assert.equal(await bench.quota(bench.exchange()), null);
  assert.equal(bench.rates(bench.exchange()), null);
  const exchange = bench.exchange();
  const refusal = await bench.quota(exchange);
  assert.equal(refusal?.code, 'quota_exhausted');
  assert.equal(refusal?.outcome, 'quota_exhausted');
  assert.equal(exchange.quotaKey, null);
  assert.deepEqual(bench.held(), { 'qps:gateway': 4, 'qps:app:a': 4, [DAY]: 1 });
});

test('an app whose overage is billed is never refused and holds no lease', () => {
  const bench = new Bench({ app: { qpd: { limit: 1, over: 'bill' } } }, {});
  assert.equal(dailyQuotaPolicy(bench.apps, bench.book), null);
});
