/** Figures are kept of a machine that does nothing else. */
import { setTimeout as pause } from 'node:timers/promises';
import { loadAverage } from './machine.js';

/** More, and ratios hold better than figures: they are not kept. */
const QUIET_LOAD = 0.5;
const QUIET_WITHIN_MS = 3 * 60_000;

/** Waits for the load of what ran before, the build above all, to pass. False: others use this machine. */
export async function isQuiet(say: (line: string) => void): Promise<boolean> {
  const deadlineMs = performance.now() + QUIET_WITHIN_MS;
  for (let told = false; loadAverage() > QUIET_LOAD; told = true) {
    if (performance.now() > deadlineMs) return false;
    if (!told) say(`load average ${loadAverage().toFixed(1)}: it is waited for a quiet machine, ${QUIET_WITHIN_MS / 60_000} minutes at most`);
    await pause(1000);
  }
  return true;
}
