import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { IDLE_UNDISTURBED_MS, IdleList, type Idler } from './idle-list.js';

interface Numbered extends Idler<Numbered> { readonly number: number }
const numbered = (number: number, writableLength = 0): Numbered => ({ number, idleBefore: null, idleAfter: null, isInIdleList: false, idleSinceMs: 0, socket: { writableLength } });

test('the longest idle is first, whoever comes, serves, or goes meanwhile', () => {
  const all = Array.from({ length: 12 }, (_, i) => numbered(i));
  const list = new IdleList<Numbered>();
  let expected: number[] = [];
  for (let step = 0; step < 5000; step++) {
    const one = all[randomInt(all.length)] as Numbered;
    if (randomInt(2) === 0) {
      list.add(one, step);
      if (!expected.includes(one.number)) expected.push(one.number);
    } else {
      list.remove(one);
      expected = expected.filter((number) => number !== one.number);
    }
    const got: number[] = [];
    for (let at = list.first; at !== null; at = at.idleAfter) got.push(at.number);
    assert.deepEqual(got, expected, `step ${step}`);
  }
});

test('nobody gives way who has just come; then the longest idle does, once', () => {
  const [one, two] = [numbered(1), numbered(2)];
  const list = new IdleList<Numbered>();
  list.add(one, 1000);
  list.add(two, 1500);
  list.add(one, 3000);
  assert.equal(list.takeLongest(1000 + IDLE_UNDISTURBED_MS - 1), null);
  assert.deepEqual([list.takeLongest(1000 + IDLE_UNDISTURBED_MS), list.takeLongest(1000 + IDLE_UNDISTURBED_MS), list.takeLongest(1500 + IDLE_UNDISTURBED_MS), list.takeLongest(9000)], [one, null, two, null]);
});

test('who still takes an answer is passed over, and counts as idle from then on', () => {
  const [taking, one] = [numbered(1, 100), numbered(2)];
  const list = new IdleList<Numbered>();
  list.add(taking, 1000);
  assert.equal(list.takeLongest(9000), null);
  list.add(one, 9100);
  assert.deepEqual([list.takeLongest(9000 + IDLE_UNDISTURBED_MS), list.takeLongest(9100 + IDLE_UNDISTURBED_MS), list.first], [null, one, taking]);
});
