/** Which fault comes when: it follows from the seed, the shape and the kinds alone, not from what the machine has or how fast it is. */
import type { Fault, FaultKind } from './fault.js';
import type { SeededRandom } from './seeded-random.js';

export interface Step {
  readonly number: number;
  readonly kind: FaultKind;
  readonly fault: Fault;
  /** Of calm load in front of it. */
  readonly calmMs: number;
  /** A process is killed beside it. */
  readonly withCompanion: boolean;
  /** For the companion. */
  readonly random: SeededRandom;
}

/** Rounds without end; in each every kind comes once, in an order of the round's own. */
export function* schedule(kinds: readonly FaultKind[], random: SeededRandom): Generator<Step, never> {
  let number = 0;
  for (let round = 0; ; round++) {
    const order = random.fork(`round ${round}`).shuffled(kinds);
    for (const kind of order) {
      const own = random.fork(`step ${number}`);
      const fault = kind.plan(own.fork(kind.name));
      yield { number: number++, kind, fault, calmMs: own.integer(300, 3000), withCompanion: own.chance(0.25), random: own.fork('companion') };
    }
  }
}
