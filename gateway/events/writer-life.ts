/** Whether somebody may still write a stream: nothing is sealed, or taken away, under a living writer. */
import { IMPORT_WORKER } from './event.js';
import { importLockFile } from './import/receipt.js';
import { isLocked } from './kernel-lock.js';
import { isAlive } from './process-life.js';
import type { StreamState } from './stream-state.js';

export type WriterLives = (state: StreamState) => boolean;

/** By the process alone, which is seen from its own PID namespace only. */
export function writerLives(state: StreamState): boolean {
  return isAlive(state.pid, state.pidStart, state.bootId);
}

/**
 * As the holder of the data directory knows it. A stream of another run has none: that run had the lock, and has it no more. Of this run the launcher's children
 * are seen. An import holds a lock of its own, for it is no child of a node's and may be in another container.
 * @param run null: nothing is locked, and the process is all there is to go by
 */
export function writersOf(dataDir: string, run: string | null): WriterLives {
  return (state) => {
    if (state.worker === IMPORT_WORKER) return writerLives(state) || isLocked(importLockFile(dataDir, state.stream), 'shared');
    if (run !== null && state.run !== undefined && state.run !== run) return false;
    return writerLives(state);
  };
}
