/**
 * One scrape's text, metric by metric: Prometheus text 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format) or OpenMetrics 1.0
 * (https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md). Names, types, labels and bounds come from the catalogue.
 *
 *   # HELP tidegate_request_duration_seconds From the request's first byte to the answer's end.
 *   # TYPE tidegate_request_duration_seconds histogram
 *   tidegate_request_duration_seconds_bucket{service="shop",route="all",le="0.5"} 7 # {trace_id="4bf9…"} 0.43 1763942400.123
 *
 * Only OpenMetrics has what stands behind `#` there, `# EOF` at the end, `le="2.0"` for `le="2"`, and counters' names without `_total` in HELP and TYPE.
 */
import type { Format } from './accept.js';
import { boundText, METRICS, type MetricEntry, type MetricName, type MetricOf } from './catalogue.js';
import type { Births } from './births.js';

/** A value of each of the metric's labels, in the catalogue's order. */
export type LabelValues<Name extends MetricName> = EachText<(typeof METRICS)[Name]['labels']>;
type EachText<Labels extends readonly string[]> = { readonly [At in keyof Labels]: string };

export type Sample<Name extends MetricName> = readonly [labels: LabelValues<Name>, value: number];

export interface HistogramValue {
  /** Counts of each bucket alone, the one without a bound last. */
  readonly buckets: readonly number[];
  /** In the metric's unit. */
  readonly sum: number;
  readonly exemplars?: readonly BucketExemplar[];
}

export interface BucketExemplar {
  readonly bucket: number;
  readonly traceId: string;
  /** In the metric's unit. */
  readonly value: number;
  readonly timeMs: number;
}

type Scalar = MetricOf<'counter' | 'gauge' | 'summary'>;

export class Exposition {
  readonly #isOpen: boolean;
  readonly #births: Births;
  #text = '';

  /** @param births what the asker has been told before */
  constructor(format: Format, births: Births) {
    this.#isOpen = format === 'openmetrics';
    this.#births = births;
  }

  add<Name extends Scalar>(name: Name, samples: Iterable<Sample<Name>>): void {
    const { type, outlives } = this.#begin(name);
    const canBeNew = type === 'counter' && outlives !== true;
    const names = LABELS[name];
    for (const [values, value] of samples) {
      const series = name + labelText(names, values);
      this.#text += `${series} ${numberText(canBeNew && this.#births.isNew(series) ? 0 : value)}\n`;
    }
  }

  /** Of a metric without labels. Null: it is not known, and not told. */
  one<Name extends { [Each in Scalar]: (typeof METRICS)[Each]['labels'] extends readonly [] ? Each : never }[Scalar]>(name: Name, value: number | null): void {
    this.add(name, value === null ? [] : [[[] as unknown as LabelValues<Name>, value]]);
  }

  histogram<Name extends MetricOf<'histogram'>>(name: Name, samples: Iterable<readonly [labels: LabelValues<Name>, value: HistogramValue]>): void {
    const { outlives } = this.#begin(name);
    const names = LABELS[name];
    const bounds = (this.#isOpen ? OPEN_BOUNDS : BOUNDS)[name];
    let text = '';
    for (const [values, { buckets, sum, exemplars = [] }] of samples) {
      const labels = labelText(names, values);
      const isNew = outlives !== true && this.#births.isNew(name + labels);
      const begin = `${name}_bucket${labels === '' ? '{' : `${labels.slice(0, -1)},`}`;
      let count = 0;
      for (let i = 0; i < bounds.length; i++) {
        if (!isNew) count += buckets[i] ?? 0;
        text += `${begin}${bounds[i] as string}${count}${exemplars.length === 0 || isNew ? '' : this.#exemplar(exemplars, i)}\n`;
      }
      text += `${name}_sum${labels} ${isNew ? 0 : numberText(sum)}\n${name}_count${labels} ${count}\n`;
    }
    this.#text += text;
  }

  /** The whole text. Call it once, at the end. */
  end(): string {
    return this.#isOpen ? `${this.#text}# EOF\n` : this.#text;
  }

  #begin(name: MetricName): MetricEntry {
    const metric: MetricEntry = METRICS[name];
    const family = this.#isOpen && metric.type === 'counter' ? name.slice(0, -'_total'.length) : name;
    this.#text += `# HELP ${family} ${helpText(metric.help, this.#isOpen)}\n# TYPE ${family} ${metric.type}\n`;
    return metric;
  }

  #exemplar(exemplars: readonly BucketExemplar[], bucket: number): string {
    const exemplar = this.#isOpen ? exemplars.find((each) => each.bucket === bucket) : undefined;
    return exemplar === undefined ? '' : ` # {trace_id="${valueText(exemplar.traceId)}"} ${numberText(exemplar.value)} ${exemplar.timeMs / 1000}`;
  }
}

/** By metric: `{service="`, `",route="`, … as they stand before each value. */
const LABELS = ofEach(({ labels }) => labels.map((label, i) => `${i === 0 ? '{' : '",'}${label}="`));
/** By metric: `le="0.5"} ` of each bucket. */
const BOUNDS = ofEach(({ buckets = [] }) => [...buckets.map(boundText), '+Inf'].map((bound) => `le="${bound}"} `));
const OPEN_BOUNDS = ofEach(({ buckets = [] }) => [...buckets.map((bound) => (Number.isInteger(bound) ? `${boundText(bound)}.0` : boundText(bound))), '+Inf'].map((bound) => `le="${bound}"} `));

function ofEach(made: (metric: MetricEntry) => readonly string[]): Readonly<Record<MetricName, readonly string[]>> {
  return Object.fromEntries(Object.entries(METRICS).map(([name, metric]) => [name, made(metric)])) as unknown as Record<MetricName, readonly string[]>;
}

function labelText(names: readonly string[], values: readonly string[]): string {
  if (names.length === 0) return '';
  let text = '';
  for (let i = 0; i < names.length; i++) text += (names[i] as string) + valueText(values[i] as string);
  return `${text}"}`;
}

function valueText(value: string): string {
  return /["\\\n]/.test(value) ? value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n') : value;
}

/** OpenMetrics wants quotes escaped here too. */
function helpText(help: string, isOpen: boolean): string {
  const text = help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
  return isOpen ? text.replaceAll('"', '\\"') : text;
}

/** Both formats spell these so: Go's names, not JavaScript's. */
function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf';
  return value === Number.NEGATIVE_INFINITY ? '-Inf' : String(value);
}
