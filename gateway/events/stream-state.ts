/**
 * state.json of a stream: who writes the stream, how far it is known to have come, and, at its end, the seal. The worker makes it when it
 * opens the stream; afterwards only the supervisor writes it.
 *
 * The text is padded with spaces to STATE_BYTES and a mark is written over the one before, in place: on ext4 a rename over a file that is there
 * flushes the new one to disk first (auto_da_alloc; up to 1 s was seen on a busy disk, each second, for every stream), and on a full disk there
 * would be no room for a second file. Segments go only when the mark has passed them, so a mark that needed room would keep a full disk full.
 * A reader that meets a write half done sees it by the checksum, and reads again.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { ProcessIdentity } from './process-life.js';
import { writeWhole } from './write-whole.js';

export interface StreamState extends ProcessIdentity {
  readonly format: 1;
  /** 16 hexadecimal digits. */
  readonly stream: string;
  /** Of the launcher's run that the worker belongs to (node-lock.ts); absent: it was not locked, or it is an import, or an older version's. */
  readonly run?: string;
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
const READ_ATTEMPTS = 3;

/**
 * Writes the state over the one that is there.
 * @param durable true: on disk when it returns, and the old one whole until then (the seal); marks need only outlive processes
 */
export function writeState(streamDir: string, state: StreamState, durable: boolean): void {
  const text = encode(state);
  const path = join(streamDir, STATE_FILE);
  const inPlace = text.length === STATE_BYTES && statSync(path, { throwIfNoEntry: false })?.size === STATE_BYTES;
  if (!durable && inPlace) {
    writeWhole(path, 'r+', text, false);
    return;
  }
  try {
    writeWhole(`${path}.tmp`, 'w', text, durable);
    renameSync(`${path}.tmp`, path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if ((code !== 'ENOSPC' && code !== 'EDQUOT') || !inPlace) throw error;
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
  // more than once, because a write in place can be met half done
  for (let attempt = 0; attempt < READ_ATTEMPTS; attempt++) {
    try {
      const state = decode(readFileSync(join(streamDir, STATE_FILE), 'utf8'));
      if (state !== null) return state;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
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

/** `{"crc":<CRC-32 of the state's JSON>,"state":<the state's JSON>}`, a line break, spaces. */
function encode(state: StreamState): Buffer {
  const json = JSON.stringify(state);
  return Buffer.from(`{"crc":${crc32(json)},"state":${json}}\n`.padEnd(STATE_BYTES, ' '));
}

const ENCODED = /^\{"crc":(\d+),"state":(\{.*\})\}\n *$/;

function decode(text: string): StreamState | null {
  const [, crc, json] = ENCODED.exec(text) ?? [];
  return json === undefined || crc32(json) !== Number(crc) ? null : parseState(JSON.parse(json));
}

function parseState(value: unknown): StreamState | null {
  if (typeof value !== 'object' || value === null) return null;
  const state = value as Partial<Record<keyof StreamState, unknown>>;
  const valid = state.format === 1 && typeof state.stream === 'string' && /^[0-9a-f]{16}$/.test(state.stream)
    && typeof state.node === 'string' && isCount(state.worker) && isCount(state.pid) && typeof state.openedAt === 'string'
    && typeof state.markedAt === 'string' && isSeq(state.lastSeq) && (state.run === undefined || typeof state.run === 'string') && (state.pidStart === null || isCount(state.pidStart))
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
