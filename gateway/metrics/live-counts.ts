/** A living worker's counts, put together from what it has sent: of its routes, services and targets it sends only those that have changed. */
import type { MetricsSnapshot, RouteCounts, ServiceCounts, TargetCounts, WorkerGauges } from './metrics-snapshot.js';

export class LiveCounts {
  readonly worker: number;
  readonly #routes = new Map<string, RouteCounts>();
  readonly #services = new Map<string, ServiceCounts>();
  readonly #targets = new Map<string, TargetCounts>();
  #newest: MetricsSnapshot;

  constructor(worker: number, first: MetricsSnapshot) {
    this.worker = worker;
    this.#newest = first;
    this.take(first);
  }

  /** Counts are cumulative: the same ones again change nothing. */
  take(newest: MetricsSnapshot): void {
    this.#newest = newest;
    for (const route of newest.routes) this.#routes.set(`${route.service}\n${route.route}`, route);
    for (const service of newest.services) this.#services.set(service.service, service);
    for (const target of newest.targets) this.#targets.set(`${target.service}\n${target.target}`, target);
  }

  get gauges(): WorkerGauges { return this.#newest.gauges; }

  get recording(): Pick<MetricsSnapshot, 'recorded' | 'dropped'> { return this.#newest; }

  /** All of its life so far. */
  get snapshot(): MetricsSnapshot {
    return { ...this.#newest, routes: [...this.#routes.values()], services: [...this.#services.values()], targets: [...this.#targets.values()] };
  }
}
