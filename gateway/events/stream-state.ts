/**
 * state.json of a stream: who writes the stream, how far it is known to have come, and, at its end, the seal. The worker makes it when it
 * opens the stream; afterwards only the supervisor writes it.
 *
 * The text is padded with spaces to STATE_BYTES, so that on a full disk it can be written over in place: segments go only when the mark has
 * passed them, and a mark that needed free space would keep a full disk full.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { ProcessIdentity } from './process-life.js';

export interface StreamState extends ProcessIdentity {
  readonly format: 1;
  /** 16 hexadecimal digits. */
  readonly stream: string;
  readonly node: string;
  /** The worker's slot, 1 to N. */
  readonly worker: number;
  /** RFC 3339 */
  readonly openedAt: string;
  /** The mark: last seq known to be written or tallied as dropped; -1: none. Never goes back. */
  readonly lastSeq: number;
  /** When the mark was last moved or confirmed. RFC 3339. */
  readonly markedAt: string;
  /** Null while the worker may still write. */
  readonly seal: StreamSeal | null;
}

export interface StreamSeal {
  /** RFC 3339 */
  readonly sealedAt: string;
  /** Last seq of the stream, written or dropped; -1: there was none. */
  readonly lastSeq: number;
  /** False: the machine itself went down (or that cannot be told), so that rows after the last flush to disk may be missing. */
  readonly proven: boolean;
  /** The segments that were there when it was sealed; those stored before may have gone. */
  readonly segments: readonly SealedSegment[];
}

export interface SealedSegment {
  readonly index: number;
  /** -1 and -1: it holds no frame. */
  readonly firstSeq: number;
  readonly lastSeq: number;
  /** Size of the file, after its torn tail was cut. */
  readonly bytes: number;
}

export const STATE_FILE = 'state.json';
const STATE_BYTES = 4096;

/**
 * Writes the state: to a temporary file, then renamed. A disk without room: written over in place.
 * @param durable true: also flushed to disk (the opening and the seal; marks need only outlive processes)
 */
export function writeState(streamDir: string, state: StreamState, durable: boolean): void {
  const text = encode(state);
  const path = join(streamDir, STATE_FILE);
  try {
    writeWhole(`${path}.tmp`, 'w', text, durable);
    renameSync(`${path}.tmp`, path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if ((code !== 'ENOSPC' && code !== 'EDQUOT') || text.length !== STATE_BYTES) throw error;
    writeWhole(path, 'r+', text, durable);
  }
  if (durable) flushDirectory(streamDir);
}

/** The first state of a stream that is just being made, on disk. Null: takes the room of one, and reads as none. */
export function createState(streamDir: string, state: StreamState | null): void {
  writeWhole(join(streamDir, STATE_FILE), 'w', state === null ? Buffer.alloc(STATE_BYTES, ' ') : encode(state), true);
}

/** Writes the state over the one that is there, on disk; needs no room. Only where nobody reads yet. */
export function overwriteState(streamDir: string, state: StreamState): void {
  writeWhole(join(streamDir, STATE_FILE), 'r+', encode(state), true);
}

/** Null: absent, or not readable as a state (a power cut can leave it empty). */
export function readState(streamDir: string): StreamState | null {
  // twice, because a write in place can be met half done
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      return parseState(JSON.parse(readFileSync(join(streamDir, STATE_FILE), 'utf8')));
    } catch (error) {
      if (!(error instanceof SyntaxError)) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
        throw error;
      }
    }
  }
  return null;
}

/** Makes a directory's entries (new and renamed files) durable. Not all file systems can: what fails is left. */
export function flushDirectory(path: string): void {
  try {
    const fd = openSync(path, 'r');
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  } catch {
    // some network file systems refuse fsync of a directory: durable enough is what the disk gives
  }
}

function encode(state: StreamState): Buffer {
  return Buffer.from(`${JSON.stringify(state)}\n`.padEnd(STATE_BYTES, ' '));
}

function writeWhole(path: string, flags: 'w' | 'r+', bytes: Buffer, durable: boolean): void {
  const fd = openSync(path, flags, 0o640);
  try {
    for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done, bytes.length - done, done);
    if (durable) fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function parseState(value: unknown): StreamState | null {
  if (typeof value !== 'object' || value === null) return null;
  const state = value as Partial<Record<keyof StreamState, unknown>>;
  const valid = state.format === 1 && typeof state.stream === 'string' && /^[0-9a-f]{16}$/.test(state.stream)
    && typeof state.node === 'string' && isCount(state.worker) && isCount(state.pid) && typeof state.openedAt === 'string'
    && typeof state.markedAt === 'string' && isSeq(state.lastSeq) && (state.pidStart === null || isCount(state.pidStart))
    && (state.bootId === null || typeof state.bootId === 'string') && (state.seal === null || isSeal(state.seal));
  return valid ? value as StreamState : null;
}

function isSeal(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const seal = value as Partial<Record<keyof StreamSeal, unknown>>;
  return typeof seal.sealedAt === 'string' && isSeq(seal.lastSeq) && typeof seal.proven === 'boolean' && Array.isArray(seal.segments);
}

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const isSeq = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= -1;
