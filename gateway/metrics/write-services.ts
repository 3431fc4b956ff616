/** What the configuration says of services, as gauges: rules join them, so that a reload needs no new rule files. */
import type { ServiceConfig } from '../config/schema.js';
import { durationMs } from '../config/units.js';
import { boundText } from './catalogue.js';
import type { Exposition } from './exposition.js';

export function writeServices(text: Exposition, services: readonly ServiceConfig[]): void {
  text.one('tidegate_services', services.length);
  text.add('tidegate_service_info', services.map(({ name, team }) => [[name, team ?? ''], 1] as const));
  text.add('tidegate_targets', services.map(({ name, upstream }) => [[name], upstream.targets.length] as const));
  text.add('tidegate_slo_availability_ratio', services.flatMap(({ name, slo: { availability } }) => (availability === undefined ? [] : [[[name], ratio(availability)] as const])));
  const latencies = services.flatMap(({ name, slo: { latency } }) => (latency === undefined ? [] : [{ name, ...latency }]));
  text.add('tidegate_slo_latency_threshold_seconds', latencies.map(({ name, threshold }) => bounded(name, threshold)));
  text.add('tidegate_slo_latency_share_ratio', latencies.map(({ name, share }) => [[name], ratio(share)] as const));
  text.add('tidegate_alert_error_ratio', services.map(({ name, alerts }) => [[name], alerts.error_ratio] as const));
  text.add('tidegate_alert_server_error_ratio', services.map(({ name, alerts }) => [[name], alerts.server_error_ratio] as const));
  text.add('tidegate_alert_latency_p95_seconds', services.map(({ name, alerts }) => bounded(name, alerts.latency_p95)));
  text.add('tidegate_alert_latency_p99_seconds', services.map(({ name, alerts }) => bounded(name, alerts.latency_p99)));
}

/** A duration that is the bound of a bucket, with that bound. */
function bounded(name: string, duration: string): readonly [readonly [string, string], number] {
  const seconds = durationMs(duration) / 1000;
  return [[name, boundText(seconds)], seconds];
}

/** Of per cent; 99.95 is 0.9995, not 0.9994999999999999. */
function ratio(percent: number): number {
  return Number((percent / 100).toPrecision(12));
}
