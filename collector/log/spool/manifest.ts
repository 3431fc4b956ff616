/**
 * The manifest: what the collector is about to insert, made durable before the insert begins, and where it goes on afterwards. After a crash
 * exactly that insert is made again, with the settings written here, and of rows as `plan.structure` has them: an older program may have begun it.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { TidegateError } from '../../../errors/tidegate-error.js';
import { flushDirectory } from '../../../gateway/events/stream-state.js';
import type { InsertPlan } from '../../store/insert-statement.js';
import type { SeqRunOfStream } from '../picked-rows.js';

/** A place in a stream, between two frames. */
export interface Place {
  readonly segment: number;
  readonly offset: number;
  /** One past the last seq that was stored before this place. */
  readonly seq: number;
}

export interface Span {
  /** 16 hexadecimal digits. */
  readonly stream: string;
  readonly from: Place;
  /** Equal to `from`: nothing of this stream is in the range. */
  readonly to: Place;
}

export interface Manifest {
  readonly format: 1;
  /** Number of the range, from 1. */
  readonly range: number;
  readonly plan: InsertPlan;
  /** Every stream of the spool. */
  readonly spans: readonly Span[];
  /** Frames within the spans that hold only what is stored already: not in the staging file. */
  readonly repeats: readonly SeqRunOfStream[];
  /** Of the staging file. 0 rows: no insert, the places move only. */
  readonly rows: number;
  readonly bytes: number;
  readonly crc: number;
}

/** Atomic and durable: temporary file, fsync, rename, fsync of the directory. */
export function writeManifest(path: string, manifest: Manifest): void {
  const fd = openSync(`${path}.tmp`, 'w', 0o640);
  try {
    writeFileSync(fd, `${JSON.stringify(manifest)}\n`);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(`${path}.tmp`, path);
  flushDirectory(dirname(path));
}

/** Null: there is none. @throws store_without_manifest: there is one, but it cannot be read */
export function readManifest(path: string): Manifest | null {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  const manifest = parse(text);
  if (manifest === null) throw new TidegateError('store_without_manifest', `${path} cannot be read as a manifest of this version`);
  return manifest;
}

function parse(text: string): Manifest | null {
  try {
    const manifest = JSON.parse(text) as Partial<Manifest>;
    const { format, range, plan, spans, repeats, rows } = manifest;
    const valid = format === 1 && Number.isSafeInteger(range) && typeof plan?.token === 'string' && Array.isArray(spans) && Array.isArray(repeats) && Number.isSafeInteger(rows);
    return valid ? manifest as Manifest : null;
  } catch {
    return null;
  }
}
