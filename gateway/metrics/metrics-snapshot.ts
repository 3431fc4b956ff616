/**
 * What a worker counts, as it travels to the supervisor: plain JSON, cumulative since the worker's start. Counters add up over workers
 * and over a worker's successive lives; gauges count for living workers only.
 */

/** Upper bounds in seconds of every duration histogram; the last bucket, +Inf, has no bound. */
export const DURATION_BUCKETS_S = [
  0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2, 2.5, 5, 7.5, 10, 30,
] as const;

/** Buckets of a histogram, the one without a bound included. */
export const BUCKET_COUNT = DURATION_BUCKETS_S.length + 1;

export interface MetricsSnapshot {
  /** Only routes that were asked for. An empty service and route stand for requests that no route matched. */
  readonly routes: readonly RouteCounts[];
  readonly targets: readonly TargetCounts[];
  readonly retries: readonly (readonly [service: string, reason: string, count: number])[];
  readonly recorded: number;
  /** Events that could not be written, by reason. */
  readonly dropped: readonly (readonly [reason: string, count: number])[];
  /** Limit leases asked for, by result. */
  readonly leases: readonly (readonly [result: string, count: number])[];
  readonly gauges: WorkerGauges;
}

export interface RouteCounts {
  readonly service: string;
  readonly route: string;
  readonly requests: readonly (readonly [method: string, status: number, count: number])[];
  readonly refused: readonly (readonly [reason: string, count: number])[];
  /** Requests in each bucket alone (not cumulative), BUCKET_COUNT of them. */
  readonly buckets: readonly number[];
  readonly durationSumUs: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

export interface TargetCounts {
  readonly service: string;
  readonly target: string;
  readonly buckets: readonly number[];
  readonly durationSumUs: number;
}

/** Of the moment, of one worker. */
export interface WorkerGauges {
  readonly connections: readonly (readonly [listener: string, open: number])[];
  readonly targets: readonly (readonly [service: string, target: string, healthy: boolean])[];
  /** Requests under way; '' where no route or app is known. */
  readonly inFlight: readonly (readonly [service: string, app: string, count: number])[];
  readonly rssBytes: number;
  readonly heapUsedBytes: number;
  /** User and system time since the worker's start. */
  readonly cpuSeconds: number;
  /** Delay of the event loop since the snapshot before. */
  readonly loopDelay: { readonly p50S: number; readonly p99S: number; readonly maxS: number };
}

/** Adds up the counters of several snapshots; the result carries no gauges. */
export function foldSnapshots(snapshots: readonly MetricsSnapshot[]): MetricsSnapshot {
  const routes = new Map<string, RouteSum>();
  const targets = new Map<string, HistogramSum>();
  const retries = new Map<string, Map<string, number>>();
  const dropped = new Map<string, number>();
  const leases = new Map<string, number>();
  let recorded = 0;
  for (const snapshot of snapshots) {
    recorded += snapshot.recorded;
    for (const route of snapshot.routes) sumOf(routes, `${route.service}\n${route.route}`, () => new RouteSum()).add(route);
    for (const target of snapshot.targets) sumOf(targets, `${target.service}\n${target.target}`, () => new HistogramSum()).add(target);
    for (const [service, reason, count] of snapshot.retries) add(sumOf(retries, service, () => new Map<string, number>()), reason, count);
    for (const [reason, count] of snapshot.dropped) add(dropped, reason, count);
    for (const [result, count] of snapshot.leases) add(leases, result, count);
  }
  return {
    routes: [...routes].map(([key, sum]) => sum.toCounts(...names(key))),
    targets: [...targets].map(([key, sum]) => {
      const [service, target] = names(key);
      return { service, target, buckets: sum.buckets, durationSumUs: sum.durationSumUs };
    }),
    retries: [...retries].flatMap(([service, reasons]) => [...reasons].map(([reason, count]) => [service, reason, count] as const)),
    recorded, dropped: [...dropped], leases: [...leases], gauges: NO_GAUGES,
  };
}

export const NO_GAUGES: WorkerGauges = {
  connections: [], targets: [], inFlight: [], rssBytes: 0, heapUsedBytes: 0, cpuSeconds: 0, loopDelay: { p50S: 0, p99S: 0, maxS: 0 },
};

class HistogramSum {
  readonly buckets = new Array<number>(BUCKET_COUNT).fill(0);
  durationSumUs = 0;

  add(counts: { readonly buckets: readonly number[]; readonly durationSumUs: number }): void {
    counts.buckets.forEach((count, i) => { this.buckets[i] = (this.buckets[i] ?? 0) + count; });
    this.durationSumUs += counts.durationSumUs;
  }
}

class RouteSum extends HistogramSum {
  readonly #requests = new Map<string, number>();
  readonly #refused = new Map<string, number>();
  #bytesIn = 0;
  #bytesOut = 0;

  override add(counts: RouteCounts): void {
    super.add(counts);
    for (const [method, status, count] of counts.requests) add(this.#requests, `${method}\n${String(status)}`, count);
    for (const [reason, count] of counts.refused) add(this.#refused, reason, count);
    this.#bytesIn += counts.bytesIn;
    this.#bytesOut += counts.bytesOut;
  }

  toCounts(service: string, route: string): RouteCounts {
    const requests = [...this.#requests].map(([key, count]) => {
      const [method, status] = names(key);
      return [method, Number(status), count] as const;
    });
    return {
      service, route, requests, refused: [...this.#refused], buckets: this.buckets, durationSumUs: this.durationSumUs,
      bytesIn: this.#bytesIn, bytesOut: this.#bytesOut,
    };
  }
}

/** Two names joined by a line end, which no name holds. */
function names(key: string): [string, string] {
  const at = key.indexOf('\n');
  return [key.slice(0, at), key.slice(at + 1)];
}

function add(map: Map<string, number>, key: string, count: number): void {
  map.set(key, (map.get(key) ?? 0) + count);
}

function sumOf<T>(map: Map<string, T>, key: string, make: () => T): T {
  let sum = map.get(key);
  if (sum === undefined) map.set(key, sum = make());
  return sum;
}
