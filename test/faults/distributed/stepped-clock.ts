/** A node's own clock, which can be set while it runs; its timers go on as they did. Needs `requires('faketime')`. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { libfaketime } from '../../harness/requires.js';

export class SteppedClock {
  readonly node: string;
  readonly #file: string;

  constructor(node: string, folder: string) {
    this.node = node;
    this.#file = join(folder, `clock-${node}`);
    this.step(0);
  }

  /** For the node's processes. They look at the file once a second: at each call it would cost 20 us. */
  get env(): Readonly<Record<string, string>> {
    return { LD_PRELOAD: libfaketime() ?? '', FAKETIME_TIMESTAMP_FILE: this.#file, FAKETIME_CACHE_DURATION: '1', FAKETIME_DONT_FAKE_MONOTONIC: '1' };
  }

  /** From now on it is so far ahead of the machine's, or behind. */
  step(seconds: number): void {
    writeFileSync(this.#file, `${seconds < 0 ? '' : '+'}${seconds}`);
  }
}
