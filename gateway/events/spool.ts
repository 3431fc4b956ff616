/**
 * The spool as a whole: data_dir/spool/<stream>/, a directory a stream.
 */
import { readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DROPS_FILE } from './drop-page.js';
import { listSegments, type SegmentFile } from './segment.js';
import { readState, STATE_FILE, type StreamState } from './stream-state.js';
import { writerLives, type WriterLives } from './writer-life.js';

/** In front of a stream directory's name until it is whole, and again when it goes: such directories hold nothing that counts. */
export const OPENING_PREFIX = 'opening-';
const REMOVING_PREFIX = 'removing-';
/** An opening directory without a state of this age has nobody who still fills it. */
const ABANDONED_AFTER_MS = 60_000;

export interface SpooledStream {
  /** 16 hexadecimal digits. */
  readonly stream: string;
  readonly dir: string;
  /** Null: not readable; sealStream makes one from what is left. */
  readonly state: StreamState | null;
  readonly segments: readonly SegmentFile[];
  /** All files together. */
  readonly bytes: number;
}

/** Every stream of the spool, in the order of their opening. */
export function scanStreams(spoolDir: string): SpooledStream[] {
  const streams = namesIn(spoolDir).filter((name) => /^[0-9a-f]{16}$/.test(name)).map((stream): SpooledStream => {
    const dir = join(spoolDir, stream);
    const segments = listSegments(dir);
    const others = [STATE_FILE, DROPS_FILE].map((name) => statSync(join(dir, name), { throwIfNoEntry: false })?.size ?? 0);
    const bytes = [...segments.map((segment) => segment.bytes), ...others].reduce((sum, size) => sum + size, 0);
    return { stream, dir, state: readState(dir), segments, bytes };
  });
  const opened = (stream: SpooledStream): string => stream.state?.openedAt ?? '';
  return streams.sort((a, b) => (opened(a) < opened(b) ? -1 : opened(a) > opened(b) ? 1 : 0));
}

/** Bytes of all streams together. */
export function spoolBytes(spoolDir: string): number {
  return scanStreams(spoolDir).reduce((sum, stream) => sum + stream.bytes, 0);
}

/** Removes a stream that is sealed and wholly stored: renamed first, so that nobody meets half a stream. */
export function removeStream(spoolDir: string, stream: string): void {
  const removing = join(spoolDir, REMOVING_PREFIX + stream);
  renameSync(join(spoolDir, stream), removing);
  rmSync(removing, { recursive: true, force: true });
}

/** Removes what crashes left: directories that were not whole yet, or were going. Returns how many. */
export function removeLeftovers(spoolDir: string, nowMs: number, lives: WriterLives = writerLives): number {
  const left = namesIn(spoolDir).filter((name) => name.startsWith(REMOVING_PREFIX) || (name.startsWith(OPENING_PREFIX) && isAbandoned(join(spoolDir, name), nowMs, lives)));
  for (const name of left) {
    // renamed first: a worker that is just taking it as its own then finds it gone, not half gone
    const removing = name.startsWith(REMOVING_PREFIX) ? name : REMOVING_PREFIX + name;
    if (removing === name || moved(join(spoolDir, name), join(spoolDir, removing))) rmSync(join(spoolDir, removing), { recursive: true, force: true });
  }
  return left.length;
}

/** False: it went elsewhere meanwhile. */
function moved(from: string, to: string): boolean {
  try {
    renameSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

function isAbandoned(opening: string, nowMs: number, lives: WriterLives): boolean {
  const state = readState(opening);
  if (state !== null) return !lives(state);
  const made = statSync(opening, { throwIfNoEntry: false });
  return made !== undefined && nowMs - made.mtimeMs > ABANDONED_AFTER_MS;
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
