/** Where a process's lines go: the log file, and standard output where there is none or while it cannot be written. Never throws, and never ends a process. */
import { fstatSync, write, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { LogFile } from './log-file.js';

const STDOUT = 1;
/** POSIX: so much into a pipe is written in one piece, and processes share the pipe. */
const PIPE_BYTES = 4096;
const FILE_BYTES = 64 * 1024;
/** Lines that wait for a slow reader; those beyond are left out. */
const MOST_WAITING_BYTES = 4 * 1024 * 1024;
const BUSY_MS = 10;
const BUSY_TIMES = 100;
/** A reader that has taken nothing for so long is not waited for by a process that ends. */
const STUCK_MS = 500;
const NOT_ASCII = /[\u0080-\uffff]/g;

export class LineOutput {
  #file: LogFile | null = null;
  /** Whole lines, no longer than what is written in one piece. */
  #waiting: string[] = [];
  #waitingBytes = 0;
  /** What the file did not take: for standard output, before what waits. */
  #refused: string[] = [];
  #writing: 'nothing' | 'file' | 'stdout' = 'nothing';
  #writingSinceMs = 0;
  #stdoutGone = false;
  /** Standard output, where that is a pipe or a socket: a write of the thread pool to a full one would hold up the process's end. Null: a file or terminal. */
  #stdoutPipe: Socket | null | undefined;
  #lost = 0;
  #onWritten: () => void = () => {};

  /** Lines that could not be written, or were too many. */
  get lost(): number { return this.#lost; }
  /** Why the log file cannot be written; null: it can, or there is none. */
  get fault(): string | null { return this.#file?.fault ?? null; }

  /** @param path null: standard output */
  moveTo(path: string | null): void {
    if ((this.#file?.path ?? null) === path) return;
    this.#file?.close();
    this.#file = path === null ? null : new LogFile(path);
    this.#file?.look();
  }

  /** Looks whether the file has been put aside; to be called every second. */
  look(): void {
    this.#file?.look();
  }

  /** At once: it is written when this returns, whatever becomes of the process. */
  write(line: string): void {
    const left = this.#file === null ? line : this.#file.append(line);
    if (left !== '' && !this.#toStdout(left)) this.#lost += linesIn(left);
  }

  /** Soon, without holding anybody up: in the order given, as many at a time as go in one piece. */
  writeLater(lines: readonly string[]): void {
    const most = this.#file === null ? PIPE_BYTES : FILE_BYTES;
    for (const line of lines) {
      const ascii = line.replaceAll(NOT_ASCII, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
      if (this.#waitingBytes + ascii.length > MOST_WAITING_BYTES) {
        this.#lost++;
        continue;
      }
      this.#waitingBytes += ascii.length;
      const last = this.#waiting.at(-1);
      if (last !== undefined && last.length + ascii.length <= most) this.#waiting[this.#waiting.length - 1] = last + ascii;
      else this.#waiting.push(ascii);
    }
    if (this.#writing === 'nothing') this.#next();
  }

  /** What waits, at once: the process ends. Not where nobody takes it. */
  flush(): void {
    const isStuck = this.#writing === 'stdout' && performance.now() - this.#writingSinceMs > STUCK_MS;
    if (isStuck && (this.#file === null || this.fault !== null)) return;
    if (!isStuck) for (const text of this.#refused) if (!this.#toStdout(text)) this.#lost += linesIn(text);
    for (const text of this.#waiting) this.write(text);
    this.#refused = [];
    this.#waiting = [];
  }

  /** Resolves when nothing waits and nothing is being written; where nobody takes it, after a while. */
  async written(): Promise<void> {
    if (this.#writing === 'nothing') return;
    await new Promise<void>((resolve) => {
      this.#onWritten = resolve;
      setTimeout(resolve, STUCK_MS);
    });
  }

  #next(): void {
    this.#writingSinceMs = performance.now();
    if (this.#refused.length === 0) {
      const text = this.#waiting.shift();
      if (text === undefined) {
        this.#writing = 'nothing';
        this.#onWritten();
        return;
      }
      if (this.#file !== null) {
        this.#writing = 'file';
        this.#file.appendLater(text, (left) => {
          this.#waitingBytes -= text.length - left.length;
          this.#refused = piecesOf(left);
          this.#next();
        });
        return;
      }
      this.#refused = piecesOf(text);
    }
    this.#writing = 'stdout';
    this.#toStdoutLater(this.#refused.shift() ?? '');
  }

  #toStdoutLater(text: string): void {
    const done = (written: boolean): void => {
      this.#waitingBytes -= text.length;
      if (!written) this.#lost += linesIn(text);
      this.#next();
    };
    const pipe = this.#stdoutPipe === undefined ? this.#stdoutPipe = pipeOf(STDOUT) : this.#stdoutPipe;
    if (pipe !== null) pipe.write(text, (error) => { done(!(error instanceof Error)); });
    else write(STDOUT, text, (error, bytes) => { done(error === null && bytes === text.length); });
  }

  #toStdout(line: string): boolean {
    if (this.#stdoutGone) return false;
    const bytes = Buffer.from(line);
    let at = 0;
    for (let tries = 0; at < bytes.length && tries < BUSY_TIMES;) {
      try {
        at += writeSync(STDOUT, bytes, at);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        // nobody reads any more, and nobody will
        if (code === 'EPIPE') this.#stdoutGone = true;
        if (code !== 'EAGAIN') return false;
        tries++;
        Atomics.wait(WAIT, 0, 0, BUSY_MS);
      }
    }
    return at === bytes.length;
  }
}

const linesIn = (text: string): number => text.split('\n').length - 1;

/** Whole lines, as many as a pipe takes in one piece. */
function piecesOf(lines: string): string[] {
  const pieces: string[] = [];
  for (let at = 0; at < lines.length;) {
    const fits = lines.lastIndexOf('\n', at + PIPE_BYTES - 1);
    const end = (fits < at ? lines.indexOf('\n', at) : fits) + 1 || lines.length;
    pieces.push(lines.slice(at, end));
    at = end;
  }
  return pieces;
}

/** Sets it so that it does not block, for all who share it: writeSync then has to try again. */
function pipeOf(fd: number): Socket | null {
  const kind = fstatSync(fd);
  if (!kind.isFIFO() && !kind.isSocket()) return null;
  // each write hears of its own error
  return new Socket({ fd, readable: false, writable: true }).on('error', () => undefined);
}

const WAIT = new Int32Array(new SharedArrayBuffer(4));
