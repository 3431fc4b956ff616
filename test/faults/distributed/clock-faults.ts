/** A node's clock is set an hour forward, and back, and an hour back, and forward again, while it works. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Engines } from './engines.js';
import type { Fault } from './fault-run.js';
import { SIZES } from './sizes.js';

const HOUR_S = 3600;

/** None where clocks cannot be set. */
export function clockFaults({ clocks }: Engines): Fault[] {
  return clocks.map((clock) => ({
    name: `the clock of ${clock.node} an hour forward, back, and an hour back`,
    during: async () => {
      for (const seconds of [HOUR_S, 0, -HOUR_S, 0]) {
        clock.step(seconds);
        await pause(SIZES.badMs / 2);
      }
    },
  }));
}
