/**
 * The file that all processes of a node write their lines to. Each has it open to append, and a line is one write, so lines stay whole; each
 * looks every second whether the file that has the name is still its own, so that whoever puts it aside (rotation.ts) tells nobody.
 */
import { closeSync, fstatSync, openSync, statSync, write, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { makeFolder } from '../../gateway/events/make-folder.js';

export const LOOK_EVERY_MS = 1000;
const MODE = 0o640;

/** A descriptor must not be closed under a write: its number may be another file's by the time that the write is made. */
interface Opened { readonly fd: number; writing: number; leaving: boolean }

export class LogFile {
  readonly path: string;
  #opened: Opened | null = null;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #fault: string | null = null;

  constructor(path: string) {
    this.path = path;
  }

  /** Why the last write, or the file's opening, failed; null: it did not. */
  get fault(): string | null { return this.#fault; }

  /** False: it was not written, or not as a whole. */
  append(text: string): boolean {
    const opened = this.#current();
    if (opened === null) return false;
    try {
      const whole = writeSync(opened.fd, text) === Buffer.byteLength(text);
      this.#fault = whole ? null : 'ENOSPC';
      return whole;
    } catch (error) {
      this.#fault = reason(error);
      return false;
    }
  }

  /** As `append`, and whoever calls goes on meanwhile. */
  appendLater(text: string, done: (written: boolean) => void): void {
    const opened = this.#current();
    if (opened === null) {
      done(false);
      return;
    }
    opened.writing++;
    write(opened.fd, text, (error, bytes) => {
      opened.writing--;
      if (opened.leaving && opened.writing === 0) closeSync(opened.fd);
      done(error === null && bytes === Buffer.byteLength(text));
    });
  }

  /** Lets go of a file that was put aside, also where nothing is written: what it takes on the disk is free only then. */
  look(): void {
    this.#lookedAtMs = performance.now();
    if (this.#opened !== null && this.#isCurrent(this.#opened.fd)) return;
    this.close();
    try {
      makeFolder(dirname(this.path));
      this.#opened = { fd: openSync(this.path, 'a', MODE), writing: 0, leaving: false };
      this.#fault = null;
    } catch (error) {
      this.#fault = reason(error);
    }
  }

  close(): void {
    const opened = this.#opened;
    this.#opened = null;
    if (opened === null) return;
    opened.leaving = true;
    if (opened.writing === 0) closeSync(opened.fd);
  }

  #current(): Opened | null {
    // by the time that has passed, not by the timer alone: a process that stood still looks before it writes
    if (performance.now() - this.#lookedAtMs >= LOOK_EVERY_MS) this.look();
    return this.#opened;
  }

  #isCurrent(fd: number): boolean {
    try {
      const own = fstatSync(fd);
      const named = statSync(this.path);
      return own.ino === named.ino && own.dev === named.dev;
    } catch {
      return false;
    }
  }
}

const reason = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error);
