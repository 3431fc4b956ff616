/** Service: one service's routes, latency, targets and refusals, beside what is promised of it. */
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard';
import * as units from '@grafana/grafana-foundation-sdk/units';
import { FAILED } from '../../alerts/service-rules.js';
import { board, deploys, nodes, oneService, prometheusSource, reloads, routes } from './board.js';
import { ask, atLeast, atMost, graph, heat, number, states, statusColours } from './panels.js';
import { budgetLeft, divide, errorRatio, gauge, heat as heatOf, histogramRate, increase, min, orZero, promql, quantile, rate, sentToNone, sum, withinObjective, type Expr } from './promql.js';

const OF = { service: '$service' } as const;
/** Legend of requests that went to no target. */
const NO_TARGET = 'no target';
const ROUTES = { service: '$service', route: '$route' } as const;

export function service(): Dashboard {
  return board({
    name: 'service', title: 'Service', description: 'One service: its routes, latency, targets and refusals.',
    variables: [prometheusSource(), nodes(), oneService(), routes()], annotations: [reloads(), deploys()],
  }, [
    { title: 'Now', panels: [
      number({ id: 1, title: 'Requests', unit: units.RequestsPerSecond, width: 3, description: 'Requests ended a second, refused ones too.' }, ask(sum(rate('tidegate_requests_total', OF)))),
      number({
        id: 2, title: 'Errors', unit: units.PercentUnit, decimals: 2, width: 3, thresholds: atMost(0.05, 0.1),
        description: 'Share of the requests to be answered that were answered with 5xx, refusals for what the client did left out. Orange from 5 %, red from 10 %, the thresholds of the alerts by default; the service\'s own is beside it.',
      }, ask(errorRatio(OF.service))),
      number({ id: 3, title: 'Errors allowed', unit: units.PercentUnit, decimals: 1, width: 2, description: 'The service\'s threshold (alerts.error_ratio), above which HighErrorRate fires.' }, ask(min(gauge('tidegate_alert_error_ratio', OF)))),
      number({
        id: 4, title: 'p99', unit: units.Seconds, width: 3, thresholds: atMost(1, 2),
        description: 'What 99 of 100 requests took at most, estimated within the bounds of the histogram. Orange from 1 s, red from 2 s, the thresholds of the alerts by default.',
      }, ask(quantile(0.99, 'tidegate_request_duration_seconds', OF))),
      number({
        id: 5, title: 'Within latency objective', unit: units.PercentUnit, decimals: 2, width: 4, thresholds: atLeast(0.99, 0.95),
        description: 'Share of the requests to be answered that took no longer than slo.latency.threshold: counted, not estimated, and without those refused for what the client did, as LatencyBudgetBurn has it. A fast 502 is within it: errors are those of availability. Green from 99 % on; – where the service has no such objective.',
      }, ask(withinObjective(OF.service))),
      number({
        id: 6, title: 'Error budget left', unit: units.PercentUnit, decimals: 0, width: 3, thresholds: atLeast(0.25, 0),
        description: 'What is left of the room for errors that slo.availability leaves in 30 days, on all nodes. Below 0 the objective is missed; – where the service has none, or Prometheus has not the rules of alerts/.',
      }, ask(budgetLeft(OF.service))),
      number({ id: 7, title: 'Targets well', unit: units.PercentUnit, decimals: 0, width: 3, thresholds: atLeast(1, 0.5), description: 'Share of the service\'s targets that no worker passes over, on the node that sees fewest.' },
        ask(min(promql.div(gauge('tidegate_targets_healthy', OF), gauge('tidegate_targets', OF))))),
      number({ id: 8, title: 'In flight', unit: units.Short, width: 3, description: 'Requests read and not answered yet, on all nodes shown.' }, ask(sum(gauge('tidegate_in_flight_requests', OF)))),
    ] },
    { title: 'Requests', panels: [
      graph({ id: 10, title: 'Requests by route', unit: units.RequestsPerSecond, width: 8, description: 'Requests ended a second, refused ones too.' }, [ask(sum(rate('tidegate_requests_total', ROUTES), ['route']), '{{route}}')], { stacked: true }),
      graph({ id: 11, title: 'Status classes', unit: units.RequestsPerSecond, width: 8, description: 'Requests ended a second by the class of the status sent; 0xx: none was sent, the client had left.' },
        [ask(sum(promql.labelReplace(rate('tidegate_requests_total', ROUTES), '"class"', '"$1"', '"code"', '"(.).*"'), ['class']), '{{class}}xx')], { stacked: true, colours: statusColours('fixed') }),
      graph({ id: 12, title: 'Errors by route', unit: units.PercentUnit, width: 8, description: 'Share of each route\'s requests that were answered with 5xx, refused ones counted among the requests. The dashed line is the service\'s threshold (alerts.error_ratio).' }, [
        ask(divide(orZero(sum(rate('tidegate_requests_total', { ...ROUTES, code: FAILED }), ['route']), sum(rate('tidegate_requests_total', ROUTES), ['route'])), promql.gt(sum(rate('tidegate_requests_total', ROUTES), ['route']), promql.n(0))), '{{route}}'),
        ask(min(gauge('tidegate_alert_error_ratio', OF)), 'threshold'),
      ], { limits: ['threshold'] }),
    ] },
    { title: 'Latency', panels: [
      heat({ id: 20, title: 'How long requests take', unit: units.Seconds, width: 12, description: 'Requests by how long they took, from the first byte to the answer\'s end, in the buckets of the histogram. Two bands are two kinds of requests: choose a route. A diamond is a traced request, and leads to its trace.' }, ask(heatOf('tidegate_request_duration_seconds', ROUTES)).exemplar(true), 'le'),
      graph({ id: 21, title: 'Percentiles', unit: units.Seconds, width: 12, height: 9, description: 'What 50, 95 and 99 of 100 requests took at most, estimated within the bounds of the histogram. The dashed line is the service\'s threshold for the p99 (alerts.latency_p99). A diamond is a traced request.' }, [
        ...[0.5, 0.95, 0.99].map((q) => ask(quantile(q, 'tidegate_request_duration_seconds', ROUTES), `p${q * 100}`).exemplar(true)),
        ask(min(gauge('tidegate_alert_latency_p99_seconds', OF)), 'p99 threshold'),
      ], { limits: ['p99 threshold'] }),
      graph({ id: 22, title: 'p95 by route', unit: units.Seconds, width: 8, description: 'What 95 of 100 requests of each route took at most, estimated within the bounds of the histogram. A diamond is a traced request.' }, [ask(quantile(0.95, 'tidegate_request_duration_seconds', ROUTES, ['route']), '{{route}}').exemplar(true)]),
      graph({ id: 23, title: 'In the gateway, and in the upstream', unit: units.Seconds, width: 8, description: 'Means: what the gateway itself took of a request, and what an attempt at the upstream took. Together they are about the duration.' }, [
        ask(mean('tidegate_gateway_duration_seconds'), 'gateway'), ask(mean('tidegate_upstream_duration_seconds'), 'upstream'),
      ], { stacked: true }),
      graph({ id: 24, title: 'Within latency objective', unit: units.PercentUnit, width: 8, description: 'Share of the requests to be answered that took no longer than slo.latency.threshold, and the share that shall (dashed). An error that came fast is within it, as in LatencyBudgetBurn, so that it stays high in an outage: look at the errors beside it. Empty where the service has no such objective.' },
        [ask(withinObjective(OF.service), 'within'), ask(min(gauge('tidegate_slo_latency_share_ratio', OF)), 'objective')], { limits: ['objective'], axisMax: 1 }),
    ] },
    { title: 'Targets', panels: [
      states({ id: 30, title: 'Targets', unit: units.Short, width: 8, description: 'Whether the last connection that each worker tried was made; one worker on one node that is refused is enough for a target to be out.' },
        [ask(min(gauge('tidegate_target_healthy', OF), ['target']), '{{target}}')], { 0: 'out', 1: 'well' }),
      graph({ id: 31, title: 'Requests by target', unit: units.RequestsPerSecond, width: 8, height: 6, description: 'Requests a second that each target was sent, counted when they end; and those that none was sent, for no target took a connection (answered 502 or 503) or the client had left. Where one target\'s falls to 0 and it is not out, look at the balancer.' },
        [ask(sum(histogramRate('tidegate_upstream_duration_seconds', 'count', OF), ['target']), '{{target}}'), ask(sentToNone(OF.service), NO_TARGET)], { colours: [{ legend: `^${NO_TARGET}$`, colour: 'red', mode: 'fixed' }] }),
      graph({ id: 32, title: 'p95 by target', unit: units.Seconds, width: 8, height: 6, description: 'What 95 of 100 attempts at each target took at most: one slow target among good ones shows here.' },
        [ask(quantile(0.95, 'tidegate_upstream_duration_seconds', OF, ['target']), '{{target}}')]),
      graph({ id: 33, title: 'Retries, by reason', unit: units.Short, width: 8, description: 'Attempts made again at another connection or target, in each step of the picture; 0 where none was, and where no other target was left to try.' },
        [ask(sum(increase('tidegate_retries_total', OF), ['reason']), '{{reason}}')], { bars: true, stacked: true, sorted: true }),
      graph({ id: 34, title: 'Refused, by reason', unit: units.RequestsPerSecond, width: 8, description: 'Requests a second of this service that went to no upstream. Reasons: docs/reference/outcomes.md.' }, [ask(sum(rate('tidegate_refused_total', OF), ['reason']), '{{reason}}')], { stacked: true, sorted: true }),
      graph({ id: 35, title: 'In flight', unit: units.Short, width: 8, description: 'Requests read and not answered yet, by node. It grows where an upstream slows down before its answers show it.' }, [ask(sum(gauge('tidegate_in_flight_requests', OF), ['instance']), '{{instance}}')]),
    ] },
    { title: 'Bodies', panels: [
      graph({ id: 40, title: 'Body bytes', unit: units.BytesPerSecondSI, width: 8, description: 'Bytes a second of bodies, as clients sent and got them.' },
        [ask(sum(rate('tidegate_request_bytes_total', OF)), 'from clients'), ask(sum(rate('tidegate_response_bytes_total', OF)), 'to clients')]),
      graph({ id: 41, title: 'Size of requests', unit: units.BytesSI, width: 8, description: 'What half, and 95 of 100, request bodies have at most, estimated within bounds that lie a factor of 10 apart.' },
        [0.5, 0.95].map((q) => ask(quantile(q, 'tidegate_request_size_bytes', OF), `p${q * 100}`))),
      graph({ id: 42, title: 'Size of answers', unit: units.BytesSI, width: 8, description: 'What half, and 95 of 100, answers\' bodies have at most, estimated within bounds that lie a factor of 10 apart.' },
        [0.5, 0.95].map((q) => ask(quantile(q, 'tidegate_response_size_bytes', OF), `p${q * 100}`))),
    ] },
  ]);
}

/** Of the service's observations, the mean. */
function mean(name: 'tidegate_gateway_duration_seconds' | 'tidegate_upstream_duration_seconds'): Expr {
  return divide(sum(histogramRate(name, 'sum', OF)), promql.gt(sum(histogramRate(name, 'count', OF)), promql.n(0)));
}
