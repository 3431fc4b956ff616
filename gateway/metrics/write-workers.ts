/** The metrics of living workers, each by itself or added up. */
import type { ServiceConfig } from '../config/schema.js';
import type { Exposition } from './exposition.js';
import type { LiveCounts } from './live-counts.js';
import type { WorkerGauges } from './metrics-snapshot.js';
import { summed } from './write-traffic.js';

export interface TargetHealth {
  readonly service: string;
  readonly target: string;
  /** True where every worker sends to it, false where one or more pass it over. */
  readonly healthy: boolean;
}

/** @param live by worker, of one slot the older first */
export function writeWorkers(text: Exposition, live: readonly LiveCounts[], health: readonly TargetHealth[], configured: readonly ServiceConfig[]): void {
  const gauges = live.map((each) => each.gauges);
  text.add('tidegate_connections', summed([], gauges.flatMap(({ connections }) => connections.map(([listener, open]) => [[listener] as const, open] as const))));
  text.add('tidegate_in_flight_requests', summed(
    ['', ...configured.map(({ name }) => name)].map((service) => [service] as const), gauges.flatMap(({ inFlight }) => inFlight.map(([service, , count]) => [[service] as const, count] as const)),
  ));
  const out = new Set(health.filter(({ healthy }) => !healthy).map(({ service, target }) => `${service}\n${target}`));
  text.add('tidegate_targets_healthy', configured.map(({ name, upstream }) => [[name], upstream.targets.filter(({ url }) => !out.has(`${name}\n${url}`)).length] as const));
  text.add('tidegate_target_healthy', health.map(({ service, target, healthy }) => [[service, target], healthy ? 1 : 0] as const));
  // two have one slot while the older drains, or is dead and not sealed yet: a series must stand there once
  writeProcesses(text, [...new Map(live.map((each) => [each.worker, each])).values()]);
}

function writeProcesses(text: Exposition, live: readonly LiveCounts[]): void {
  const each = (value: (gauges: WorkerGauges) => number) => live.map(({ worker, gauges }) => [[String(worker)], value(gauges)] as const);
  text.add('tidegate_worker_resident_memory_bytes', each(({ rssBytes }) => rssBytes));
  text.add('tidegate_worker_heap_used_bytes', each(({ heapUsedBytes }) => heapUsedBytes));
  text.add('tidegate_worker_cpu_seconds_total', each(({ cpuSeconds }) => cpuSeconds));
  const parts = (values: (gauges: WorkerGauges) => readonly (readonly [part: string, value: number])[]) =>
    live.flatMap(({ worker, gauges }) => values(gauges).map(([part, value]) => [[String(worker), part], value] as const));
  text.add('tidegate_worker_event_loop_delay_seconds', parts(({ loopDelay }) => [['0.5', loopDelay.p50S], ['0.99', loopDelay.p99S], ['1', loopDelay.maxS]]));
  text.add('tidegate_worker_gc_seconds_total', parts(({ gcSeconds }) => gcSeconds));
  text.add('tidegate_worker_sockets', parts(({ sockets }) => [['client', sockets.client], ['upstream', sockets.upstream]]));
}
