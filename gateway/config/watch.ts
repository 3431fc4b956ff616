/**
 * Watches the configuration and the files it refers to, by looking at them several times a second: that notices what events miss (a file
 * renamed over another, a symbolic link of Kubernetes turned to another folder, network file systems), and needs nothing set up again afterwards.
 */
import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { readBounded } from './bounded-file.js';
import { loadConfigAside } from './load-aside.js';
import { MAX_CONFIG_BYTES } from './load.js';
import type { LoadResult } from './load.js';

const INTERVAL_MS = 200;
/** A change is taken up when two looks agree, so that a file is not read half written; or at the latest after so many that do not. */
const MOST_LOOKS = 3;
/** Two writes so close together may leave the same times and size: so young a file is looked into. */
const YOUNG_MS = 2000;

export interface WatchOptions {
  readonly file: string;
  /**
   * Called for each change, with the configuration or with what is wrong with it; the next waits for it. `request`: reload() was called.
   * A file that was written again with what it held comes too, under the same version. Must not throw.
   */
  readonly onResult: (result: LoadResult, cause: 'file' | 'request') => void | Promise<void>;
  readonly load?: (file: string) => Promise<LoadResult>;
}

export class ConfigWatcher {
  readonly #options: WatchOptions;
  readonly #load: (file: string) => Promise<LoadResult>;
  #files: readonly string[];
  #seen: readonly FileState[] = [];
  #timer: NodeJS.Timeout | null = null;
  #closed = false;
  /** Serialises loads: a request and a change at once make two, one after the other. */
  #work: Promise<unknown> = Promise.resolve();

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#load = options.load ?? loadConfigAside;
    this.#files = [resolve(options.file)];
  }

  /** The first load, whose result is the answer only; from then on changes come to onResult. */
  async start(): Promise<LoadResult> {
    const result = await this.#read();
    this.#next(1, this.#seen);
    return result;
  }

  /** Loads now, changed or not. onResult has been given the result when this answers with it. */
  reload(): Promise<LoadResult> {
    return this.#take('request');
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #next(looks: number, last: readonly FileState[]): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => { void this.#look(looks, last); }, INTERVAL_MS);
    this.#timer.unref();
  }

  async #look(looks: number, last: readonly FileState[]): Promise<void> {
    const now = this.#files.map(stateOf);
    if (same(now, this.#seen)) {
      this.#seen = now;
      this.#next(1, now);
    } else if (same(now, last) || looks >= MOST_LOOKS) {
      await this.#take('file');
      this.#next(1, this.#seen);
    } else this.#next(looks + 1, now);
  }

  #take(cause: 'file' | 'request'): Promise<LoadResult> {
    const work = this.#work.then(async () => {
      const result = await this.#read();
      if (!this.#closed) await this.#options.onResult(result, cause);
      return result;
    });
    this.#work = work.catch(() => undefined);
    return work;
  }

  /** Looks before it reads, so that a write in between is a change again; reads once more when that brings files not looked at before. */
  async #read(): Promise<LoadResult> {
    for (let attempt = 1; ; attempt++) {
      this.#seen = this.#files.map(stateOf);
      const result = await this.#load(this.#options.file);
      const files = [...new Set([resolve(this.#options.file), ...result.files])];
      const known = files.every((file) => this.#files.includes(file));
      if (known || attempt === 3) {
        if (files.length !== this.#files.length) this.#seen = files.map((file) => this.#seen[this.#files.indexOf(file)] ?? stateOf(file));
        this.#files = files;
        return result;
      }
      this.#files = files;
    }
  }
}

interface FileState {
  /** Of the inode that the path leads to now, links followed; or why there is none. */
  readonly inode: string;
  /** null: old enough for the inode's times to tell. */
  readonly content: string | null;
}

function stateOf(path: string): FileState {
  try {
    const { dev, ino, size, mtimeMs, ctimeMs } = statSync(path);
    const young = Date.now() - Math.max(mtimeMs, ctimeMs) < YOUNG_MS;
    const content = young ? readBounded(path, MAX_CONFIG_BYTES) : null;
    const digest = content === null ? null : content.bytes === null ? content.why : createHash('sha256').update(content.bytes).digest('hex');
    return { inode: `${dev}:${ino}:${size}:${mtimeMs}:${ctimeMs}`, content: digest };
  } catch (error) {
    return { inode: (error as NodeJS.ErrnoException).code ?? 'unreadable', content: null };
  }
}

function same(a: readonly FileState[], b: readonly FileState[]): boolean {
  return a.length === b.length && a.every((state, i) => {
    const other = b[i];
    return other !== undefined && state.inode === other.inode && (state.content === null || other.content === null || state.content === other.content);
  });
}
