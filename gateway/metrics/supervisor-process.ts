/** The supervisor's own process, under the names that every exporter has (and prom-client gives). What only Linux tells is absent elsewhere. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { readdirSync, readFileSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { getHeapSpaceStatistics } from 'node:v8';
import type { Exposition } from './exposition.js';
import { GcTimes } from './gc-times.js';

const STARTED_AT_S = Math.round(Date.now() / 1000 - process.uptime());

export class SupervisorProcess {
  readonly #loopDelay = monitorEventLoopDelay({ resolution: 10 });
  readonly #gc = new GcTimes();

  constructor() {
    this.#loopDelay.enable();
  }

  /** How late the event loop is now, s. */
  async lag(): Promise<number> {
    const askedAtMs = performance.now();
    await nextTurn();
    return (performance.now() - askedAtMs) / 1000;
  }

  write(text: Exposition, lagS: number): void {
    this.#writeProcess(text);
    this.#writeLoop(text, lagS);
    writeHeap(text);
    text.add('nodejs_active_resources', countsOf(process.getActiveResourcesInfo()).map(([type, count]) => [[type], count] as const));
    const [major = '', minor = '', patch = ''] = process.versions.node.split('.');
    text.add('nodejs_version_info', [[[process.version, major, minor, patch], 1]]);
    text.histogram('nodejs_gc_duration_seconds', this.#gc.times.map(({ kind, buckets, sumS }) => [[kind], { buckets, sum: sumS }] as const));
  }

  /** Ends the measurements. */
  close(): void {
    this.#loopDelay.disable();
    this.#gc.close();
  }

  #writeProcess(text: Exposition): void {
    const { user, system } = process.cpuUsage();
    text.one('process_cpu_user_seconds_total', user / 1e6);
    text.one('process_cpu_system_seconds_total', system / 1e6);
    text.one('process_cpu_seconds_total', (user + system) / 1e6);
    text.one('process_start_time_seconds', STARTED_AT_S);
    text.one('process_resident_memory_bytes', process.memoryUsage.rss());
    const status = readProc('status');
    text.one('process_virtual_memory_bytes', kibibytes(/^VmSize:\s+(\d+) kB$/m, status));
    text.one('process_heap_bytes', kibibytes(/^VmData:\s+(\d+) kB$/m, status));
    text.one('process_open_fds', openFds());
    const most = /^Max open files\s+(\d+)/m.exec(readProc('limits'))?.[1];
    text.one('process_max_fds', most === undefined ? null : Number(most));
  }

  #writeLoop(text: Exposition, lagS: number): void {
    const delay = this.#loopDelay;
    // nothing measured yet: NaN, or a smallest one of more than any
    const seconds = (nanoseconds: number): number => (delay.count > 0 && Number.isFinite(nanoseconds) ? nanoseconds / 1e9 : 0);
    text.one('nodejs_eventloop_lag_seconds', lagS);
    text.one('nodejs_eventloop_lag_min_seconds', seconds(delay.min));
    text.one('nodejs_eventloop_lag_max_seconds', seconds(delay.max));
    text.one('nodejs_eventloop_lag_mean_seconds', seconds(delay.mean));
    text.one('nodejs_eventloop_lag_stddev_seconds', seconds(delay.stddev));
    text.one('nodejs_eventloop_lag_p50_seconds', seconds(delay.percentile(50)));
    text.one('nodejs_eventloop_lag_p90_seconds', seconds(delay.percentile(90)));
    text.one('nodejs_eventloop_lag_p99_seconds', seconds(delay.percentile(99)));
    delay.reset();
  }
}

function writeHeap(text: Exposition): void {
  const { heapTotal, heapUsed, external } = process.memoryUsage();
  text.one('nodejs_heap_size_total_bytes', heapTotal);
  text.one('nodejs_heap_size_used_bytes', heapUsed);
  text.one('nodejs_external_memory_bytes', external);
  const spaces = getHeapSpaceStatistics().map(({ space_name: name, ...space }) => ({ space: name.replace(/_space$/, ''), ...space }));
  text.add('nodejs_heap_space_size_total_bytes', spaces.map(({ space, space_size: size }) => [[space], size] as const));
  text.add('nodejs_heap_space_size_used_bytes', spaces.map(({ space, space_used_size: size }) => [[space], size] as const));
  text.add('nodejs_heap_space_size_available_bytes', spaces.map(({ space, space_available_size: size }) => [[space], size] as const));
}

function countsOf(names: readonly string[]): [string, number][] {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts];
}

function kibibytes(pattern: RegExp, status: string): number | null {
  const found = pattern.exec(status)?.[1];
  return found === undefined ? null : Number(found) * 1024;
}

/** '' where there is no such file: not Linux. */
function readProc(name: string): string {
  try {
    return readFileSync(`/proc/self/${name}`, 'utf8');
  } catch {
    return '';
  }
}

function openFds(): number | null {
  try {
    // less the one that this look has opened
    return readdirSync('/proc/self/fd').length - 1;
  } catch {
    return null;
  }
}
