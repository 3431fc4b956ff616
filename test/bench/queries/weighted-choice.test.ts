import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '../seeded-random.js';
import { WeightedChoice } from './weighted-choice.js';

test('each is drawn by its weight, and what weighs nothing never', () => {
  const choice = new WeightedChoice([5, 0, 3, 1.5, 0.5]);
  const random = new SeededRandom(1);
  const drawn = [0, 0, 0, 0, 0];
  for (let i = 0; i < 100_000; i++) (drawn[choice.draw(random)] as number)++;
  assert.deepEqual(drawn.map((times) => Math.round(times / 1000) / 10), [5, 0, 3, 1.5, 0.5]);
});

test('of one there is no choice', () => {
  assert.equal(new WeightedChoice([7]).draw(new SeededRandom(1)), 0);
});
