/**
 * Metrics whose values are read, not counted, by prom-client: it gives names, help, escaping and both text formats, and takes the
 * samples that were added up elsewhere.
 */
import { Counter, Gauge, Histogram, type OpenMetricsContentType, type PrometheusContentType, type Registry } from 'prom-client';
import { DURATION_BUCKETS_S } from './metrics-snapshot.js';

export type AnyRegistry = Registry<PrometheusContentType> | Registry<OpenMetricsContentType>;
type Labels = Readonly<Record<string, string | number>>;
export interface Sample { readonly labels: Labels; readonly value: number }
export interface HistogramSample {
  readonly labels: Labels;
  /** Counts of each bucket alone, the one without a bound last. */
  readonly buckets: readonly number[];
  readonly sumS: number;
}

interface Description { readonly name: string; readonly help: string; readonly labelNames: readonly string[] }

export class SampledCounter extends Counter {
  readonly #samples: () => readonly Sample[];

  constructor(registry: AnyRegistry, description: Description, samples: () => readonly Sample[]) {
    super({ ...description, registers: [registry] });
    this.#samples = samples;
  }

  override async get(): ReturnType<Counter['get']> {
    return { ...await super.get(), values: this.#samples().map(copy) };
  }
}

export class SampledGauge extends Gauge {
  readonly #samples: () => readonly Sample[];

  constructor(registry: AnyRegistry, description: Description, samples: () => readonly Sample[]) {
    super({ ...description, registers: [registry] });
    this.#samples = samples;
  }

  override async get(): ReturnType<Gauge['get']> {
    return { ...await super.get(), values: this.#samples().map(copy) };
  }
}

export class SampledHistogram extends Histogram {
  readonly #name: string;
  readonly #samples: () => readonly HistogramSample[];
  /** Of the same name and help, never observed: gives the frame that the samples are put into. */
  readonly #frame: Histogram;

  constructor(registry: AnyRegistry, description: Description, samples: () => readonly HistogramSample[]) {
    const configuration = { ...description, buckets: [...DURATION_BUCKETS_S] };
    super({ ...configuration, registers: [registry] });
    this.#name = description.name;
    this.#samples = samples;
    this.#frame = new Histogram({ ...configuration, registers: [] });
  }

  override async get(): ReturnType<Histogram['get']> {
    return { ...await this.#frame.get(), values: this.#samples().flatMap((sample) => this.#lines(sample)) };
  }

  /** What prom-client asks a histogram for when it writes text, although its types do not say so. */
  getForPromString(): ReturnType<Histogram['get']> {
    return this.get();
  }

  #lines({ labels, buckets, sumS }: HistogramSample): { labels: Labels; value: number; metricName: string }[] {
    let count = 0;
    const lines = buckets.map((own, i) => {
      count += own;
      return { labels: { ...labels, le: DURATION_BUCKETS_S[i] ?? '+Inf' }, value: count, metricName: `${this.#name}_bucket` };
    });
    return [...lines, { labels, value: sumS, metricName: `${this.#name}_sum` }, { labels, value: count, metricName: `${this.#name}_count` }];
  }
}

function copy({ labels, value }: Sample): { labels: Labels; value: number } {
  return { labels, value };
}
