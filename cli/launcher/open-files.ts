import { readFileSync } from 'node:fs';

/** Below this, ten thousand connections of one worker and those to its upstreams do not fit. */
export const ENOUGH_OPEN_FILES = 16_384;

/**
 * This process's limit of open files (node has raised the soft limit to the hard one when it started); null where there is
 * no /proc to tell.
 */
export function openFilesLimit(limits: string | null = readLimits()): number | null {
  const soft = limits === null ? null : /^Max open files\s+(\S+)/m.exec(limits);
  if (soft === null) return null;
  return soft[1] === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft[1]);
}

function readLimits(): string | null {
  try {
    return readFileSync('/proc/self/limits', 'utf8');
  } catch {
    return null;
  }
}
