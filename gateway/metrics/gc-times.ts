/** What garbage collection has taken in this process, by kind, since this was made. The process stands still meanwhile. */
import { constants, PerformanceObserver, type PerformanceEntry } from 'node:perf_hooks';
import { GC_BUCKETS_S } from './catalogue.js';

const KINDS = new Map([
  [constants.NODE_PERFORMANCE_GC_MINOR, 'minor'], [constants.NODE_PERFORMANCE_GC_MAJOR, 'major'],
  [constants.NODE_PERFORMANCE_GC_INCREMENTAL, 'incremental'], [constants.NODE_PERFORMANCE_GC_WEAKCB, 'weakcb'],
]);

export interface GcTime {
  readonly kind: string;
  /** Collections in each bucket alone, the one without a bound last. */
  readonly buckets: readonly number[];
  readonly sumS: number;
}

export class GcTimes {
  readonly #times = new Map([...KINDS.values()].map((kind) => [kind, { kind, buckets: new Array<number>(GC_BUCKETS_S.length + 1).fill(0), sumS: 0 }]));
  readonly #observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const { detail: { kind }, duration } = entry as PerformanceEntry & { readonly detail: { readonly kind: number } };
      const time = this.#times.get(KINDS.get(kind) ?? '');
      if (time === undefined) continue;
      const seconds = duration / 1000;
      const bucket = GC_BUCKETS_S.findIndex((bound) => seconds <= bound);
      const at = bucket === -1 ? GC_BUCKETS_S.length : bucket;
      time.buckets[at] = (time.buckets[at] ?? 0) + 1;
      time.sumS += seconds;
    }
  });

  constructor() {
    this.#observer.observe({ entryTypes: ['gc'] });
  }

  /** Every kind, met or not. */
  get times(): readonly GcTime[] { return [...this.#times.values()]; }

  close(): void {
    this.#observer.disconnect();
  }
}
