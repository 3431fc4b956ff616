import { count, share } from './figures.js';
import type { Terminal } from './terminal.js';

const BAR_COLUMNS = 30;
/** Where it is no terminal: a line so often at most. */
const LINE_EVERY_MS = 10_000;

export interface Progress {
  /** @param told in words, how far it is */
  show(this: void, done: number, all: number, told: string): void;
  /** Leaves the line. */
  end(this: void): void;
}

/** @param drawsOver it is a terminal: a bar; else a line now and then */
export function progress(terminal: Terminal, drawsOver: boolean, nowMs: () => number): Progress {
  let drawn = false;
  let nextMs = 0;
  return {
    show: (done, all, told) => {
      if (drawsOver) {
        const full = all === 0 ? BAR_COLUMNS : Math.floor((BAR_COLUMNS * done) / all);
        terminal.write(`\r\x1b[K${`${'█'.repeat(full)}${'░'.repeat(BAR_COLUMNS - full)} ${told}`.slice(0, terminal.columns - 1)}`);
        drawn = true;
      } else if (nowMs() >= nextMs) {
        terminal.write(`${told}\n`);
        nextMs = nowMs() + LINE_EVERY_MS;
      }
    },
    end: () => {
      if (drawn) terminal.write('\n');
      drawn = false;
    },
  };
}

export interface CopyProgress {
  /** @param what is being done now */
  show(this: void, done: number, all: number, what: string): void;
  /** Leaves the line. */
  end(this: void): void;
}

export function copyProgress(terminal: Terminal, drawsOver: boolean, nowMs: () => number): CopyProgress {
  const { show, end } = progress(terminal, drawsOver, nowMs);
  return { show: (done, all, what) => { show(done, all, `${count(done)} of ${count(all)} rows (${share(done, all)}), ${what}`); }, end };
}
