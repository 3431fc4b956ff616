/** The two clocks that limits need. Tests bring their own. */
export interface LimitClock {
  /** ms since the epoch; may be set back. */
  wallMs(): number;
  /** ms since the machine's start: the same scale in every process of the machine, never set back. */
  monotonicMs(): number;
}

export const systemClock: LimitClock = {
  wallMs: () => Date.now(),
  monotonicMs: () => {
    const [seconds, nanoseconds] = process.hrtime();
    return seconds * 1000 + nanoseconds / 1e6;
  },
};
