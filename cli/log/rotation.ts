/**
 * Puts the log file aside when it is large or old, compresses what was put aside, and removes the oldest. One process of a node does it
 * (the supervisor); the others find by themselves that the name leads to another file (log-file.ts).
 *
 *   tidegate.log                              is written
 *   tidegate.log.2026-11-23T235959.999Z       was put aside: within a second nobody writes to it any more
 *   tidegate.log.2026-11-23T235959.999Z.gz    compressed
 */
import { createReadStream, createWriteStream, existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type { LogSettings } from '../../gateway/supervisor/log-settings.js';
import { LOOK_EVERY_MS } from './log-file.js';

/** So long after it was put aside a file may still be written to, by a process that looks late. */
const SETTLED_MS = 10 * LOOK_EVERY_MS;
const STAMP = /^\.(\d{4}-\d\d-\d\dT\d{6}\.\d{3}Z)(\.gz)?$/;

const NOT_SEEN = { inode: -1, sinceMs: 0 };

interface Aside { readonly path: string; readonly atMs: number; readonly compressed: boolean }

export interface RotationOptions {
  readonly settings: Pick<LogSettings, 'file' | 'rotate'>;
  readonly log: { warn(fields: object, message: string): void };
  readonly nowMs?: () => number;
}

export class LogRotation {
  readonly #log: RotationOptions['log'];
  readonly #nowMs: () => number;
  #settings: RotationOptions['settings'];
  #compressing: Promise<void> | null = null;
  /** Since when the file is known; its age on a file system that keeps no times of birth (they read as 0). */
  #seen = NOT_SEEN;
  /** What the last look failed with, so that it is said once. */
  #fault = '';

  constructor({ settings, log, nowMs = Date.now }: RotationOptions) {
    this.#settings = settings;
    this.#log = log;
    this.#nowMs = nowMs;
  }

  configure(settings: RotationOptions['settings']): void {
    this.#settings = settings;
  }

  /** Looks whether there is something to do; to be called every second. Never throws. */
  look(): void {
    const { file } = this.#settings;
    if (file === null) return;
    try {
      this.#putAside(file);
      this.#removeOldest(file);
      this.#compressing ??= this.#compress(file).catch((error: unknown) => { this.#failed(error); }).finally(() => { this.#compressing = null; });
    } catch (error) {
      this.#failed(error);
    }
  }

  /** Resolves when what is being compressed is. */
  async settled(): Promise<void> {
    await this.#compressing;
  }

  #putAside(file: string): void {
    const { bytes, ageMs } = this.#settings.rotate;
    const found = statSync(file, { throwIfNoEntry: false });
    // what took the file's name meanwhile, a folder say, is not the log's to put aside
    if (found === undefined || !found.isFile() || found.size === 0) return;
    if (this.#seen.inode !== found.ino) this.#seen = { inode: found.ino, sinceMs: this.#nowMs() };
    const bornMs = found.birthtimeMs > 0 ? found.birthtimeMs : this.#seen.sinceMs;
    if (found.size < bytes && this.#nowMs() - bornMs < ageMs) return;
    const aside = `${file}.${new Date(this.#nowMs()).toISOString().replaceAll(':', '')}`;
    // a clock that was set back: at the next look
    if (existsSync(aside) || existsSync(`${aside}.gz`)) return;
    renameSync(file, aside);
    this.#seen = NOT_SEEN;
    this.#fault = '';
  }

  #removeOldest(file: string): void {
    const aside = asideOf(file);
    for (const { path } of aside.slice(0, Math.max(0, aside.length - this.#settings.rotate.keep))) rmSync(path, { force: true });
  }

  /** The whole under another name first: a file that is there as `.gz` is whole. */
  async #compress(file: string): Promise<void> {
    for (const { path, atMs, compressed } of asideOf(file)) {
      if (compressed || this.#nowMs() - atMs < SETTLED_MS) continue;
      // what a compression that failed has left is written over
      await pipeline(createReadStream(path), createGzip(), createWriteStream(`${file}.compressing`, { mode: 0o640 }));
      renameSync(`${file}.compressing`, `${path}.gz`);
      rmSync(path, { force: true });
    }
  }

  #failed(error: unknown): void {
    const { file } = this.#settings;
    const fault = (error as NodeJS.ErrnoException).code ?? String(error);
    if (fault === this.#fault) return;
    this.#fault = fault;
    this.#log.warn({ code: 'log_file', err: error, file }, 'the log file cannot be put aside or compressed; it is tried again each second');
  }
}

/** What was put aside of this file, oldest first. */
function asideOf(file: string): Aside[] {
  const folder = dirname(file);
  const name = basename(file);
  return readdirSync(folder).filter((other) => other.startsWith(name)).flatMap((other) => {
    const [, stamp, gz] = STAMP.exec(other.slice(name.length)) ?? [];
    if (stamp === undefined) return [];
    const atMs = Date.parse(`${stamp.slice(0, 13)}:${stamp.slice(13, 15)}:${stamp.slice(15)}`);
    return [{ path: join(folder, other), atMs, compressed: gz !== undefined }];
  }).sort((a, b) => a.atMs - b.atMs);
}
