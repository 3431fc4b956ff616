/**
 * The file that all processes of a node write their lines to. Each has it open to append, and a line is one write, so lines stay whole; each
 * looks every second whether the file that has the name is still its own, so that whoever puts it aside (rotation.ts) tells nobody.
 */
import { closeSync, fstatSync, statSync, write, writeSync } from 'node:fs';
import { openLogFile } from '../../gateway/supervisor/open-log-file.js';

export const LOOK_EVERY_MS = 1000;
const LINE_END = 0x0a;

/**
 * `fd` must not be closed under a write: its number may be another file's by the time that the write is made. `torn`: the last write failed, here and so for others
 * too, and half a line may be the file's end: the next begins with a line's end. Not cut off: others append, too.
 */
interface Opened { readonly fd: number; writing: number; leaving: boolean; torn: boolean }

export class LogFile {
  readonly path: string;
  #opened: Opened | null = null;
  #lookedAtMs = Number.NEGATIVE_INFINITY;
  #fault: string | null = null;

  constructor(path: string) {
    this.path = path;
  }

  /** Why the last write, or the file's opening, failed: the system's code, or words; null: it did not. */
  get fault(): string | null { return this.#fault; }

  /** @returns the lines that it did not take as a whole; '': it took all */
  append(text: string): string {
    const opened = this.#current();
    if (opened === null) return text;
    const put = opened.torn ? `\n${text}` : text;
    try {
      return this.#wrote(opened, put, text, null, writeSync(opened.fd, put));
    } catch (error) {
      return this.#wrote(opened, put, text, error, 0);
    }
  }

  /** As `append`, and whoever calls goes on meanwhile. */
  appendLater(text: string, done: (left: string) => void): void {
    const opened = this.#current();
    if (opened === null) {
      done(text);
      return;
    }
    const put = opened.torn ? `\n${text}` : text;
    opened.writing++;
    write(opened.fd, put, (error, bytes) => {
      opened.writing--;
      if (opened.leaving && opened.writing === 0) closeSync(opened.fd);
      done(this.#wrote(opened, put, text, error, bytes));
    });
  }

  /** Lets go of a file that was put aside, also where nothing is written: what it takes on the disk is free only then. */
  look(): void {
    this.#lookedAtMs = performance.now();
    if (this.#opened !== null && this.#isCurrent(this.#opened.fd)) return;
    this.close();
    const opened = openLogFile(this.path);
    if (opened.fd !== null) this.#opened = { fd: opened.fd, writing: 0, leaving: false, torn: false };
    this.#fault = opened.fd === null ? opened.why : null;
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

  /** @param put what was to be written: `text`, maybe after a line's end */
  #wrote(opened: Opened, put: string, text: string, error: unknown, written: number): string {
    opened.torn = error !== null || written < Buffer.byteLength(put);
    // a write that is short says no reason, and this is the usual one
    this.#fault = error !== null ? reason(error) : opened.torn ? 'ENOSPC' : null;
    if (!opened.torn) return '';
    const bytes = Buffer.from(put);
    const whole = bytes.subarray(0, written).lastIndexOf(LINE_END) + 1;
    return whole === 0 ? text : bytes.toString('utf8', whole);
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
