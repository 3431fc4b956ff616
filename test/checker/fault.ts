/** What a fault is to the checker. */
import type { SeededRandom } from './seeded-random.js';

export interface Fault {
  /** What it does, drawn from the seed: `kill -9 of a worker, 3 times`. */
  readonly detail: string;
  /** Does the harm and takes it back. What then mends itself is waited for by the checker. */
  run(): Promise<void>;
}

export interface FaultKind {
  /** A line of the table. */
  readonly name: string;
  /** Why it cannot be had here; null: it can. */
  readonly missing: string | null;
  /** Events may be lost by it, as the documents say, and then the day says that it is incomplete. */
  readonly mayLose?: boolean;
  /** Raw events that were stored before it may be lost: everything is compared before it and after. */
  readonly damagesRaw?: boolean;
  plan(random: SeededRandom): Fault;
}
