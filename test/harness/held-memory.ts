import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

/**
 * Twice, because V8 frees the buffers that it found dead on another thread, which the start of the next collection waits for: after one, up
 * to 9 MB of a body that had long gone through were still counted, more often on a busy machine.
 */
function collectGarbage(): void {
  gc();
  gc();
}

/** Bytes of buffers in this process that somebody holds. */
export function heldBytes(): number {
  collectGarbage();
  return process.memoryUsage().arrayBuffers;
}

/** Bytes of objects and buffers in this process that somebody holds. */
export function heldMemory(): number {
  collectGarbage();
  const { arrayBuffers, heapUsed } = process.memoryUsage();
  return arrayBuffers + heapUsed;
}
