const DURATION_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const BYTES: Readonly<Record<string, number>> = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3, KB: 1000, MB: 1000 ** 2, GB: 1000 ** 3 };

/** Milliseconds of `250ms`, `1.5s`, `5m`, `2h`, `30d`. The schema has checked the form. */
export function durationMs(text: string): number {
  const unit = /[a-z]+$/.exec(text)?.[0] ?? '';
  return Math.round(Number.parseFloat(text) * (DURATION_MS[unit] ?? Number.NaN));
}

/** Bytes of `16KiB`, `64MiB`, `8GB`. The schema has checked the form. */
export function byteCount(text: string): number {
  const unit = /[A-Za-z]+$/.exec(text)?.[0] ?? '';
  return Number.parseInt(text, 10) * (BYTES[unit] ?? Number.NaN);
}
