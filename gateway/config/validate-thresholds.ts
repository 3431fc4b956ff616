/** Latencies that alerts compare with: a histogram knows how many requests took longer only at the bounds of its buckets. */
import { DURATION_BUCKETS_S } from '../metrics/catalogue.js';
import type { Checker } from './checker.js';
import type { ConfigPath } from './config-problem.js';
import type { ServiceConfig } from './schema.js';
import { durationMs } from './units.js';

const BOUNDS_MS: readonly number[] = DURATION_BUCKETS_S.map((seconds) => Math.round(seconds * 1000));
const BOUNDS = BOUNDS_MS.map((ms) => (ms < 1000 ? `${ms}ms` : `${ms / 1000}s`)).join(', ');

export function checkThresholds({ slo, alerts }: ServiceConfig, path: ConfigPath, checker: Checker): void {
  for (const key of ['latency_p95', 'latency_p99'] as const) {
    if (checker.sound([...path, 'alerts', key])) checker.value([...path, 'alerts', key], boundFault(alerts[key]));
  }
  const threshold = [...path, 'slo', 'latency', 'threshold'];
  if (checker.sound(threshold) && slo.latency !== undefined) checker.value(threshold, boundFault(slo.latency.threshold));
}

function boundFault(duration: string): string | null {
  return BOUNDS_MS.includes(durationMs(duration)) ? null : `is no bound of a bucket, so nobody can tell how many requests took longer: ${BOUNDS}`;
}
