import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { IdleList, type Idler } from './idle-list.js';

interface Numbered extends Idler<Numbered> { readonly number: number }
const numbered = (number: number): Numbered => ({ number, idleBefore: null, idleAfter: null, isInIdleList: false });

test('the longest idle is first, whoever comes, serves, or goes meanwhile', () => {
  const all = Array.from({ length: 12 }, (_, i) => numbered(i));
  const list = new IdleList<Numbered>();
  let expected: number[] = [];
  for (let step = 0; step < 5000; step++) {
    const one = all[randomInt(all.length)] as Numbered;
    if (randomInt(2) === 0) {
      list.add(one);
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
