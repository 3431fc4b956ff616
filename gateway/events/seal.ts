/**
 * What the supervisor does to streams: marks how far they have come, and seals them once their worker is proven dead.
 */
import { closeSync, existsSync, fsyncSync, ftruncateSync, openSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { DROPS_FILE, readDrops } from './drop-page.js';
import { bootId } from './process-life.js';
import { decodeRows } from './read-rows.js';
import { firstSeqOf, readSegment } from './read-segment.js';
import { listSegments, type SegmentFile } from './segment.js';
import type { SpoolLog } from './spool-log.js';
import { readState, writeState, type SealedSegment, type StreamState } from './stream-state.js';
import { writerLives, type WriterLives } from './writer-life.js';

/**
 * Moves a live stream's mark to `lastSeq`, as the worker reported it, and confirms it if it has not moved. A mark never goes back; a sealed stream's stays.
 * Throws what the file system says.
 */
export function updateMark(streamDir: string, lastSeq: number): void {
  const state = readState(streamDir);
  if (state === null || state.seal !== null) return;
  writeState(streamDir, { ...state, lastSeq: Math.max(state.lastSeq, lastSeq), markedAt: new Date().toISOString() }, false);
}

/**
 * Seals a stream whose worker is dead: cuts the torn frame at its end (its answers never went out), and writes down its last seq and its segments.
 * Returns the sealed state; null while the worker lives, or if there is no such stream. Again on a sealed stream: nothing happens. A crash in between is harmless: what is
 * cut is cut once, and the seal is one rename.
 * @param lives by default the process alone is looked at: pid, start time, boot
 */
export function sealStream(streamDir: string, log: SpoolLog, lives: WriterLives = writerLives): StreamState | null {
  const state = readState(streamDir) ?? stateOfRemains(streamDir);
  if (state === null || state.seal !== null) return state;
  if (lives(state)) return null;
  const segments = readExtents(listSegments(streamDir), state.stream, log);
  const drops = readDrops(streamDir);
  const lastSeq = Math.max(state.lastSeq, drops?.reachedSeq ?? -1, ...segments.map((segment) => segment.lastSeq));
  const proven = state.bootId !== null && state.bootId === bootId();
  const sealedAt = new Date().toISOString();
  const sealed: StreamState = { ...state, lastSeq, markedAt: sealedAt, seal: { sealedAt, lastSeq, proven, segments } };
  writeState(streamDir, sealed, true);
  log.info({ stream: state.stream, worker: state.worker, last_seq: lastSeq, proven, dropped: drops?.rows ?? 0 }, 'stream sealed');
  return sealed;
}

/**
 * First and last seq of each segment. Only the last one that holds rows is read whole: a spool that waits for its collector can be many gigabytes. Those before
 * it end where the next begins.
 */
function readExtents(files: readonly SegmentFile[], stream: string, log: SpoolLog): SealedSegment[] {
  const extents: SealedSegment[] = [];
  let nextFirst = -1;
  for (const file of files.toReversed()) {
    const extent = nextFirst === -1 ? readWhole(file, stream) : { firstSeq: firstSeqOf(file, stream), lastSeq: nextFirst - 1, tornAt: -1 };
    const bytes = extents.length === 0 && extent.tornAt !== -1 ? cut(file, extent.tornAt, log) : file.bytes;
    const { firstSeq } = extent;
    extents.unshift({ index: file.index, firstSeq, lastSeq: firstSeq === -1 ? -1 : extent.lastSeq, bytes });
    if (firstSeq !== -1) nextFirst = firstSeq;
  }
  return extents;
}

/** `tornAt`: where a torn frame begins that the segment ends with; -1: it ends well, or in damage, which stays for quarantine. */
function readWhole(file: SegmentFile, stream: string): { firstSeq: number; lastSeq: number; tornAt: number } {
  let firstSeq = -1;
  let lastSeq = -1;
  let tornAt = -1;
  for (const item of readSegment(file, stream, 0, true)) {
    if (item.kind === 'corrupt') {
      if (item.reason === 'torn' && item.toOffset === file.bytes) tornAt = item.at.offset;
    } else if (item.count > 0) {
      if (firstSeq === -1) firstSeq = item.firstSeq;
      lastSeq = Math.max(lastSeq, item.firstSeq + item.count - 1);
    }
  }
  return { firstSeq, lastSeq, tornAt };
}

function cut(file: SegmentFile, bytes: number, log: SpoolLog): number {
  log.warn({ segment: file.path, from: bytes, bytes: file.bytes - bytes }, 'a torn frame was cut: its answers were never sent');
  const fd = openSync(file.path, 'r+');
  try {
    ftruncateSync(fd, bytes);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  return bytes;
}

/**
 * A stream without a readable state.json: the machine went down before it reached the disk. What the rows and the directory still tell; null if the directory is none of a
 * stream (or is being removed). The writer counts as dead, and the seal will be unproven.
 */
function stateOfRemains(streamDir: string): StreamState | null {
  const stream = basename(streamDir);
  const segments = listSegments(streamDir);
  if (!/^[0-9a-f]{16}$/.test(stream) || (segments.length === 0 && !existsSync(join(streamDir, DROPS_FILE)))) return null;
  const openedAt = statSync(streamDir).birthtime.toISOString();
  const remains: StreamState = { format: 1, stream, node: '', worker: 0, pid: 0, pidStart: null, bootId: null, openedAt, lastSeq: -1, markedAt: openedAt, seal: null };
  for (const file of segments) {
    for (const item of readSegment(file, stream, 0, true)) {
      if (item.kind !== 'frame') continue;
      for (const { node, worker } of decodeRows(item.rows)) return { ...remains, node, worker };
    }
  }
  return remains;
}
