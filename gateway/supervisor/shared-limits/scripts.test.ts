/** The scripts by themselves, on a real Redis: what a call may change, and when. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Redis } from 'ioredis';
import { eventually } from '../../../test/harness/deadline.js';
import { TestRedis } from '../../../test/harness/redis.js';
import { requires } from '../../../test/harness/requires.js';
import { QUOTA_SCRIPT, RATE_SCRIPT } from './scripts.js';

const skip = requires('redis');
const KEY = 'test:{qpd:app:a}';

class Caller {
  readonly #client: Redis;
  readonly #name: string;
  readonly #expected: string;
  epoch = '';
  version = -1;

  constructor(client: Redis, name: string, expected: string) {
    this.#client = client;
    this.#name = name;
    this.#expected = expected;
  }

  /** As it is, and without taking in the answer. */
  async raw(stated: number, want: number, day = '2026-11-22', limit = 100, startMs = 0, keep = 0): Promise<{ status: string; epoch: string; version: number; mine: number; left: number; day: string }> {
    const answer = await this.#client.eval(QUOTA_SCRIPT, 2, KEY, `${KEY}:recorded`, this.epoch, this.#name, this.#name, this.version, this.#expected, day, startMs, startMs + 1000, stated, want, limit, 1, keep);
    const [status = '', epoch = '', version, mine, left, open = ''] = answer as [string, string, number, string, string, string];
    return { status, epoch, version: Number(version), mine: Number(mine), left: Number(left), day: open };
  }

  async call(stated: number, want: number, day?: string): ReturnType<Caller['raw']> {
    const answer = await this.raw(stated, want, day);
    this.epoch = answer.epoch;
    this.version = answer.version;
    return answer.status === 'epoch' ? this.call(stated, want, day) : answer;
  }
}

test('a call that was given up and runs later changes nothing', { skip }, async () => {
  await using redis = await TestRedis.start();
  await redis.with(async (client) => {
    const node = new Caller(client, 'n1', 'n1');
    assert.equal((await node.call(0, 10)).mine, 10);
    const late = { ...node, version: node.version, epoch: node.epoch };
    assert.equal((await node.call(10, 50)).mine, 60);
    const { version } = node;
    node.version = late.version;
    // it would give 55 back that are lent by now
    const answer = await node.raw(5, 0);
    assert.deepEqual([answer.status, answer.mine, answer.version], ['version', 60, version]);
    assert.equal(await client.hget(KEY, 'g:n1'), '60');
  });
});

test('after a failover the larger of what is stored and what is declared counts, and nothing is granted before all have spoken', { skip }, async () => {
  await using redis = await TestRedis.start();
  await redis.with(async (client) => {
    const [first, second] = [new Caller(client, 'n1', 'n1 n2'), new Caller(client, 'n2', 'n1 n2')];
    assert.equal((await first.call(0, 0)).status, 'settling');
    assert.equal((await second.call(0, 30)).mine, 30);
    assert.equal((await first.call(0, 20)).mine, 20);
    // as on a replica that was promoted: another server, which lacks the second's last grant and has one that the first never heard of
    await client.hset(KEY, { 'run': 'another', 'g:n1': '25', 'g:n2': '10' });
    const early = await second.call(30, 50);
    assert.deepEqual([early.status, early.mine], ['settling', 30]);
    assert.deepEqual([(await first.call(20, 0)).mine, (await second.call(30, 0)).left], [25, 45]);
  });
});

test('a node that does not declare is waited for, but not for ever', { skip }, async () => {
  await using redis = await TestRedis.start();
  await redis.with(async (client) => {
    const node = new Caller(client, 'n1', 'n1 n2 @n3');
    assert.equal((await node.call(0, 10)).status, 'settling');
    await eventually('it is granted', async () => (await node.call(0, 10)).status === 'ok' || null);
  });
});

test('a later day opens with the first who names it; an earlier one is over', { skip }, async () => {
  await using redis = await TestRedis.start();
  await redis.with(async (client) => {
    const node = new Caller(client, 'n1', 'n1');
    assert.equal((await node.call(0, 100)).left, 0);
    const next = await node.call(0, 40, '2026-11-23');
    assert.deepEqual([next.status, next.day, next.mine, next.left], ['ok', '2026-11-23', 40, 60]);
    const before = await node.call(100, 1, '2026-11-22');
    assert.deepEqual([before.status, before.day, before.mine], ['day', '2026-11-23', 40]);
  });
});

test('a day that begins later than in a minute is opened by nobody', { skip }, async () => {
  await using redis = await TestRedis.start();
  await redis.with(async (client) => {
    const node = new Caller(client, 'n1', 'n1');
    assert.equal((await node.call(0, 10)).mine, 10);
    const early = await node.raw(0, 10, '2026-11-23', 100, Date.now() + 300_000);
    assert.deepEqual([early.status, early.day, early.mine], ['early', '2026-11-22', 10]);
    const next = await node.raw(0, 10, '2026-11-23', 100, Date.now() + 30_000);
    assert.deepEqual([next.status, next.day, next.mine], ['ok', '2026-11-23', 10]);
  });
});

test('what stands of a node that does not remember it is not lowered', { skip }, async () => {
  await using redis = await TestRedis.start();
  await redis.with(async (client) => {
    const node = new Caller(client, 'n1', 'n1');
    assert.equal((await node.call(0, 40)).mine, 40);
    const kept = await node.raw(5, 0, '2026-11-22', 100, 0, 1);
    assert.deepEqual([kept.status, kept.mine, kept.left], ['ok', 40, 60]);
    node.version = kept.version;
    assert.equal((await node.raw(5, 0)).mine, 5);
  });
});

test('units that a node made itself are taken off: what others had of them meanwhile is owed before anybody is granted more, a second\'s or a burst of it at most', { skip }, async () => {
  await using redis = await TestRedis.start();
  await redis.with(async (client) => {
    let [epoch, version] = ['', -1];
    const key = 'test:{qps:app:a}';
    // one a second, so that the time between calls brings none
    const call = async (want: number, made: number): Promise<{ granted: number; tokens: number }> => {
      const answer = await client.eval(RATE_SCRIPT, 1, key, epoch, 'n1', 'n1', version, 'n1', 0, 0, want, 1, 100, 1, made, 1e9) as [string, string, number, string];
      [, epoch, version] = answer;
      if (answer[0] === 'epoch') return call(want, made);
      assert.equal(answer[0], 'ok');
      return { granted: Number(answer[3]), tokens: Math.floor(Number(await client.hget(key, 'tokens'))) };
    };
    assert.deepEqual(await call(10, 0), { granted: 10, tokens: 90 });
    assert.deepEqual(await call(0, 30), { granted: 0, tokens: 60 });
    assert.deepEqual(await call(5, 90), { granted: 0, tokens: -30 });
    assert.deepEqual(await call(5, 0), { granted: 0, tokens: -30 });
    assert.deepEqual(await call(5, 1000), { granted: 0, tokens: -100 });
    // not known how many: nobody has any, and nobody owes more
    await client.hset(key, 'tokens', '50');
    assert.deepEqual(await call(5, 1e15), { granted: 0, tokens: 0 });
  });
});
