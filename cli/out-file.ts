/** What a command writes to a file, or to standard output: a file is there whole, or not at all. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { TidegateError } from '../errors/tidegate-error.js';
import { bytes } from './render/figures.js';
import { printable } from './render/terminal.js';

/** Written beside its place, and moved there at the end: who looks sees what was there before, or all of it. Exactly one of keep() and discard() must follow. */
export class OutFile {
  readonly #path: string;
  readonly #part: string;
  readonly #fd: number;

  /** @throws out_file */
  constructor(path: string) {
    this.#path = path;
    // not by the pid: in another container it is another process's too
    this.#part = `${path}.${randomUUID()}.part`;
    this.#fd = failing(path, () => openSync(this.#part, 'w', 0o640));
  }

  /** @throws out_file */
  write(bytes: Uint8Array): void {
    failing(this.#path, () => {
      for (let at = 0; at < bytes.length;) at += writeSync(this.#fd, bytes, at);
    });
  }

  /** On disk, under its name; where that fails, nothing is. @throws out_file */
  keep(): void {
    try {
      failing(this.#path, () => {
        fsyncSync(this.#fd);
        renameSync(this.#part, this.#path);
        const folder = openSync(dirname(this.#path), 'r');
        fsyncSync(folder);
        closeSync(folder);
      });
    } finally {
      this.discard();
    }
  }

  discard(): void {
    closeSync(this.#fd);
    rmSync(this.#part, { force: true });
  }
}

/** All of it, or nothing, to `path`; said on standard error. @throws out_file, and what the pieces throw */
export async function keepAll(path: string, pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
  const file = new OutFile(path);
  let written = 0;
  try {
    for await (const piece of pieces) {
      file.write(piece);
      written += piece.length;
    }
  } catch (error) {
    file.discard();
    throw error;
  }
  file.keep();
  console.error(`${printable(path)}: ${bytes(written)}`);
}

/** To standard output, no faster than it is read. */
export async function writeOut(bytes: Uint8Array): Promise<void> {
  if (!process.stdout.write(bytes)) await once(process.stdout, 'drain');
}

/** @throws out_file also for Parquet that would go to a terminal */
export function refuseBinaryTerminal(format: string): void {
  if (format === 'parquet' && process.stdout.isTTY) throw new TidegateError('out_file', 'Parquet is no text for a terminal: give --out FILE, or a pipe');
}

function failing<T>(path: string, job: () => T): T {
  try {
    return job();
  } catch (cause) {
    throw new TidegateError('out_file', `${path}: ${(cause as NodeJS.ErrnoException).code ?? String(cause)}`, { cause });
  }
}
