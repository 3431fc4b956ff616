import { readdirSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

/** Answers before counts, where both want the same core; a quarter of it is still the collector's (docs/decisions/0028). */
const NICER = 5;
const NICEST = 19;

/** Lowers the priority of this process below that of the node's others: of all threads that there are, from which later ones take theirs. Called before the engine is loaded. */
export function giveWay(): void {
  for (const thread of threads()) {
    try {
      setPriority(thread, Math.min(NICEST, getPriority(thread) + NICER));
    } catch {
      // a thread that is gone; or a system that allows nobody to: then the collector competes as any program does
    }
  }
}

/** On Linux a priority is a thread's own, and Node's pool is there before any of our code. */
function threads(): readonly number[] {
  if (process.platform !== 'linux') return [process.pid];
  try {
    return readdirSync('/proc/self/task').map(Number);
  } catch {
    return [process.pid];
  }
}
