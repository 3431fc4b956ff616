/**
 * A thread that says when requests are due. It sleeps as exactly as the kernel does, where node's timers have whole milliseconds; it does not spin, for the
 * upstream has the same core.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { monotonicMs, Schedule, type RateStep } from './schedule.js';

/** `startAtMs`: of the first request, by monotonicMs(). */
const { startAtMs, steps } = workerData as { readonly startAtMs: number; readonly steps: readonly RateStep[] };
const schedule = new Schedule(performance.now() + startAtMs - monotonicMs(), steps);
const never = new Int32Array(new SharedArrayBuffer(4));

for (let next = 0; next < schedule.count; next = schedule.dueBy(performance.now())) {
  const waitMs = schedule.dueMs(next) - performance.now();
  if (waitMs > 0) Atomics.wait(never, 0, 0, waitMs);
  parentPort?.postMessage(null);
}
