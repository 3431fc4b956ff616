/**
 * A disk of its own for a test, whose file system can abort under open files, as a real one does on an I/O error: from then on every write is refused with
 * EROFS, what was not flushed to disk is gone, and it can be written again only when it is mounted anew, which nobody may hold open. tmpfs cannot do that:
 * it is not made read-only while a file is open for writing. Needs `requires('loop')`.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, ftruncateSync } from 'node:fs';

export class FailingDisk implements Disposable {
  readonly path: string;
  readonly #image: string;

  private constructor(path: string) {
    this.path = path;
    this.#image = `${path}.image`;
  }

  /** Mounts an ext4 of so many MiB, in a file beside it, at `path`. */
  static mount(path: string, mebibytes: number): FailingDisk {
    const disk = new FailingDisk(path);
    mkdirSync(path, { recursive: true });
    const fd = openSync(disk.#image, 'w');
    ftruncateSync(fd, mebibytes * 1024 * 1024);
    closeSync(fd);
    run('mkfs.ext4', '-q', disk.#image);
    disk.#mount();
    return disk;
  }

  abort(): void {
    run('mount', '-o', 'remount,abort', this.path);
  }

  /** As after a repair. Nobody may have anything open on it. */
  mountAgain(): void {
    run('umount', this.path);
    this.#mount();
  }

  #mount(): void {
    run('mount', '-o', 'loop,errors=remount-ro', this.#image, this.path);
  }

  [Symbol.dispose](): void {
    run('umount', '--lazy', this.path);
  }
}

function run(command: string, ...args: readonly string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`);
}
