/** The order in which files begin: another each time, and the same again by its seed. */
import { randomInt } from 'node:crypto';
import { SeededRandom } from '../bench/seeded-random.js';
import type { TestFile } from './groups.js';

/** @throws Error: what is given is no whole number */
export function seedFrom(given: string | undefined): number {
  if (given === undefined || given === '') return randomInt(1, 1_000_000);
  if (!/^\d{1,9}$/.test(given)) throw new Error(`TEST_SEED is a whole number, not '${given}'`);
  return Number(given);
}

/** Shuffled; those that want the machine for themselves come last, shuffled too, so that no other is kept waiting for them. */
export function inOrder(files: readonly TestFile[], seed: number): TestFile[] {
  const random = new SeededRandom(seed);
  const shuffled = [...files].sort((a, b) => (a.path < b.path ? -1 : 1));
  for (let i = shuffled.length - 1; i > 0; i--) {
    const other = random.below(i + 1);
    [shuffled[i], shuffled[other]] = [shuffled[other] as TestFile, shuffled[i] as TestFile];
  }
  return [...shuffled.filter(({ group }) => group.places !== 'all'), ...shuffled.filter(({ group }) => group.places === 'all')];
}
