/** Overview: is anything wrong, and with which service. */
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard';
import * as units from '@grafana/grafana-foundation-sdk/units';
import { EVENT_LAG_S } from '../../alerts/event-rules.js';
import { board, deploys, linkTo, nodes, prometheusSource, reloads, services } from './board.js';
import { ask, atLeast, atMost, graph, number, rows, statusColours } from './panels.js';
import { budgetLeft, divide, errorRatio, gauge, histogramRate, increase, lag, max, min, NODES_UP, orNumber, orZero, promql, quantile, rate, servicesOverThreshold, sum } from './promql.js';

const SERVICE = '$service';

export function overview(): Dashboard {
  const toService = linkTo('service', 'Open the service', 'var-service=${__field.labels.service}');
  return board({
    name: 'overview', title: 'Overview', description: 'Is anything wrong, and with which service?',
    variables: [prometheusSource(), nodes(), services()], annotations: [reloads(), deploys()],
  }, [
    { title: 'Now', panels: [
      number({
        id: 1, title: 'Availability', unit: units.PercentUnit, decimals: 3, width: 4, thresholds: atLeast(0.999, 0.99),
        description: 'Share of requests, over the time shown, that were not answered with 5xx. Requests refused for what the client did (401, 404, 429 …) do not count, or a flood of them would hide an outage. Orange below 99.9 %, red below 99 %.',
      }, ask(promql.sub(promql.n(1), errorRatio(SERVICE, [], '$__range')))),
      number({ id: 2, title: 'Requests', unit: units.RequestsPerSecond, width: 3, description: 'Requests ended a second, refused ones too.' }, ask(sum(rate('tidegate_requests_total', { service: SERVICE })))),
      number({
        id: 3, title: 'p99', unit: units.Seconds, width: 3, thresholds: atMost(1, 2),
        description: 'What 99 of 100 requests took at most, estimated within the bounds of the histogram: a hint, alerts compare shares. Orange from 1 s, red from 2 s, as the alerts have it by default.',
      }, ask(quantile(0.99, 'tidegate_request_duration_seconds', { service: SERVICE }))),
      number({
        id: 4, title: 'Least error budget left', unit: units.PercentUnit, decimals: 0, width: 4, thresholds: atLeast(0.25, 0),
        description: 'Of the service that has the least left of its objective\'s (slo.availability) room for errors in 30 days, on all nodes. Below 0 the objective is missed. – where no service has an objective, or Prometheus has not the rules of alerts/.',
      }, ask(min(budgetLeft(SERVICE)))),
      number({
        id: 5, title: 'Services over threshold', unit: units.Short, width: 3, thresholds: atMost(1, 1),
        description: 'Services that fail more than their own threshold (alerts.error_ratio) now. Which: the table below.',
      }, ask(servicesOverThreshold())),
      number({
        id: 6, title: 'Targets out', unit: units.Short, width: 3, thresholds: atMost(1, 1),
        description: 'Targets that refused a worker\'s last connection, or did not take it in time, on any node.',
      }, ask(orNumber(promql.count(promql.eq(min(gauge('tidegate_target_healthy', { service: SERVICE }), ['service', 'target']), promql.n(0))), 0))),
      number({
        id: 7, title: 'Nodes answering', unit: units.PercentUnit, decimals: 0, width: 2, thresholds: atLeast(1, 0.5),
        description: 'Share of the nodes that Prometheus could scrape the last time.',
      }, ask(`avg(${NODES_UP})`)),
      number({
        id: 8, title: 'Event lag', unit: units.Seconds, width: 2, thresholds: atMost(EVENT_LAG_S, EVENT_LAG_S),
        description: 'How long ago everything that was recorded was stored, or taken by Kafka, on the node furthest behind. Red from where EventLag fires, which waits five minutes. The board Event pipeline says why.',
      }, ask(lag())),
    ] },
    { title: 'Services', panels: [
      graph({ id: 10, title: 'Requests by service', unit: units.RequestsPerSecond, width: 8, description: 'Requests ended a second, refused ones too.' },
        [ask(sum(rate('tidegate_requests_total', { service: SERVICE }), ['service']), '{{service}}')], { link: toService }),
      graph({ id: 11, title: 'Errors by service', unit: units.PercentUnit, width: 8, description: 'Share of the requests to be answered that were answered with 5xx. The dashed line is the lowest threshold of the services shown (alerts.error_ratio).' },
        [ask(errorRatio(SERVICE, ['service']), '{{service}}'), ask(min(gauge('tidegate_alert_error_ratio', { service: SERVICE })), 'threshold')], { link: toService, limits: ['threshold'] }),
      graph({ id: 12, title: 'p95 by service', unit: units.Seconds, width: 8, description: 'What 95 of 100 requests took at most, estimated within the bounds of the histogram. A diamond is a traced request. The dashed line is the lowest threshold of the services shown (alerts.latency_p95).' },
        [ask(quantile(0.95, 'tidegate_request_duration_seconds', { service: SERVICE }, ['service']), '{{service}}').exemplar(true), ask(min(gauge('tidegate_alert_latency_p95_seconds', { service: SERVICE })), 'threshold')], { link: toService, limits: ['threshold'] }),
      rows({ id: 13, title: 'Services now', unit: units.Short, width: 24, height: 7, description: 'The last minutes of each service, those with the most errors first. A click opens the service.' }, [
        ask(sum(rate('tidegate_requests_total', { service: SERVICE }), ['service'])), ask(errorRatio(SERVICE, ['service'])),
        ask(quantile(0.95, 'tidegate_request_duration_seconds', { service: SERVICE }, ['service'])), ask(quantile(0.99, 'tidegate_request_duration_seconds', { service: SERVICE }, ['service'])),
        ask(min(gauge('tidegate_targets_healthy', { service: SERVICE }), ['service'])), ask(max(gauge('tidegate_targets', { service: SERVICE }), ['service'])), ask(budgetLeft(SERVICE)),
      ], [
        { field: 'service', title: 'Service', link: linkTo('service', 'Open the service', 'var-service=${__value.text}') },
        { field: 'Value #A', title: 'Requests/s', unit: units.RequestsPerSecond }, { field: 'Value #B', title: 'Errors', unit: units.PercentUnit, decimals: 2, thresholds: atMost(0.05, 0.1) },
        { field: 'Value #C', title: 'p95', unit: units.Seconds, thresholds: atMost(1, 1) }, { field: 'Value #D', title: 'p99', unit: units.Seconds, thresholds: atMost(2, 2) },
        { field: 'Value #E', title: 'Targets well', unit: units.Short, thresholds: atLeast(1, 1) }, { field: 'Value #F', title: 'Targets', unit: units.Short },
        { field: 'Value #G', title: 'Budget left', unit: units.PercentUnit, decimals: 1, thresholds: atLeast(0.25, 0) },
      ], 'Errors'),
    ] },
    { title: 'What is answered, and what it takes', panels: [
      graph({ id: 20, title: 'Answers by status', unit: units.RequestsPerSecond, width: 8, description: 'Requests ended a second, by the status sent; 0: none, the client had left.' },
        [ask(sum(rate('tidegate_requests_total', { service: SERVICE }), ['code']), '{{code}}')], { stacked: true, sorted: true, colours: statusColours('shades') }),
      graph({ id: 21, title: 'Refused, by reason', unit: units.RequestsPerSecond, width: 8, description: 'Requests a second that went to no upstream, of all services and of none (route_not_found). Reasons: docs/reference/outcomes.md. Below ledger_unavailable, draining and internal_error the gateway itself failed.' },
        [ask(sum(rate('tidegate_refused_total'), ['reason']), '{{reason}}')], { stacked: true, sorted: true }),
      graph({ id: 22, title: 'Time in the gateway, and in upstreams', unit: units.Seconds, width: 8, description: 'What the gateway itself took of a request (reading, policies, writing), apart from what its upstream took. Where the gateway\'s p99 grows and the upstream\'s does not, look at the board Runtime.' }, [
        ask(quantile(0.5, 'tidegate_gateway_duration_seconds', { service: SERVICE }), 'gateway p50'), ask(quantile(0.99, 'tidegate_gateway_duration_seconds', { service: SERVICE }), 'gateway p99'),
        ask(quantile(0.5, 'tidegate_upstream_duration_seconds', { service: SERVICE }), 'upstream p50'), ask(quantile(0.99, 'tidegate_upstream_duration_seconds', { service: SERVICE }), 'upstream p99'),
      ]),
      graph({ id: 23, title: 'Body bytes', unit: units.BytesPerSecondSI, width: 8, description: 'Bytes a second of bodies, as clients sent and got them.' },
        [ask(sum(rate('tidegate_request_bytes_total', { service: SERVICE })), 'from clients'), ask(sum(rate('tidegate_response_bytes_total', { service: SERVICE })), 'to clients')]),
      graph({ id: 24, title: 'In flight', unit: units.Short, width: 8, description: 'Requests read and not answered yet. It grows where an upstream slows down before its answers show it.' },
        [ask(sum(gauge('tidegate_in_flight_requests', { service: SERVICE }), ['service']), '{{service}}')], { link: toService }),
      graph({ id: 25, title: 'Mean share of the gateway', unit: units.PercentUnit, width: 8, description: 'Of the time that requests take, how much is the gateway\'s own, on average. Fast upstreams make it large: read it beside the times.' },
        [ask(divide(sum(histogramRate('tidegate_gateway_duration_seconds', 'sum', { service: SERVICE }), ['service']), sum(histogramRate('tidegate_request_duration_seconds', 'sum', { service: SERVICE }), ['service'])), '{{service}}')], { axisMax: 1 }),
    ] },
    { title: 'Limits', panels: [
      graph({ id: 30, title: 'Refused by limits', unit: units.RequestsPerSecond, width: 12, description: 'Requests a second that a QPS limit (rate_limited), or an app\'s requests a day (quota_exhausted), refused; 0 where none was. Whose: the board Tenants.' },
        [ask(orZero(sum(rate('tidegate_refused_total', { service: SERVICE, reason: 'rate_limited|quota_exhausted' }), ['service']), sum(rate('tidegate_requests_total', { service: SERVICE }), ['service'])), '{{service}}')]),
      graph({ id: 31, title: 'Apps near the end of their day', unit: units.Short, width: 6, description: 'Apps that have used at least 80 %, and all, of their requests a day. Who: the board Tenants.' },
        [ask(max(gauge('tidegate_quota_apps'), ['used']), '{{used}} % used')]),
      graph({ id: 32, title: 'Retries', unit: units.Short, width: 6, description: 'Attempts made again at another connection or target, in each step of the picture.' },
        [ask(sum(increase('tidegate_retries_total', { service: SERVICE }), ['service']), '{{service}}')], { bars: true, stacked: true }),
    ] },
  ]);
}
