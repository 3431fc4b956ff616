import { TidegateError } from '../../errors/tidegate-error.js';

/** Work for others, one piece at a time in the order it was asked for; whoever comes when enough wait is sent away. */
export class OneAtATime {
  readonly #mostWaiting: number;
  readonly #waiting: ((turn: boolean) => void)[] = [];
  #busy = false;

  constructor(mostWaiting: number) {
    this.#mostWaiting = mostWaiting;
  }

  /**
   * @param signal aborted: it leaves the queue; to stop what is under way is `work`'s own affair
   * @throws TidegateError config_busy: `mostWaiting` wait already, or the asker has left; and what `work` throws
   */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (this.#busy && !await this.#turn(signal)) throw new TidegateError('config_busy', 'The asker has left.');
    this.#busy = true;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      // busy without a break: whoever comes now waits behind those who are there
      if (next === undefined) this.#busy = false;
      else next(true);
    }
  }

  /** False: the asker has left. */
  async #turn(signal?: AbortSignal): Promise<boolean> {
    if (this.#waiting.length >= this.#mostWaiting) throw new TidegateError('config_busy', `${this.#waiting.length} are waiting already.`);
    let leave = (): void => {};
    try {
      return await new Promise<boolean>((settle) => {
        this.#waiting.push(settle);
        leave = () => {
          const place = this.#waiting.indexOf(settle);
          if (place === -1) return;
          this.#waiting.splice(place, 1);
          settle(false);
        };
        signal?.addEventListener('abort', leave);
        if (signal?.aborted === true) leave();
      });
    } finally {
      signal?.removeEventListener('abort', leave);
    }
  }
}
