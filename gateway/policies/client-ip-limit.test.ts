import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PolicyExchange } from '../exchange.js';
import { ClientIpTable, clientIpLimitPolicy, type ClientIpRateConfig } from './client-ip-limit.js';

const START = 1_795_000_000_000;
const exchangeAt = (clientAddress: string, timeMs: number): PolicyExchange => ({ clientAddress, timeMs, limitAnswer: null }) as unknown as PolicyExchange;

/** How many of `count` requests at each of `times` pass. */
function passing(table: ClientIpTable, rate: ClientIpRateConfig, address: string, times: readonly number[], name = 'gateway'): number {
  const policy = clientIpLimitPolicy(name, rate, table);
  assert.ok(policy !== null);
  return times.filter((time) => policy(exchangeAt(address, START + time)) === null).length;
}
const times = (from: number, to: number, step: number): number[] => Array.from({ length: Math.ceil((to - from) / step) }, (_, i) => from + i * step);
const atOnce = (count: number, at = 0): number[] => Array<number>(count).fill(at);

test('lets exactly the burst through at once, then the rate', () => {
  assert.equal(passing(new ClientIpTable(), { qps: 50, burst: 150 }, '1.2.3.4', atOnce(1000)), 150);
  assert.equal(passing(new ClientIpTable(), { qps: 50 }, '1.2.3.4', atOnce(1000)), 50);
  for (let qps = 1; qps < 3000; qps += 7) assert.equal(passing(new ClientIpTable(8), { qps }, '1.2.3.4', atOnce(qps + 5, 1_000_000_000)), qps, String(qps));
  for (const qps of [1, 3, 7, 50, 333, 999]) {
    assert.equal(passing(new ClientIpTable(), { qps, burst: 10 }, '1.2.3.4', times(0, 10_000, 0.5)), 10 + Math.floor((9999.5 * qps) / 1000), String(qps));
  }
});

test('refused requests cost nothing: who slows down gets through again', () => {
  const table = new ClientIpTable();
  const rate = { qps: 10, burst: 1 };
  assert.equal(passing(table, rate, '1.2.3.4', times(0, 10_000, 1)), 100);
  assert.equal(passing(table, rate, '1.2.3.4', times(10_100, 20_000, 100)), 99);
});

test('says what is left and when to come back', () => {
  const policy = clientIpLimitPolicy('gateway', { qps: 1, burst: 3 }, new ClientIpTable());
  assert.ok(policy !== null);
  const answers = [0, 0, 500, 500].map((time) => {
    const exchange = exchangeAt('1.2.3.4', START + time);
    const refusal = policy(exchange);
    assert.ok(!(refusal instanceof Promise));
    return [refusal?.code ?? null, exchange.limitAnswer];
  });
  const answer = (remaining: number, resetSeconds: number): unknown => ({ policy: 'client-ip', limit: 1, windowSeconds: 1, remaining, resetSeconds });
  assert.deepEqual(answers, [[null, answer(2, 1)], [null, answer(1, 2)], [null, answer(0, 3)], ['rate_limited', answer(0, 1)]]);
});

test('an IPv6 client is its /64; ::ffff: is IPv4; each address stands alone', () => {
  const table = new ClientIpTable();
  const rate = { qps: 5 };
  assert.equal(passing(table, rate, '2001:db8:1:2::1', atOnce(3)), 3);
  assert.equal(passing(table, rate, '2001:db8:1:2:ffff::9', atOnce(10)), 2);
  assert.equal(passing(table, rate, '2001:db8:1:3::1', atOnce(10)), 5);
  assert.equal(passing(table, rate, '1.2.3.4', atOnce(3)), 3);
  assert.equal(passing(table, rate, '::ffff:1.2.3.4', atOnce(10)), 2);
  assert.equal(passing(table, rate, '::1', atOnce(10)), 5);
  assert.equal(passing(table, rate, 'nonsense', atOnce(10)), 5);
  assert.equal(passing(table, rate, '', atOnce(10)), 0);
});

test('an edited limit takes effect at once and resets nothing', () => {
  const table = new ClientIpTable();
  assert.equal(passing(table, { qps: 10, burst: 100 }, '1.2.3.4', atOnce(100)), 100);
  assert.equal(passing(table, { qps: 10, burst: 100 }, '1.2.3.4', atOnce(10)), 0);
  assert.equal(passing(table, { qps: 10, burst: 120 }, '1.2.3.4', atOnce(100)), 20);
  assert.equal(passing(table, { qps: 10, burst: 5 }, '1.2.3.4', times(0, 1000, 10)), 9);
});

test('each limit has its own debts', () => {
  const table = new ClientIpTable(8);
  assert.equal(passing(table, { qps: 10 }, '1.2.3.4', atOnce(8)), 8);
  assert.equal(passing(table, { qps: 100 }, '1.2.3.4', atOnce(500), 'service:a'), 100);
  assert.equal(passing(table, { qps: 10 }, '1.2.3.4', atOnce(8)), 2);
});

test('a clock that steps back shuts nobody out', () => {
  const table = new ClientIpTable();
  assert.equal(passing(table, { qps: 10 }, '1.2.3.4', atOnce(100, 3_600_000)), 10);
  assert.equal(passing(table, { qps: 10 }, '1.2.3.4', times(1, 2001, 1)), 19);
});

test('a million addresses take no more memory, and the one that floods among them is held', () => {
  const table = new ClientIpTable();
  const policy = clientIpLimitPolicy('gateway', { qps: 50, burst: 150 }, table);
  assert.ok(policy !== null);
  const before = process.memoryUsage().arrayBuffers;
  let refused = 0;
  let floodPassed = 0;
  for (let i = 0; i < 1_000_000; i++) {
    // 50,000 requests a second for 20 s, each of another address, and one that sends as many again.
    const timeMs = START + Math.floor(i / 50);
    const address = i % 2 === 0 ? `10.${i >>> 16}.${(i >>> 8) & 255}.${i & 255}` : `2001:db8:${(i >>> 16).toString(16)}:${(i & 0xffff).toString(16)}::1`;
    if (policy(exchangeAt(address, timeMs)) !== null) refused++;
    if (policy(exchangeAt('203.0.113.9', timeMs)) === null) floodPassed++;
  }
  assert.equal(refused, 0);
  assert.equal(floodPassed, 150 + 50 * 20 - 1);
  assert.equal(table.bytes, 1_310_720);
  assert.ok(process.memoryUsage().arrayBuffers - before < 1_000_000);
});

test('when a set is full of debtors the one who owes least gives way', () => {
  const table = new ClientIpTable(8);
  for (let i = 1; i <= 8; i++) assert.equal(passing(table, { qps: 10 }, `10.0.0.${i}`, atOnce(i)), i);
  assert.equal(passing(table, { qps: 10 }, '10.0.0.9', atOnce(20)), 10);
  assert.equal(passing(table, { qps: 10 }, '10.0.0.8', atOnce(20)), 2);
  assert.equal(passing(table, { qps: 10 }, '10.0.0.1', atOnce(20)), 10);
});

test('without a limit there is no policy', () => {
  assert.equal(clientIpLimitPolicy('gateway', undefined, new ClientIpTable()), null);
});
