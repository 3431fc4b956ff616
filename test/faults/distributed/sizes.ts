/** How long the faults of the distributed topology last: a short form for every run of the tests, and the full one (`npm run faults`: TEST_FAULTS=full). */
export interface FaultSizes {
  /** Of load with nothing broken, before all faults. */
  readonly nothingMs: number;
  /** The same before each fault, which it is compared with. */
  readonly calmMs: number;
  /** How long load goes on after a process was killed, or what was broken is mended. */
  readonly afterMs: number;
  /** For which a process stands still. */
  readonly stallMs: number;
  /** For which a network is bad, and each time that a clock is set stays. */
  readonly badMs: number;
  /** For which an engine is away. */
  readonly awayMs: number;
  /** For which collectors join and leave. */
  readonly joinMs: number;
  /** Of everything at once, in the full form. */
  readonly stormMs: number;
  /** How often each fault is done. */
  readonly rounds: number;
  /** After which a silent collector has lost its partitions; null: as the product has it. */
  readonly sessionMs: number | null;
  /** Of requests, how many may be refused because the ledger answered too late. The short form runs on any machine, and of few requests: one second of them is much. */
  readonly lateShare: number;
}

const SHORT: FaultSizes = {
  nothingMs: 1000, calmMs: 1000, afterMs: 1000, stallMs: 4000, badMs: 4000, awayMs: 5000, joinMs: 6000, stormMs: 0, rounds: 1, sessionMs: 8000, lateShare: 0.25,
};
const FULL: FaultSizes = {
  nothingMs: 60_000, calmMs: 5000, afterMs: 3000, stallMs: 30_000, badMs: 10_000, awayMs: 60_000, joinMs: 60_000, stormMs: 300_000, rounds: 3, sessionMs: null, lateShare: 0.01,
};

export const FULL_FORM = process.env['TEST_FAULTS'] === 'full';
export const SIZES: FaultSizes = FULL_FORM ? FULL : SHORT;
