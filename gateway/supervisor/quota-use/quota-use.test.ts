import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestRedis } from '../../../test/harness/redis.js';
import { eventually } from '../../../test/harness/deadline.js';
import { requires } from '../../../test/harness/requires.js';
import type { Config } from '../../config/schema.js';
import { QuotaUses, type QuotaUse, type RecordedUse } from './quota-use.js';
import { SharedUse } from './shared-use.js';

/** 23:30 of the day before in New York, 10:00 in Kolkata. */
const NOW_MS = Date.parse('2026-11-21T04:30:00Z');
const config = (clickhouse = ''): Config => ({
  store: { clickhouse: { url: clickhouse } },
  apps: [
    { name: 'acme', time_zone: 'Asia/Kolkata', limits: { qpd: 100 } }, { name: 'globex', time_zone: 'America/New_York', limits: { qpd: { limit: 10, over: 'bill' } } },
    { name: 'free', time_zone: 'UTC', limits: {} },
  ],
} as unknown as Config);
const said = ({ now }: QuotaUses): unknown => now.map(({ app, day, used }: QuotaUse) => [app, day, used]);

test('a quota that refuses is the ledger\'s count, one that is billed over the store\'s, each of its own day', async () => {
  const asked: unknown[] = [];
  const recorded: RecordedUse = (days) => {
    asked.push(days);
    return Promise.resolve(new Map([['globex', 12]]));
  };
  const uses = new QuotaUses({ config, lent: () => [{ key: 'qpd:app:acme:2026-11-21', limit: 100, used: 7, leased: 3 }], recorded, shared: null, nowMs: () => NOW_MS });
  assert.deepEqual(said(uses), [['acme', '2026-11-21', 7], ['globex', '2026-11-20', null]]);
  await uses.refresh(false);
  assert.deepEqual(asked, [], 'nobody looks, and nobody depends on it');
  await uses.refresh(true);
  assert.deepEqual(said(uses), [['acme', '2026-11-21', 7], ['globex', '2026-11-20', 12]]);
  assert.deepEqual(asked, [[{ startMs: Date.parse('2026-11-20T05:00:00Z'), endMs: Date.parse('2026-11-21T05:00:00Z'), apps: ['globex'] }]]);
});

test('a store that does not answer leaves what is known, and a node without workers counts all by the store', async () => {
  let fails = false;
  const uses = new QuotaUses({
    config, lent: () => [], shared: null, nowMs: () => NOW_MS,
    recorded: () => (fails ? Promise.reject(new Error('away')) : Promise.resolve(new Map([['acme', 41], ['globex', 12]]))),
  });
  await uses.refresh(true);
  fails = true;
  await uses.refresh(true);
  assert.deepEqual(said(uses), [['acme', '2026-11-21', 41], ['globex', '2026-11-20', 12]]);
});

test('nodes that share limits know what all of them have used, and what they knew while Redis is away', { skip: requires('redis') }, async () => {
  await using redis = await TestRedis.start();
  const settings = { urls: [redis.url], cluster: false, prefix: 'test', timeoutMs: 1000 };
  const used = [7, 20];
  const shared = used.map((_, i) => new SharedUse({ settings, instance: `node-${i}` }));
  const nodes = shared.map((own, i) => new QuotaUses({
    config: () => config(i === 0 ? '' : 'http://clickhouse:8123'), shared: own, nowMs: () => NOW_MS,
    lent: () => [{ key: 'qpd:app:acme:2026-11-21', limit: 100, used: used[i] ?? 0, leased: 3 }], recorded: () => Promise.resolve(new Map([['globex', 5]])),
  }));
  const [first, second] = nodes as [QuotaUses, QuotaUses];
  await eventually('both know of each other', async () => {
    await Promise.all(nodes.map((node) => node.refresh(true)));
    used[0] = (used[0] ?? 0) + 1;
    await first.refresh(true);
    return first.now[0]?.used === (used[0] ?? 0) + 20 ? true : null;
  });
  used[1] = 50;
  await second.refresh(true);
  assert.equal(second.now[0]?.used, (used[0] ?? 0) + 50);
  // of a store that is all nodes' own, nothing is added up
  assert.equal(second.now[1]?.used, 5);
  await redis.kill();
  used[1] = 51;
  await second.refresh(true);
  assert.equal(second.now[0]?.used, (used[0] ?? 0) + 51);
  for (const own of shared) own.close();
});
