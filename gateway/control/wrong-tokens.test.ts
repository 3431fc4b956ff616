import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WrongTokens, WrongTokensLimitedError, type WrongTokenResult } from './wrong-tokens.js';

const GOOD = 'good-token-0123456789';

interface Tried { readonly limiter: WrongTokens; readonly counts: Map<string, number>; readonly lines: Readonly<Record<string, unknown>>[]; verified: number; show(client: string, bearer: string): Promise<string> }

function tried(aMinute: number, clock = { ms: 0 }): Tried {
  const counts = new Map<string, number>();
  const lines: Readonly<Record<string, unknown>>[] = [];
  const count = (origin: string, result: WrongTokenResult): void => { counts.set(`${origin} ${result}`, (counts.get(`${origin} ${result}`) ?? 0) + 1); };
  const limiter = new WrongTokens({ aMinute, count, log: { warn: (fields) => lines.push(fields) }, nowMs: () => clock.ms });
  const all: Tried = {
    limiter, counts, lines, verified: 0,
    show: async (client, bearer) => {
      try {
        const holder = await limiter.verified('control', client, bearer, () => {
          all.verified++;
          return Promise.resolve(bearer === good.now ? 'operator' : null);
        });
        return holder ?? 'refused';
      } catch (error) {
        assert.ok(error instanceof WrongTokensLimitedError && error.code === 'wrong_tokens_limited');
        assert.ok(error.retryAfterSeconds >= 1 && error.retryAfterSeconds <= 60, String(error.retryAfterSeconds));
        return 'limited';
      }
    },
  };
  return all;
}
const good = { now: GOOD };

test('wrong tokens of an address are looked at up to the limit, and then no longer; another address has its own', async () => {
  const node = tried(5);
  // at once: none may pass while others are verified
  const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => node.show('192.0.2.1', `guess-${i}`)));
  assert.deepEqual([answers.filter((answer) => answer === 'refused').length, answers.filter((answer) => answer === 'limited').length, node.verified], [5, 95, 5]);
  assert.equal(await node.show('192.0.2.2', 'guess'), 'refused');
  assert.deepEqual(Object.fromEntries(node.counts), { 'control refused': 6, 'control limited': 95 });
});

test('the right one that an address did not show before is not looked at either: no guess is told to be good', async () => {
  const node = tried(2);
  for (let i = 0; i < 3; i++) await node.show('192.0.2.1', `guess-${i}`);
  assert.equal(await node.show('192.0.2.1', GOOD), 'limited');
  assert.equal(node.verified, 2);
});

test('a token that is known to be good spends nothing, and goes on behind the address of a guesser', async () => {
  const node = tried(5);
  for (let i = 0; i < 20; i++) assert.equal(await node.show('192.0.2.1', GOOD), 'operator');
  for (let i = 0; i < 8; i++) assert.equal(await node.show('192.0.2.1', `guess-${i}`), i < 5 ? 'refused' : 'limited');
  assert.equal(await node.show('192.0.2.1', GOOD), 'operator');
});

test('a token that was good and is no more is a wrong one from then on', async () => {
  const node = tried(3);
  assert.equal(await node.show('192.0.2.1', GOOD), 'operator');
  good.now = 'another';
  try {
    assert.deepEqual(await Promise.all([node.show('192.0.2.1', GOOD)]), ['refused']);
    assert.deepEqual([await node.show('192.0.2.1', GOOD), await node.show('192.0.2.1', GOOD), await node.show('192.0.2.1', GOOD)], ['refused', 'refused', 'limited']);
  } finally {
    good.now = GOOD;
  }
});

test('IPv6 addresses of one network are one client', async () => {
  const node = tried(2);
  for (const [address, expected] of [['2001:db8::1', 'refused'], ['2001:db8::2', 'refused'], ['2001:db8::3', 'limited'], ['2001:db8:0:1::1', 'refused']] as const) {
    assert.equal(await node.show(address, `guess-${address}`), expected, address);
  }
});

test('addresses without number fill no memory: those past ten thousand in a minute are counted together', async () => {
  const clock = { ms: 0 };
  const node = tried(2, clock);
  for (let i = 0; i < 10_000; i++) await node.show(`10.0.${i >> 8}.${i & 255}`, 'guess');
  assert.deepEqual([await node.show('192.0.2.1', 'a'), await node.show('192.0.2.2', 'b'), await node.show('192.0.2.3', 'c'), await node.show('10.0.0.0', 'd')], ['refused', 'refused', 'limited', 'refused']);
  clock.ms = 60_000;
  assert.equal(await node.show('192.0.2.4', 'e'), 'refused', 'in the next minute each has its own again');
});

test('a flood of them writes a line in ten seconds, which says how many there were', async () => {
  const clock = { ms: 0 };
  const node = tried(2, clock);
  for (let i = 0; i < 50; i++) await node.show('192.0.2.1', `guess-${i}`);
  assert.deepEqual(node.lines, [{ code: 'wrong_tokens_limited', origin: 'control', peer: '192.0.2.1', result: 'refused', wrong: 1 }]);
  clock.ms = 10_000;
  await node.show('192.0.2.1', 'guess-again');
  assert.deepEqual(node.lines[1], { code: 'wrong_tokens_limited', origin: 'control', peer: '192.0.2.1', result: 'limited', wrong: 50 });
  assert.ok(!JSON.stringify(node.lines).includes('guess'), 'and no token');
});
