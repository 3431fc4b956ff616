/** A node's own clock, by libfaketime: it is set while the node works, and its timers go on. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { FaultKind } from './fault.js';

export class SetClock {
  readonly #file: string;
  readonly #library = libfaketime();

  constructor(folder: string, name: string) {
    this.#file = join(folder, `clock-${name}`);
    this.step(0);
  }

  get missing(): string | null {
    return this.#library === null ? 'needs libfaketime' : null;
  }

  /** For the node's processes. They look at the file once a second. */
  get env(): Readonly<Record<string, string>> {
    return this.#library === null ? {} : { LD_PRELOAD: this.#library, FAKETIME_TIMESTAMP_FILE: this.#file, FAKETIME_CACHE_DURATION: '1', FAKETIME_DONT_FAKE_MONOTONIC: '1' };
  }

  step(seconds: number): void {
    writeFileSync(this.#file, `${seconds < 0 ? '' : '+'}${seconds}`);
  }
}

export function clockFault(clock: SetClock): FaultKind {
  return {
    name: 'clock', missing: clock.missing,
    plan: (random) => {
      const steps = Array.from({ length: random.integer(1, 3) }, () => random.pick([-7200, -3600, -90, -5, 5, 90, 3600, 7200]));
      const ms = random.integer(1500, 4000);
      return {
        detail: `the clock is set by ${steps.map((step) => `${step} s`).join(', ')}, and back, ${ms} ms each`,
        run: async () => {
          for (const step of [...steps, 0]) {
            clock.step(step);
            await pause(ms);
          }
        },
      };
    },
  };
}

function libfaketime(): string | null {
  if (process.platform !== 'linux') return null;
  const folders = ['/usr/lib', '/usr/local/lib'].flatMap((folder) => [folder, ...['x86_64', 'aarch64'].map((machine) => join(folder, `${machine}-linux-gnu`))]);
  return folders.map((folder) => join(folder, 'faketime', 'libfaketimeMT.so.1')).find((file) => existsSync(file)) ?? null;
}
