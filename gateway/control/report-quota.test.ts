import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MOST_UNDER_WAY, ReportQuota } from './report-quota.js';

/** A query that begins and ends. */
function ask(quota: ReportQuota, asker: string, nowMs: number): boolean {
  const { refused } = quota.enter(asker, nowMs);
  if (refused === null) quota.leave(asker);
  return refused === null;
}

test('as many as a minute allows may come at once, then one each time a part of the minute is over; a refused one costs nothing', () => {
  const quota = new ReportQuota(() => 30);
  assert.deepEqual(Array.from({ length: 31 }, () => ask(quota, 'app:acme', 0)).lastIndexOf(true), 29);
  assert.equal(ask(quota, 'app:acme', 1999), false);
  assert.deepEqual(quota.enter('app:acme', 1500).fields, { policy: 'reports', limit: 30, windowSeconds: 60, remaining: 0, resetSeconds: 0.5 });
  assert.equal(ask(quota, 'app:acme', 2000), true);
  assert.equal(ask(quota, 'app:acme', 2001), false);
  assert.equal(ask(quota, 'app:globex', 2001), true, 'each for itself');
  const minutes = Array.from({ length: 3_600 }, (_, second) => ask(quota, 'app:acme', 60_000 + second * 1000)).filter(Boolean).length;
  assert.equal(minutes, 29 + 1799, 'over an hour of a query a second: what was there, and what came');
});

test('twenty panels that are read every 10 s never meet the default', () => {
  const quota = new ReportQuota(() => 300);
  for (let atMs = 0; atMs < 3_600_000; atMs += 10_000) for (let panel = 0; panel < 20; panel++) assert.ok(ask(quota, 'app:acme', atMs));
});

test('a changed limit holds from the next query on, and nobody waits longer than it says', () => {
  let limit = 10;
  const quota = new ReportQuota(() => limit);
  for (let i = 0; i < 10; i++) ask(quota, 'app:acme', 0);
  limit = 20;
  assert.equal(ask(quota, 'app:acme', 2999), false);
  assert.equal(ask(quota, 'app:acme', 3000), true);
  limit = 1;
  assert.equal(quota.enter('app:acme', 3001).fields.resetSeconds <= 60, true);
});

test('queries under way are bounded too: streams that never end cannot gather', () => {
  const quota = new ReportQuota(() => 1_000_000);
  for (let i = 0; i < MOST_UNDER_WAY; i++) assert.equal(quota.enter('app:acme', 0).refused, null);
  assert.equal(quota.enter('app:acme', 0).refused, 'under_way');
  assert.equal(quota.enter('app:globex', 0).refused, null);
  quota.leave('app:acme');
  assert.equal(quota.enter('app:acme', 0).refused, null);
});

test('askers are forgotten once they owe nothing, but not those with a query under way', () => {
  const quota = new ReportQuota(() => 60);
  for (let i = 0; i < 1000; i++) ask(quota, `app:${i}`, 0);
  quota.enter('app:streams', 0);
  assert.equal(quota.size, 1001);
  ask(quota, 'app:late', 60_000);
  assert.equal(quota.size, 2);
  quota.leave('app:streams');
  ask(quota, 'app:late', 180_000);
  assert.equal(quota.size, 1);
});
