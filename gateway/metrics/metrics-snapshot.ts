/**
 * What a worker counts, as it travels to the supervisor: plain JSON, cumulative since the worker's start. Counters add up over workers
 * and over a worker's successive lives; gauges count for living workers only.
 */
import { DURATION_BUCKETS_S, GATEWAY_BUCKETS_S, SIZE_BUCKETS_BYTES } from './catalogue.js';

/** Buckets of each histogram, the one without a bound included. */
export const BUCKET_COUNT = DURATION_BUCKETS_S.length + 1;
export const GATEWAY_BUCKET_COUNT = GATEWAY_BUCKETS_S.length + 1;
export const SIZE_BUCKET_COUNT = SIZE_BUCKETS_BYTES.length + 1;

export interface MetricsSnapshot {
  /** Only routes that were asked for. An empty service and route stand for requests that no route matched. */
  readonly routes: readonly RouteCounts[];
  /** Only of services that were asked for; an empty one as above. */
  readonly services: readonly ServiceCounts[];
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
  /** The newest of each bucket that has one. */
  readonly exemplars: readonly Exemplar[];
}

/** A sampled request of a bucket. */
export interface Exemplar {
  readonly bucket: number;
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  readonly durationUs: number;
  /** When it ended, since the epoch. */
  readonly timeMs: number;
}

/** Of requests that have ended, each histogram's buckets alone and its sum. Later bytes of a long connection are not in sizes. */
export interface ServiceCounts {
  readonly service: string;
  readonly gateway: readonly number[];
  readonly gatewaySumUs: number;
  readonly requestSizes: readonly number[];
  readonly requestSizeSum: number;
  readonly responseSizes: readonly number[];
  readonly responseSizeSum: number;
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
  /** Garbage collection since the worker's start. */
  readonly gcSeconds: readonly (readonly [kind: string, seconds: number])[];
  /** Open ones. */
  readonly sockets: { readonly client: number; readonly upstream: number };
}

/** Adds up the counters of several snapshots; the result carries no gauges. */
export function foldSnapshots(snapshots: readonly MetricsSnapshot[]): MetricsSnapshot {
  const routes = new Map<string, RouteSum>();
  const services = new Map<string, ServiceSum>();
  const targets = new Map<string, TargetSum>();
  const retries = new Map<string, Map<string, number>>();
  const dropped = new Map<string, number>();
  const leases = new Map<string, number>();
  let recorded = 0;
  for (const snapshot of snapshots) {
    recorded += snapshot.recorded;
    for (const route of snapshot.routes) sumOf(routes, `${route.service}\n${route.route}`, () => new RouteSum(route)).add(route);
    for (const service of snapshot.services) sumOf(services, service.service, () => new ServiceSum(service.service)).add(service);
    for (const target of snapshot.targets) sumOf(targets, `${target.service}\n${target.target}`, () => new TargetSum(target)).add(target);
    for (const [service, reason, count] of snapshot.retries) add(sumOf(retries, service, () => new Map<string, number>()), reason, count);
    for (const [reason, count] of snapshot.dropped) add(dropped, reason, count);
    for (const [result, count] of snapshot.leases) add(leases, result, count);
  }
  return {
    routes: [...routes.values()].map((sum) => sum.counts), services: [...services.values()], targets: [...targets.values()],
    retries: [...retries].flatMap(([service, reasons]) => [...reasons].map(([reason, count]) => [service, reason, count] as const)),
    recorded, dropped: [...dropped], leases: [...leases], gauges: NO_GAUGES,
  };
}

export const NO_GAUGES: WorkerGauges = {
  connections: [], targets: [], inFlight: [], rssBytes: 0, heapUsedBytes: 0, cpuSeconds: 0, loopDelay: { p50S: 0, p99S: 0, maxS: 0 }, gcSeconds: [], sockets: { client: 0, upstream: 0 },
};

class TargetSum implements TargetCounts {
  readonly service: string;
  readonly target: string;
  readonly buckets = zeros(BUCKET_COUNT);
  durationSumUs = 0;

  constructor({ service, target }: TargetCounts) {
    this.service = service;
    this.target = target;
  }

  add(counts: TargetCounts): void {
    addEach(this.buckets, counts.buckets);
    this.durationSumUs += counts.durationSumUs;
  }
}

class ServiceSum implements ServiceCounts {
  readonly service: string;
  readonly gateway = zeros(GATEWAY_BUCKET_COUNT);
  gatewaySumUs = 0;
  readonly requestSizes = zeros(SIZE_BUCKET_COUNT);
  requestSizeSum = 0;
  readonly responseSizes = zeros(SIZE_BUCKET_COUNT);
  responseSizeSum = 0;

  constructor(service: string) {
    this.service = service;
  }

  add(counts: ServiceCounts): void {
    addEach(this.gateway, counts.gateway);
    addEach(this.requestSizes, counts.requestSizes);
    addEach(this.responseSizes, counts.responseSizes);
    this.gatewaySumUs += counts.gatewaySumUs;
    this.requestSizeSum += counts.requestSizeSum;
    this.responseSizeSum += counts.responseSizeSum;
  }
}

class RouteSum {
  readonly #service: string;
  readonly #route: string;
  readonly #requests = new Map<string, { readonly method: string; readonly status: number; count: number }>();
  readonly #refused = new Map<string, number>();
  readonly #buckets = zeros(BUCKET_COUNT);
  #durationSumUs = 0;
  #bytesIn = 0;
  #bytesOut = 0;
  readonly #exemplars = new Map<number, Exemplar>();

  constructor({ service, route }: RouteCounts) {
    this.#service = service;
    this.#route = route;
  }

  add(counts: RouteCounts): void {
    addEach(this.#buckets, counts.buckets);
    this.#durationSumUs += counts.durationSumUs;
    for (const [method, status, count] of counts.requests) sumOf(this.#requests, `${method} ${status}`, () => ({ method, status, count: 0 })).count += count;
    for (const [reason, count] of counts.refused) add(this.#refused, reason, count);
    this.#bytesIn += counts.bytesIn;
    this.#bytesOut += counts.bytesOut;
    for (const exemplar of counts.exemplars) {
      const newest = this.#exemplars.get(exemplar.bucket);
      if (newest === undefined || exemplar.timeMs > newest.timeMs) this.#exemplars.set(exemplar.bucket, exemplar);
    }
  }

  get counts(): RouteCounts {
    return {
      service: this.#service, route: this.#route, requests: [...this.#requests.values()].map(({ method, status, count }) => [method, status, count] as const), refused: [...this.#refused],
      buckets: this.#buckets, durationSumUs: this.#durationSumUs, bytesIn: this.#bytesIn, bytesOut: this.#bytesOut, exemplars: [...this.#exemplars.values()],
    };
  }
}

const zeros = (length: number): number[] => new Array<number>(length).fill(0);

function addEach(sums: number[], counts: readonly number[]): void {
  for (let i = 0; i < sums.length; i++) sums[i] = (sums[i] as number) + (counts[i] ?? 0);
}

function add(map: Map<string, number>, key: string, count: number): void {
  map.set(key, (map.get(key) ?? 0) + count);
}

function sumOf<T>(map: Map<string, T>, key: string, make: () => T): T {
  let sum = map.get(key);
  if (sum === undefined) map.set(key, sum = make());
  return sum;
}
