/**
 * The node's `/metrics`: the workers' counts added up, and what the supervisor and the collector know. Names and labels are the public
 * surface. A worker that has gone leaves its counts in the base, so that no counter ever goes back while the node runs; the base is kept
 * in a file of the run directory, where a restarted supervisor finds it.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { collectDefaultMetrics, Registry, type OpenMetricsContentType } from 'prom-client';
import { LiveCounts } from './live-counts.js';
import { foldSnapshots, type MetricsSnapshot, type WorkerGauges } from './metrics-snapshot.js';
import { SampledCounter, SampledGauge, SampledHistogram, type AnyRegistry, type Sample } from './sampled.js';

/** What the collector counts; null where it has not answered yet. */
export interface CollectorCounts {
  readonly stored: number;
  readonly quarantined: number;
  /** Of its life: events found missing; they may have come since. */
  readonly gaps: number;
  /** Of its life: events met again and left out, or stored twice. */
  readonly repeats: number;
}

/** What the shipper counts since its start. */
export interface ShippingCounts {
  readonly shipped: number;
  /** Age of the oldest event, and bytes, that Kafka has not acknowledged. */
  readonly lagSeconds: number;
  readonly lagBytes: number;
  readonly failures: readonly (readonly [string, number])[];
}

/** Of a webhook. `delivered`; `retried`: an attempt that failed, and another follows; `failed`: given up; `dropped`: the app, or its webhook, has gone meanwhile. */
export const WEBHOOK_RESULTS = ['delivered', 'retried', 'failed', 'dropped'] as const;
export type WebhookResult = (typeof WEBHOOK_RESULTS)[number];

export interface NodeMetricsOptions {
  /** Where the counts of workers that have gone are kept; null: in memory only. */
  readonly baseFile: string | null;
}

export class NodeMetrics {
  readonly #baseFile: string | null;
  #base: MetricsSnapshot;
  readonly #live = new Map<string, LiveCounts>();
  readonly #retired = new Set<string>();
  #sum: MetricsSnapshot = foldSnapshots([]);
  #collector: CollectorCounts | null = null;
  #shipping: ShippingCounts | null = null;
  readonly #reloads = new Map<string, number>([['applied', 0], ['unchanged', 0], ['rejected', 0]]);
  readonly #webhooks = new Map<string, number>(WEBHOOK_RESULTS.map((result) => [result, 0]));
  #lagSeconds: number | null = null;
  #configVersion = '';
  #workers = 0;
  #spoolBytes = 0;
  readonly #text = new Registry();
  readonly #openMetrics = new Registry<OpenMetricsContentType>();

  constructor(options: NodeMetricsOptions) {
    this.#baseFile = options.baseFile;
    const kept = options.baseFile === null ? null : readBase(options.baseFile);
    this.#base = kept?.base ?? foldSnapshots([]);
    for (const stream of kept?.retired ?? []) this.#retired.add(stream);
    this.#openMetrics.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
    for (const registry of [this.#text, this.#openMetrics] as const) {
      collectDefaultMetrics({ register: registry as Registry });
      this.#register(registry);
    }
  }

  /**
   * A worker's newest counts. `stream` is the worker's life: counts replace those sent before in the same life, and a route or target
   * that is not among them has what it had.
   */
  update(stream: string, worker: number, newest: MetricsSnapshot): void {
    if (this.#retired.has(stream)) return;
    const live = this.#live.get(stream);
    if (live === undefined) this.#live.set(stream, new LiveCounts(worker, newest));
    else live.take(newest);
  }

  /** The worker of this stream is gone for good: its last counts join the base. */
  retire(stream: string): void {
    const last = this.#live.get(stream);
    if (last === undefined) return;
    this.#live.delete(stream);
    this.#retired.add(stream);
    this.#base = foldSnapshots([this.#base, last.snapshot]);
    if (this.#baseFile === null) return;
    writeFileSync(`${this.#baseFile}.new`, JSON.stringify({ base: this.#base, retired: [...this.#retired] }), { mode: 0o600 });
    renameSync(`${this.#baseFile}.new`, this.#baseFile);
  }

  set collector(counts: CollectorCounts | null) { this.#collector = counts ?? this.#collector; }
  set shipping(counts: ShippingCounts | null) { this.#shipping = counts; }
  /** Null: not known. */
  set lagSeconds(seconds: number | null) { this.#lagSeconds = seconds; }
  set configVersion(version: string) { this.#configVersion = version; }
  set workers(count: number) { this.#workers = count; }
  set spoolBytes(bytes: number) { this.#spoolBytes = bytes; }

  countReload(result: 'applied' | 'unchanged' | 'rejected'): void {
    this.#reloads.set(result, (this.#reloads.get(result) ?? 0) + 1);
  }

  countWebhook(result: WebhookResult): void {
    this.#webhooks.set(result, (this.#webhooks.get(result) ?? 0) + 1);
  }

  /** The workers' counts together, as last received. */
  get sum(): MetricsSnapshot {
    return foldSnapshots([this.#base, ...[...this.#live.values()].map((live) => live.snapshot)]);
  }

  /** A living worker's gauges, as last received. */
  gaugesOf(stream: string): WorkerGauges | null {
    return this.#live.get(stream)?.gauges ?? null;
  }

  /** Every target that living workers know: true where every worker sends to it, false where one or more pass it over. */
  get targets(): readonly { readonly service: string; readonly target: string; readonly healthy: boolean }[] {
    const all = new Map<string, { service: string; target: string; healthy: boolean }>();
    for (const { gauges } of this.#live.values()) {
      for (const [service, target, healthy] of gauges.targets) {
        const key = `${service}\n${target}`;
        all.set(key, { service, target, healthy: healthy && all.get(key)?.healthy !== false });
      }
    }
    return [...all.values()];
  }

  /** The text for a scrape: OpenMetrics where the Accept field asks for it, the Prometheus format otherwise. */
  async render(accept: string): Promise<{ readonly contentType: string; readonly text: string }> {
    this.#sum = this.sum;
    const registry = accept.includes('application/openmetrics-text') ? this.#openMetrics : this.#text;
    return { contentType: registry.contentType, text: await registry.metrics() };
  }

  #register(registry: AnyRegistry): void {
    const counter = (name: string, help: string, labelNames: readonly string[], samples: () => readonly Sample[]): void => {
      new SampledCounter(registry, { name, help, labelNames }, samples);
    };
    const gauge = (name: string, help: string, labelNames: readonly string[], samples: () => readonly Sample[]): void => {
      new SampledGauge(registry, { name, help, labelNames }, samples);
    };
    const one = (value: number): readonly Sample[] => [{ labels: {}, value }];
    this.#registerTraffic(registry, counter);
    counter('tidegate_retries_total', 'Upstream attempts made again, by reason.', ['service', 'reason'],
      () => this.#sum.retries.map(([service, reason, value]) => ({ labels: { service, reason }, value })));
    counter('tidegate_events_total', 'Events by the stage they have reached.', ['stage'], () => [
      { labels: { stage: 'recorded' }, value: this.#sum.recorded },
      ...(this.#shipping === null ? [] : [{ labels: { stage: 'shipped' }, value: this.#shipping.shipped }]),
      ...(this.#collector === null ? [] : [{ labels: { stage: 'stored' }, value: this.#collector.stored }]),
    ]);
    counter('tidegate_events_dropped_total', 'Events that could not be written, by reason; tallied by app in the spool.', ['reason'],
      () => labelled('reason', this.#sum.dropped));
    counter('tidegate_events_quarantined_total', 'Pieces of the spool that could not be read.', [], () => this.#fromCollector('quarantined'));
    counter('tidegate_event_gaps_total', 'Events found missing from their streams; some may have come since.', [], () => this.#fromCollector('gaps'));
    counter('tidegate_event_repeats_total', 'Events met more than once: left out, or, where GET /v1/completeness says so, stored twice.', [], () => this.#fromCollector('repeats'));
    gauge('tidegate_event_lag_seconds', 'How long ago everything that was recorded was stored; it grows while the collector is away. Absent until a collector has answered, and on a node without one.', [],
      () => (this.#lagSeconds === null ? [] : one(this.#lagSeconds)));
    gauge('tidegate_spool_bytes', 'Bytes of all spool segments of this node.', [], () => one(this.#spoolBytes));
    this.#registerShipping(counter, gauge);
    gauge('tidegate_config_info', 'The configuration in force.', ['version'], () => [{ labels: { version: this.#configVersion }, value: 1 }]);
    counter('tidegate_config_reloads_total', 'Reloads by result.', ['result'], () => labelled('result', [...this.#reloads]));
    counter('tidegate_quota_leases_total', 'Limit leases asked of the ledger, by result.', ['result'], () => labelled('result', this.#sum.leases));
    counter('tidegate_webhooks_total', 'Webhooks of apps\' quotas by what became of them: delivered, retried (an attempt that failed, and another follows), failed (given up), dropped (the app or its webhook has gone).', ['result'],
      () => labelled('result', [...this.#webhooks]));
    gauge('tidegate_workers', 'Workers connected to the supervisor.', [], () => one(this.#workers));
    this.#registerWorkers(gauge, counter);
  }

  #registerShipping(counter: AddMetric, gauge: AddMetric): void {
    const shipping = (value: (counts: ShippingCounts) => number): readonly Sample[] => (this.#shipping === null ? [] : [{ labels: {}, value: value(this.#shipping) }]);
    gauge('tidegate_shipping_lag_seconds', 'Age of the oldest event that Kafka has not acknowledged.', [], () => shipping(({ lagSeconds }) => lagSeconds));
    gauge('tidegate_shipping_lag_bytes', 'Bytes of the spool that Kafka has not acknowledged.', [], () => shipping(({ lagBytes }) => lagBytes));
    counter('tidegate_shipping_failures_total', 'Connections and requests to Kafka that failed, by code.', ['code'], () => labelled('code', this.#shipping?.failures ?? []));
  }

  #registerTraffic(registry: AnyRegistry, counter: AddMetric): void {
    counter('tidegate_requests_total', 'Requests ended, by the status sent (0: none).', ['service', 'route', 'method', 'code'],
      () => this.#sum.routes.flatMap(({ service, route, requests }) =>
        requests.map(([method, code, value]) => ({ labels: { service, route, method, code: String(code) }, value }))));
    new SampledHistogram(registry, {
      name: 'tidegate_request_duration_seconds', help: 'From the request\'s first byte to the answer\'s end.', labelNames: ['service', 'route'],
    }, () => this.#sum.routes.map(({ service, route, buckets, durationSumUs }) => ({ labels: { service, route }, buckets, sumS: durationSumUs / 1e6 })));
    new SampledHistogram(registry, {
      name: 'tidegate_upstream_duration_seconds', help: 'From the attempt\'s start to the end of the target\'s answer.', labelNames: ['service', 'target'],
    }, () => this.#sum.targets.map(({ service, target, buckets, durationSumUs }) => ({ labels: { service, target }, buckets, sumS: durationSumUs / 1e6 })));
    counter('tidegate_request_bytes_total', 'Body bytes received from clients.', ['service'], () => this.#byService((route) => route.bytesIn));
    counter('tidegate_response_bytes_total', 'Body bytes sent to clients.', ['service'], () => this.#byService((route) => route.bytesOut));
    counter('tidegate_refused_total', 'Requests that went to no upstream, by reason.', ['service', 'reason'], () => {
      const sums = new Map<string, Sample>();
      for (const { service, refused } of this.#sum.routes) {
        for (const [reason, count] of refused) {
          const key = `${service}\n${reason}`;
          sums.set(key, { labels: { service, reason }, value: (sums.get(key)?.value ?? 0) + count });
        }
      }
      return [...sums.values()];
    });
  }

  #registerWorkers(gauge: AddMetric, counter: AddMetric): void {
    const live = (): LiveCounts[] => [...this.#live.values()].sort((a, b) => a.worker - b.worker);
    gauge('tidegate_connections', 'Open client connections.', ['listener'], () => {
      const sums = new Map<string, number>();
      for (const { gauges } of live()) {
        for (const [listener, open] of gauges.connections) sums.set(listener, (sums.get(listener) ?? 0) + open);
      }
      return labelled('listener', [...sums]);
    });
    gauge('tidegate_target_healthy', '1 where the last connection that each worker tried was made, 0 where that of one or more was refused, or not made in time.', ['service', 'target'],
      () => this.targets.map(({ service, target, healthy }) => ({ labels: { service, target }, value: healthy ? 1 : 0 })));
    const each = (value: (gauges: MetricsSnapshot['gauges']) => number) => (): readonly Sample[] =>
      live().map(({ worker, gauges }) => ({ labels: { worker: String(worker) }, value: value(gauges) }));
    gauge('tidegate_worker_resident_memory_bytes', 'Resident memory of a worker.', ['worker'], each((gauges) => gauges.rssBytes));
    gauge('tidegate_worker_heap_used_bytes', 'JavaScript heap in use in a worker.', ['worker'], each((gauges) => gauges.heapUsedBytes));
    counter('tidegate_worker_cpu_seconds_total', 'Processor time of a worker since its start.', ['worker'], each((gauges) => gauges.cpuSeconds));
    gauge('tidegate_worker_event_loop_delay_seconds', 'Delay of a worker\'s event loop since its counts were asked before, a second or less.', ['worker', 'quantile'],
      () => live().flatMap(({ worker, gauges: { loopDelay } }) => ([['0.5', loopDelay.p50S], ['0.99', loopDelay.p99S], ['1', loopDelay.maxS]] as const)
        .map(([quantile, value]) => ({ labels: { worker: String(worker), quantile }, value }))));
  }

  #fromCollector(name: keyof CollectorCounts): readonly Sample[] {
    const value = this.#collector?.[name] ?? null;
    return value === null ? [] : [{ labels: {}, value }];
  }

  #byService(value: (route: MetricsSnapshot['routes'][number]) => number): readonly Sample[] {
    const sums = new Map<string, number>();
    for (const route of this.#sum.routes) sums.set(route.service, (sums.get(route.service) ?? 0) + value(route));
    return labelled('service', [...sums]);
  }
}

type AddMetric = (name: string, help: string, labelNames: readonly string[], samples: () => readonly Sample[]) => void;

function labelled(label: string, counts: readonly (readonly [string, number])[]): readonly Sample[] {
  return counts.map(([name, value]) => ({ labels: { [label]: name }, value }));
}

/** The base of an earlier supervisor of this run; null where there is none, or it cannot be read: metrics are not worth refusing a start. */
function readBase(file: string): { readonly base: MetricsSnapshot; readonly retired: readonly string[] } | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as { base: MetricsSnapshot; retired: string[] };
  } catch {
    return null;
  }
}
