/**
 * PromQL of the panels, built with @grafana/promql-builder over the table of metrics and what alerts/ records: a name or a label that does not exist does not compile. What an
 * error is, and which requests a service is judged by, is said as alerts/ says it.
 */
import * as promql from '@grafana/promql-builder';
import { ERRORS, FAILED, JUDGED, OWN_FAILURES } from '../../alerts/service-rules.js';
import { METRICS, type LabelOf, type MetricName, type MetricOf } from '../../gateway/metrics/catalogue.js';

export type Expr = promql.Builder<promql.Expr>;

/** Label to what it must match: a regular expression where it has a character of one, or a variable of the board. */
type Matches<Name extends MetricName> = { readonly [Label in LabelOf<Name> | 'instance']?: string };

/** By it a window fits the scrape interval and the picture's width. */
const RATE_WINDOW = '$__rate_interval';
/** Of Prometheus itself, of each scrape. */
export const NODES_UP = 'up{job="tidegate", instance=~"$instance"}';

/** Of the nodes that the board shows. */
function selector(metric: string, matches: Readonly<Record<string, string | undefined>>): promql.VectorExprBuilder {
  // other programs have names such as process_open_fds, too
  const own = metric.startsWith('tidegate_') ? {} : { job: 'tidegate' };
  return matching(metric, { ...own, instance: '$instance', ...matches });
}

function matching(metric: string, matches: Readonly<Record<string, string | undefined>>): promql.VectorExprBuilder {
  const built = new promql.VectorExprBuilder().metric(metric);
  for (const [label, value] of Object.entries(matches)) {
    if (value?.startsWith('!') === true) built.labelNotMatchRegexp(label, value.slice(1));
    else if (value !== undefined && /[$|.*+]/.test(value)) built.labelMatchRegexp(label, value);
    else if (value !== undefined) built.label(label, value);
  }
  return built;
}

/** The metric's newest value, of the nodes that the board shows. `!` before a value: all others. */
export function gauge<Name extends MetricOf<'gauge' | 'summary'>>(name: Name, matches: Matches<Name> = {}): promql.VectorExprBuilder {
  return selector(name, matches);
}

/** A second's share of what a counter grew by. */
export function rate<Name extends MetricOf<'counter'>>(name: Name, matches: Matches<Name> = {}, window = RATE_WINDOW): Expr {
  return promql.rate(selector(name, matches).range(window));
}

/** What a counter grew by. */
export function increase<Name extends MetricOf<'counter'>>(name: Name, matches: Matches<Name> = {}, window = RATE_WINDOW): Expr {
  return promql.increase(selector(name, matches).range(window));
}

/** Observations a second of a histogram's buckets, `le` among `by`, or its count or sum. */
export function histogramRate<Name extends MetricOf<'histogram'>>(
  name: Name, part: 'bucket' | 'count' | 'sum', matches: Matches<Name> = {}, window = RATE_WINDOW,
): Expr {
  return promql.rate(selector(`${name}_${part}`, matches).range(window));
}

/** Interpolated between two bounds of the buckets. */
export function quantile<Name extends MetricOf<'histogram'>>(q: number, name: Name, matches: Matches<Name> = {}, by: readonly (LabelOf<Name> | 'instance')[] = []): Expr {
  return promql.histogramQuantile(q, sum(histogramRate(name, 'bucket', matches), ['le', ...by]));
}

/** Requests in each bucket of the time between two points, for a heatmap. */
export function heat<Name extends MetricOf<'histogram'>>(name: Name, matches: Matches<Name> = {}): Expr {
  return sum(promql.increase(selector(`${name}_bucket`, matches).range(RATE_WINDOW)), ['le']);
}

export function sum(expr: Expr, by: readonly string[] = []): promql.AggregationExprBuilder {
  return promql.sum(expr).by([...by]);
}

export function max(expr: Expr, by: readonly string[] = []): promql.AggregationExprBuilder {
  return promql.max(expr).by([...by]);
}

export function min(expr: Expr, by: readonly string[] = []): promql.AggregationExprBuilder {
  return promql.min(expr).by([...by]);
}

export const divide = (left: Expr, right: Expr): Expr => promql.div(left, right);
export const times = (left: Expr, right: number): Expr => promql.mul(left, promql.n(right));
/** 0 instead of nothing where `expr` has no series of the labels of `of`. */
export const orZero = (expr: Expr, of: Expr): Expr => promql.or(expr, promql.mul(promql.n(0), of));
export const orNumber = (expr: Expr, value: number): Expr => promql.or(expr, promql.vect(value));

/** Of a service's requests a second: those that it was to answer, without what the gateway refused for what the client is or did. */
export function judged(service: string, by: readonly ('service' | 'instance')[], window = RATE_WINDOW): Expr {
  const all = sum(rate('tidegate_requests_total', { service }, window), by);
  return promql.sub(all, orZero(sum(rate('tidegate_refused_total', { service, reason: `!${OWN_FAILURES.join('|')}` }, window), by), all));
}

/** Of a service's requests a second: those answered with 5xx; 0, and not nothing, where none was. */
export function failed(service: string, by: readonly ('service' | 'instance')[], window = RATE_WINDOW): Expr {
  return orZero(sum(rate('tidegate_requests_total', { service, code: FAILED }, window), by), sum(rate('tidegate_requests_total', { service }, window), by));
}

/**
 * Of a service's requests a second: those that no target was sent, though the gateway refused them for nothing. It counts neither attempts nor refused connections; what ended is either refused, or sent, or
 * one of these. A connection that lasts is counted as sent anew with each of its rows, hence not below 0.
 */
export function sentToNone(service: string): Expr {
  const all = sum(rate('tidegate_requests_total', { service }));
  const refused = orZero(sum(rate('tidegate_refused_total', { service })), all);
  const sent = orZero(sum(histogramRate('tidegate_upstream_duration_seconds', 'count', { service })), all);
  return promql.clampMin(promql.sub(promql.sub(all, refused), sent), 0);
}

/** 0 to 1; no value where there was nothing to judge. */
export function errorRatio(service: string, by: readonly ('service' | 'instance')[] = [], window = RATE_WINDOW): Expr {
  return divide(failed(service, by, window), promql.gt(judged(service, by, window), promql.n(0)));
}

/**
 * What is left of the error budget of 30 days of each service with an objective: 1 all of it, below 0 it is overdrawn. Of what the rules record, which is two series of each service: 30 days of what
 * nodes tell, of each route, status and node, would be read anew each time that a board is looked at. Both are recorded at the same times, so that their sums compare, and are of all nodes.
 */
export function budgetLeft(service: string): Expr {
  const total = (record: typeof ERRORS | typeof JUDGED): Expr => promql.sumOverTime(matching(`${record}:rate2m`, { service }).range('30d'));
  const objective = max(gauge('tidegate_slo_availability_ratio', { service }), ['service']);
  const failedShare = promql.div(total(ERRORS), promql.gt(total(JUDGED), promql.n(0)));
  return promql.sub(promql.n(1), promql.div(failedShare, promql.sub(promql.n(1), objective)).on(['service']));
}

/**
 * The share of a service's requests that took no longer than its objective, by the bucket that ends there: a quantile is interpolated, and lies. As LatencyBudgetBurn has it: those that took longer, of
 * those that the service was to answer, or a flood of refusals, which take no time, would hide them. Prometheus 2 has le="2" or "2.0" as the scrape had it, Prometheus 3 always "2.0"; `bound` has "2".
 */
export function withinObjective(service: string): Expr {
  // promql-builder 0.0.6 writes a function's texts as they are: the quotation marks are ours
  const byBound = promql.labelReplace(histogramRate('tidegate_request_duration_seconds', 'bucket', { service }), '"bound"', '"$1"', '"le"', '"(.+?)(?:\\\\.0)?"');
  const within = promql.and(sum(byBound, ['service', 'bound']), gauge('tidegate_slo_latency_threshold_seconds', { service })).on(['service', 'bound']);
  const longer = promql.sub(sum(histogramRate('tidegate_request_duration_seconds', 'count', { service }), ['service']), max(within, ['service']));
  return promql.sub(promql.n(1), promql.div(longer, promql.gt(judged(service, ['service']), promql.n(0))));
}

/**
 * How long ago what was recorded was stored, and how long ago it was taken by Kafka: the worse of both. A node that only ships knows nothing of the store. `or` leaves out what has the labels of
 * something on its left, so the one has a label more.
 */
export function lag(by: readonly 'instance'[] = []): Expr {
  return max(promql.or(gauge('tidegate_event_lag_seconds'), promql.labelReplace(gauge('tidegate_shipping_lag_seconds'), '"to"', '"kafka"', '"instance"', '".*"')), by);
}

/** How many services fail more than their own threshold allows. */
export function servicesOverThreshold(): Expr {
  const over = promql.gt(errorRatio('$service', ['service']), max(gauge('tidegate_alert_error_ratio', { service: '$service' }), ['service'])).on(['service']);
  return orNumber(promql.count(over), 0);
}

/** As PromQL, without the parentheses that the builder sets around numbers. */
export function text(expr: Expr): string {
  return promql.toString(expr.build()).replaceAll(/(?<![\w)])\((-?\d+(?:\.\d+)?)\)/g, '$1');
}

/** Of the metric, for a panel's description. */
export const helpOf = (name: MetricName): string => METRICS[name].help;

export { promql };
