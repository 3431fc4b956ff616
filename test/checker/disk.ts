/** A small file system of its own, which can be filled and made read-only; needs root on Linux. */
import { spawnSync } from 'node:child_process';
import { closeSync, cpSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const PIECE = Buffer.alloc(65_536, 'x');
const SMALL_PIECE = Buffer.alloc(512, 'x');

export class SmallDisk {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** Null: file systems cannot be mounted here. */
  static mount(path: string, mebibytes: number): SmallDisk | null {
    if (process.platform !== 'linux' || process.getuid?.() !== 0) return null;
    mkdirSync(path, { recursive: true });
    return run('mount', '-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'checker', path) ? new SmallDisk(path) : null;
  }

  /** Takes every byte that is left, again at each call. */
  fill(): void {
    const fd = openSync(this.#ballast, 'a');
    try {
      for (const piece of [PIECE, SMALL_PIECE]) while (tryWrite(fd, piece));
    } finally {
      closeSync(fd);
    }
  }

  makeRoom(): void {
    rmSync(this.#ballast, { force: true });
  }

  /** @returns false: something is open for writing on it */
  makeReadOnly(): boolean {
    return run('mount', '-o', 'remount,ro', this.path);
  }

  makeWritable(): void {
    run('mount', '-o', 'remount,rw', this.path);
  }

  /** @param keepIn folder to which its files go first; null: they go with it */
  unmount(keepIn: string | null): void {
    this.makeRoom();
    if (keepIn !== null) cpSync(this.path, keepIn, { recursive: true, filter: (path) => !path.endsWith('.sock') });
    run('umount', '--lazy', this.path);
  }

  get #ballast(): string { return join(this.path, 'ballast'); }
}

function tryWrite(fd: number, piece: Buffer): boolean {
  try {
    return writeSync(fd, piece) > 0;
  } catch {
    return false;
  }
}

function run(command: string, ...args: readonly string[]): boolean {
  return spawnSync(command, args).status === 0;
}
