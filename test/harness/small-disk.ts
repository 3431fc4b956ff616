/** A small file system of its own for a test, which can be filled and made read-only. Needs root on Linux: `requires('root', 'linux')`. */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const PIECE = Buffer.alloc(4096, 'x');

export class SmallDisk implements Disposable {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** Mounts a tmpfs of so many MiB at `path`. */
  static mount(path: string, mebibytes: number): SmallDisk {
    mkdirSync(path, { recursive: true });
    run('mount', '-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tidegate-test', path);
    return new SmallDisk(path);
  }

  /** Takes every byte that is left, again at each call. */
  fill(): void {
    const fd = openSync(this.#ballast, 'a');
    try {
      for (;;) writeSync(fd, PIECE);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    } finally {
      closeSync(fd);
    }
  }

  makeRoom(): void {
    rmSync(this.#ballast, { force: true });
  }

  makeReadOnly(): void {
    run('mount', '-o', 'remount,ro', this.path);
  }

  makeWritable(): void {
    run('mount', '-o', 'remount,rw', this.path);
  }

  [Symbol.dispose](): void {
    run('umount', '--lazy', this.path);
  }

  get #ballast(): string { return join(this.path, 'ballast'); }
}

function run(command: string, ...args: readonly string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
}
