import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Target } from './target.js';
import { balance, type Balancer, type UpstreamTargets } from './targets.js';

/** What a balancer asks of a target; one that is passed over until `skippedUntilMs`, which a test may move. */
interface Fake { readonly url: string; skippedUntilMs: number; isSkipped(nowMs: number): boolean }

function fake(url: string, skippedUntilMs = 0): Fake & Target {
  const target: Fake = { url, skippedUntilMs, isSkipped: (nowMs) => nowMs < target.skippedUntilMs };
  return target as Fake & Target;
}

const NOW = 1000;
const never = (): number => assert.fail('round robin draws no lots');
const weighted = (targets: readonly Target[], weights: readonly number[]): { target: Target; weight: number }[] => targets.map((target, i) => ({ target, weight: weights[i] as number }));
const picks = (targets: UpstreamTargets, count: number, tried: readonly Target[] | null = null): string =>
  Array.from({ length: count }, () => targets.pick(NOW, tried)?.url ?? '-').join(' ');

test('weights of 5, 1, 1 take turns smoothly, and again from the start', () => {
  const targets = balance('weighted_round_robin', weighted([fake('a'), fake('b'), fake('c')], [5, 1, 1]), never);
  assert.equal(picks(targets, 14), 'a a b a c a a a a b a c a a');
});

test('round robin takes each in turn, whatever the weights', () => {
  const targets = balance('round_robin', weighted([fake('a'), fake('b'), fake('c')], [5, 1, 1]), never);
  assert.equal(picks(targets, 7), 'a b c a b c a');
});

test('random takes each by its weight of the whole', () => {
  const lots = [0, 0.24, 0.25, 0.74, 0.75, 0.99];
  const drawn = lots.values();
  const targets = balance('random', weighted([fake('a'), fake('b'), fake('c')], [1, 2, 1]), () => drawn.next().value ?? assert.fail('one lot a pick'));
  assert.equal(picks(targets, lots.length), 'a a b b c c');
});

const BALANCERS: readonly Balancer[] = ['round_robin', 'weighted_round_robin', 'random'];

for (const balancer of BALANCERS) {
  test(`${balancer}: a target passed over for a refusal gets nothing, the others all, until it is due`, () => {
    const [a, b, c] = [fake('a'), fake('b', NOW + 1), fake('c')];
    let lot = 0;
    const targets = balance(balancer, weighted([a, b, c], [2, 4, 2]), () => (lot = (lot + 0.25) % 1));
    assert.deepEqual(new Set(picks(targets, 8).split(' ')), new Set(['a', 'c']));
    b.skippedUntilMs = NOW;
    assert.deepEqual(new Set(picks(targets, 8).split(' ')), new Set(['a', 'b', 'c']));
  });

  test(`${balancer}: another attempt goes to a target that was not tried; when all were, to none`, () => {
    const [a, b, c] = [fake('a'), fake('b'), fake('c')];
    const targets = balance(balancer, weighted([a, b, c], [8, 1, 1]), () => 0.5);
    assert.equal(picks(targets, 3, [a, c]), 'b b b');
    assert.equal(picks(targets, 1, [a, b, c]), '-');
  });

  test(`${balancer}: when all are passed over, the one due soonest that was not tried`, () => {
    const [a, b, c] = [fake('a', NOW + 30), fake('b', NOW + 10), fake('c', NOW + 20)];
    const targets = balance(balancer, weighted([a, b, c], [8, 1, 1]), () => 0.5);
    assert.equal(picks(targets, 3), 'b b b');
    assert.equal(picks(targets, 2, [b]), 'c c');
    assert.equal(picks(targets, 1, [a, b, c]), '-');
  });

  test(`${balancer}: a target that is alone is taken, passed over or not, but not twice by one request`, () => {
    const a = fake('a', NOW + 1);
    const targets = balance(balancer, weighted([a], [3]), () => 0.5);
    assert.equal(picks(targets, 2), 'a a');
    assert.equal(picks(targets, 1, [a]), '-');
  });
}

test('who was passed over for long takes no more than its turn when it is back', () => {
  const [a, b] = [fake('a'), fake('b', NOW + 1)];
  const targets = balance('round_robin', weighted([a, b], [1, 1]), never);
  assert.equal(picks(targets, 100), 'a '.repeat(100).trimEnd());
  b.skippedUntilMs = 0;
  assert.equal(picks(targets, 4), 'a b a b');
});
