/** Durations of the rules, all shortened by one factor, so that a test sees an incident of hours in a minute. */

const UNITS_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

export class Windows {
  readonly #factor: number;

  /** @param factor 1: as they are; 60: an hour is a minute */
  constructor(factor: number) {
    this.#factor = factor;
  }

  /** As Prometheus takes it: `5m`, and with factor 60 `5s`. */
  of(duration: string): string {
    if (this.#factor === 1) return duration;
    const ms = Math.max(1, Math.round(this.seconds(duration) * 1_000));
    return ms % 1_000 === 0 ? `${ms / 1_000}s` : `${ms}ms`;
  }

  /** How long it is in seconds. */
  seconds(duration: string): number {
    const [, count = '', unit = ''] = /^(\d+)([smhd])$/.exec(duration) ?? [];
    if (count === '') throw new Error(`'${duration}' is no duration: a number and s, m, h or d`);
    return Number(count) * UNITS_MS[unit as keyof typeof UNITS_MS] / 1_000 / this.#factor;
  }
}
