/**
 * Where the fault suite kills the collector: TIDEGATE_FAULT names one place, and the process dies there by SIGKILL, the first time it comes by.
 * A kill from outside cannot meet a place that lasts microseconds, and a callback passed in cannot reach a collector that was started as its users
 * start it; so the seam is here, one comparison a place, and reads the environment once, at the start.
 */
export type FaultPlace =
  | 'before-manifest'
  | 'after-manifest'
  /** While the engine inserts: TIDEGATE_FAULT_MS after it was told to (default 5). */
  | 'mid-insert'
  /** Raw rows are in, no rollup is. */
  | 'between-raw-and-rollup'
  | 'after-insert'
  /** The staging file is gone, segments are not. */
  | 'before-delete';

const PLACE = process.env['TIDEGATE_FAULT'];
const DELAY_MS = Number(process.env['TIDEGATE_FAULT_MS'] ?? 5);

export function faultPlace(place: FaultPlace): void {
  if (place === PLACE) process.kill(process.pid, 'SIGKILL');
}

/** The place comes a moment after now, in the midst of what is then awaited. */
export function faultSoon(place: FaultPlace): void {
  if (place === PLACE) setTimeout(() => { process.kill(process.pid, 'SIGKILL'); }, DELAY_MS);
}

export const isFault = (place: FaultPlace): boolean => place === PLACE;
