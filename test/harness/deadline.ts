import { setTimeout as pause } from 'node:timers/promises';

/**
 * Asks until the answer is not null, for what tells nobody when it happens (a process's end, a row in another process's store).
 * @param what asked for when it has failed, if it is to be told with what was seen by then
 * @throws Error naming `what` when `withinMs` has passed
 */
export async function eventually<T>(what: string | (() => string), ask: () => Promise<T | null> | T | null, withinMs = 60_000, everyMs = 25): Promise<T> {
  const deadline = performance.now() + withinMs;
  let last: unknown = null;
  while (performance.now() < deadline) {
    try {
      const answer = await ask();
      if (answer !== null) return answer;
    } catch (error) {
      last = error;
    }
    await pause(everyMs);
  }
  throw new Error(`not within ${withinMs} ms: ${typeof what === 'string' ? what : what()}`, { cause: last });
}
