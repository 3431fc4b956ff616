/**
 * What a worker has counted, in a file of the run directory: it writes it each second in which something was recorded, whether the supervisor is there or not. Whoever is killed,
 * a worker alone or everything at once, what the node tells afterwards lacks a second of that worker at most.
 */
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { MetricsSnapshot } from './metrics-snapshot.js';

const FILE = /^counts-([0-9a-f]{16})\.json$/;
const fileOf = (dir: string, stream: string): string => join(dir, `counts-${stream}.json`);

/** How far a life of a worker had come: of two snapshots of it the one with more is the newer. */
export function progressOf({ recorded, dropped }: Pick<MetricsSnapshot, 'recorded' | 'dropped'>): number {
  return dropped.reduce((sum, [, count]) => sum + count, recorded);
}

/** The worker's end. */
export class CountsKeeper {
  readonly #dir: string;
  readonly #stream: string;
  readonly #read: () => MetricsSnapshot;
  readonly #progress: () => number;
  #kept = 0;

  /** @param progress as progressOf what `read` would say */
  constructor(dir: string, stream: string, read: () => MetricsSnapshot, progress: () => number) {
    this.#dir = dir;
    this.#stream = stream;
    this.#read = read;
    this.#progress = progress;
  }

  /** Never throws. */
  keep(): void {
    const progress = this.#progress();
    if (progress === this.#kept) return;
    const path = fileOf(this.#dir, this.#stream);
    try {
      writeFileSync(`${path}.new`, JSON.stringify(this.#read()), { mode: 0o600 });
      renameSync(`${path}.new`, path);
      this.#kept = progress;
    } catch {
      // a full disk, or the run is over: tried again in a second
    }
  }
}

/** Of all workers of this run whose counts are not in the base yet, by stream. */
export function keptStreams(dir: string): string[] {
  try {
    return readdirSync(dir).flatMap((name) => FILE.exec(name)?.[1] ?? []);
  } catch {
    return [];
  }
}

/** Null: it has kept none, or they cannot be read. */
export function readCounts(dir: string, stream: string): MetricsSnapshot | null {
  try {
    return JSON.parse(readFileSync(fileOf(dir, stream), 'utf8')) as MetricsSnapshot;
  } catch {
    return null;
  }
}

export function removeCounts(dir: string, stream: string): void {
  rmSync(fileOf(dir, stream), { force: true });
}
