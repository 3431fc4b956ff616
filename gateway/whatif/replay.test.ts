import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Config } from '../config/schema.js';
import { ERASED } from '../events/event.js';
import { OUTCOMES, type Outcome } from '../events/outcomes.js';
import { Replay, type RecordedRequest } from './replay.js';
import { rulesOf, type LimitRules } from './rules.js';

const T0 = Date.parse('2026-11-21T10:00:00Z');

interface Given {
  readonly gateway?: object;
  readonly service?: object;
  readonly route?: object;
  readonly apps?: Readonly<Record<string, object>>;
  readonly zone?: string;
  readonly services?: readonly string[];
  readonly outcomes?: object;
}

/** Service `s` with the routes `r`, and `open`, which is open to all. */
function rules({ gateway = {}, service = {}, route = {}, apps = { a: {} }, zone = 'UTC', services = ['s'], outcomes = {} }: Given): LimitRules {
  const config = {
    limits: gateway,
    services: [{ name: 's', limits: service, outcomes, routes: [{ name: 'r', limits: route, authentication: ['api_key'] }, { name: 'open', limits: {}, authentication: [] }] }],
    apps: Object.entries(apps).map(([name, limits]) => ({ name, limits, services, time_zone: zone })),
  };
  return rulesOf(config as unknown as Config, 'v');
}

function request(timeMs: number, more: Partial<RecordedRequest> = {}): RecordedRequest {
  return { timeMs, durationUs: 1000, app: 'a', service: 's', route: 'r', outcome: 'answered', ...more };
}

const replay = (given: Given, before = 0): Replay => new Replay(rules(given), T0, () => before);
const times = (count: number, from = T0, stepMs = 0): number[] => Array.from({ length: count }, (_, i) => from + i * stepMs);

test('a quota refuses the request after the last one, and not the last one', () => {
  const run = replay({ apps: { a: { qpd: 3 } } });
  assert.deepEqual(times(5).map((at) => run.take(request(at))), ['admitted', 'admitted', 'admitted', 'quota_exhausted', 'quota_exhausted']);
  assert.deepEqual(run.totals(), { requests: 5, admitted: 3, refused: { quota_exhausted: 2 }, newly_refused: { quota_exhausted: 2 }, newly_admitted: {}, as_recorded: {} });
});

test('what was counted of the day before the range is not there any more', () => {
  const run = replay({ apps: { a: { qpd: 3 } } }, 2);
  assert.deepEqual(times(2).map((at) => run.take(request(at))), ['admitted', 'quota_exhausted']);
});

test('a day turns in the app\'s own zone, where it has 25 hours too', () => {
  // 2026-11-01 in New York: 04:00Z to 05:00Z the next day
  const fromMs = Date.parse('2026-11-01T12:00:00Z');
  const run = new Replay(rules({ apps: { a: { qpd: 1 } }, zone: 'America/New_York' }), fromMs, () => 1);
  const at = (time: string) => run.take(request(Date.parse(time)));
  assert.equal(at('2026-11-02T04:59:59.999Z'), 'quota_exhausted');
  assert.equal(at('2026-11-02T05:00:00Z'), 'admitted');
  assert.equal(at('2026-11-03T04:59:59.999Z'), 'quota_exhausted');
  assert.equal(at('2026-11-03T05:00:00Z'), 'admitted');
});

test('a quota that bills what is over it refuses nothing', () => {
  const run = replay({ apps: { a: { qpd: { limit: 1, over: 'bill' } } } });
  assert.ok(times(10).every((at) => run.take(request(at)) === 'admitted'));
});

test('a burst comes at once, then as many as the rate mints', () => {
  const run = replay({ apps: { a: { qps: 2, burst: 3 } } });
  assert.deepEqual(times(4).map((at) => run.take(request(at))), ['admitted', 'admitted', 'admitted', 'rate_limited']);
  assert.equal(run.take(request(T0 + 499)), 'rate_limited');
  assert.equal(run.take(request(T0 + 500)), 'admitted');
  assert.equal(run.take(request(T0 + 501)), 'rate_limited');
  assert.deepEqual(run.limits(), [{ key: 'qps:app:a', refused: 3, at_most: 6 }]);
});

test('what a rate refuses does not count against the quota', () => {
  const run = replay({ apps: { a: { qps: 1, qpd: 2 } } });
  assert.deepEqual([0, 0, 1000, 2000].map((ms) => run.take(request(T0 + ms))), ['admitted', 'rate_limited', 'admitted', 'quota_exhausted']);
});

test('what a quota refuses, or the app\'s rate, leaves the service its units', () => {
  const quota = replay({ service: { qps: 1, burst: 2 }, apps: { a: { qpd: 0 }, b: {} } });
  assert.deepEqual(times(5).map((at) => quota.take(request(at))), times(5).map(() => 'quota_exhausted'));
  assert.deepEqual(times(3).map((at) => quota.take(request(at, { app: 'b' }))), ['admitted', 'admitted', 'rate_limited']);
  const rate = replay({ service: { qps: 1, burst: 3 }, apps: { a: { qps: 1 }, b: {} } });
  assert.deepEqual(times(5).map((at) => rate.take(request(at))), ['admitted', 'rate_limited', 'rate_limited', 'rate_limited', 'rate_limited']);
  assert.deepEqual(times(3).map((at) => rate.take(request(at, { app: 'b' }))), ['admitted', 'admitted', 'rate_limited']);
});

test('gateway, service and route limit apps together, and who comes by an open route', () => {
  for (const given of [{ gateway: { qps: 1 } }, { service: { qps: 1 } }]) {
    const run = replay({ ...given, apps: { a: {}, b: {} } });
    assert.deepEqual([run.take(request(T0)), run.take(request(T0, { app: 'b' })), run.take(request(T0, { app: '', route: 'open' }))], ['admitted', 'rate_limited', 'rate_limited']);
  }
  const run = replay({ route: { qps: 1 }, apps: { a: {}, b: {} } });
  assert.deepEqual([run.take(request(T0)), run.take(request(T0, { app: 'b' })), run.take(request(T0, { app: '', route: 'open' }))], ['admitted', 'rate_limited', 'admitted']);
});

test('an app that is gone, a service it may not call any more, a route that is gone', () => {
  const run = replay({ apps: { a: {}, b: {} }, services: [] });
  assert.equal(run.take(request(T0, { app: 'gone' })), 'unauthenticated');
  assert.equal(run.take(request(T0)), 'forbidden');
  assert.equal(run.take(request(T0, { route: 'gone' })), 'route_not_found');
  assert.equal(run.take(request(T0, { service: 'gone', app: '' })), 'route_not_found');
  // nobody asks there who it is
  assert.equal(run.take(request(T0, { app: 'gone', route: 'open' })), 'admitted');
  assert.deepEqual(run.rows().map(({ app, service, route, newly_refused }) => [app, service, route, newly_refused]), [
    ['', 'gone', 'r', { route_not_found: 1 }], ['a', 's', 'gone', { route_not_found: 1 }], ['a', 's', 'r', { forbidden: 1 }],
    ['gone', 's', 'open', {}], ['gone', 's', 'r', { unauthenticated: 1 }],
  ]);
});

test('what the rules leave out stays as recorded', () => {
  const run = replay({ apps: { a: { qpd: 0 } } });
  const kept: Partial<RecordedRequest>[] = [
    { outcome: 'route_not_found', service: '', route: '', app: '' }, { outcome: 'unauthenticated', app: '' }, { outcome: 'ip_denied' }, { outcome: 'ledger_unavailable' },
    { outcome: 'malformed_request', app: '' }, { outcome: 'request_timeout', app: '', route: 'open' },
    // an address was refused before anybody asked who it is; the route was open then
    { outcome: 'rate_limited', app: '' }, { outcome: 'answered', app: '' },
  ];
  for (const one of kept) assert.equal(run.take(request(T0, one)), null, JSON.stringify(one));
  assert.equal(run.totals().requests, kept.length);
  assert.deepEqual(run.totals().as_recorded, { route_not_found: 1, unauthenticated: 1, ip_denied: 1, ledger_unavailable: 1, malformed_request: 1, request_timeout: 1, rate_limited: 1, answered: 1 });
});

test('at an open route the rate is asked for what a limit refused, unless it may have been the limit of an address', () => {
  const refused = request(T0, { app: '', route: 'open', outcome: 'rate_limited' });
  assert.equal(replay({}).take(refused), 'admitted');
  assert.equal(replay({ service: { client_ip: { qps: 5 } } }).take(refused), null);
  assert.equal(replay({ gateway: { client_ip: { qps: 5 } } }).take(refused), null);
});

test('what was refused and would be let through counts against quotas: what it would have come to is not known', () => {
  const run = replay({ apps: { a: { qpd: 3 } } });
  const outcomes: Outcome[] = ['forbidden', 'rate_limited', 'quota_exhausted', 'quota_exhausted'];
  assert.deepEqual(outcomes.map((outcome) => run.take(request(T0, { outcome }))), ['admitted', 'admitted', 'admitted', 'quota_exhausted']);
  assert.deepEqual(run.totals(), { requests: 4, admitted: 3, refused: { quota_exhausted: 1 }, newly_refused: {}, newly_admitted: { forbidden: 1, rate_limited: 1, quota_exhausted: 1 }, as_recorded: {} });
});

test('a unit of a request that does not count is out while it is under way, and back then', () => {
  const run = replay({ apps: { a: { qpd: 1 } } });
  assert.equal(run.take(request(T0, { outcome: 'upstream_unavailable', durationUs: 1_000_000 })), 'admitted');
  assert.equal(run.take(request(T0 + 999)), 'quota_exhausted');
  assert.equal(run.take(request(T0 + 1000)), 'admitted');
  assert.equal(run.take(request(T0 + 1001)), 'quota_exhausted');
});

test('a unit of the day before does not come back to today\'s', () => {
  const midnight = Date.parse('2026-11-22T00:00:00Z');
  const run = replay({ apps: { a: { qpd: 1 } } });
  assert.equal(run.take(request(midnight - 10, { outcome: 'upstream_unavailable', durationUs: 1_000_000 })), 'admitted');
  assert.equal(run.take(request(midnight)), 'admitted');
  assert.equal(run.take(request(midnight + 2000)), 'quota_exhausted');
});

test('which outcomes count is the service\'s to say', () => {
  const run = replay({ apps: { a: { qpd: 1 } }, outcomes: { answered: { counted: false } } });
  assert.ok(times(20, T0, 10).every((at) => run.take(request(at)) === 'admitted'));
  assert.equal(OUTCOMES.answered.counted, true);
});

test('requests of an erased app are let through as far as what all share lets them, and take their units of it', () => {
  const run = replay({ service: { qps: 1, burst: 2 }, apps: { a: {} } });
  assert.deepEqual(times(3).map((at) => run.take(request(at, { app: ERASED }))), ['admitted', 'admitted', 'rate_limited']);
  assert.equal(run.take(request(T0)), 'rate_limited');
});
