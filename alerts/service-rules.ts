/**
 * Of each service: errors, latency, targets. Thresholds are gauges of the gateway (`alerts` in its configuration), joined here, so that a reload
 * needs no new rules; so is the team. Latency is compared as the share of requests that took longer than a bucket's bound: a quantile is interpolated between two
 * bounds, and lies (20 % at 1.1 s reads as 2.4 s at the 95th percentile; above the last bound it never fires).
 *
 * What counts: requests that the service was to answer. Those that the gateway refused for what the client is or did (429, 401, 404 …) do not, or a
 * flood of them would hide an outage; those that it refused because it failed itself do, and are errors, as gateway/events/outcomes.ts has it.
 */
import type { AlertRule, RuleGroup } from './rule.js';
import type { Windows } from './windows.js';

/** Of tidegate_refused_total: the gateway's own failures. */
export const OWN_FAILURES = ['draining', 'internal_error', 'ledger_unavailable'] as const;

/** Statuses that are errors. From 600 on a status is none, and counts as one of 5xx (RFC 9110, section 15), as in reports. */
export const FAILED = '[5-9]..';

/** Fewer bad requests than this in a window prove nothing: neither page nor ticket. */
const LEAST_BAD = 10;

/** Of each service, one: where nodes have different files for a moment, the team that most of them name. */
const TEAM = 'service_team:tidegate_service_info:topk1';

/** Requests a second that the service was to answer, that were errors, that took longer than …. Recorded over 2 m; longer windows are averages of these. */
export const JUDGED = 'service:tidegate_requests_judged';
export const ERRORS = 'service:tidegate_request_errors';
export const SLOW_FOR_OBJECTIVE = 'service:tidegate_requests_over_objective';
const SLOW_P95 = 'service:tidegate_requests_over_p95';
const SLOW_P99 = 'service:tidegate_requests_over_p99';
/** Nodes on which every target is out; nothing where there is none. */
const ALL_DOWN = 'service:tidegate_all_targets_down:count';
const WITHIN_BOUND = 'service_bound:tidegate_request_duration_seconds_bucket';

/** An alert on an expression with a label `service`: it has the service's team, too, where the service has one. */
export function ofService(rule: AlertRule): AlertRule {
  return { ...rule, expr: `(\n${indented(rule.expr)}\n)\n* on (service) group_left (team) ${TEAM}` };
}

/** Of the group that records rates: a sum of samples times this is a number of requests, however much of its window there is yet. */
const RECORDED_EVERY = '30s';

/** That at least LEAST_BAD requests were bad in the window, for a `record` made every 30 s. */
export function enoughBad(windows: Windows, record: string, window: string): string {
  return `and on (service) sum_over_time(${record}:rate2m[${windows.of(window)}]) * ${windows.seconds(RECORDED_EVERY)} >= ${LEAST_BAD}`;
}

/**
 * Unless AllTargetsDown explains it, and did within the window of the rates: an outage is told once, and what is wrong after it is told at once. Alertmanager would hold
 * back what begins while AllTargetsDown goes on after its cause, and send it when that is over, too.
 */
function unlessAllDown(windows: Windows): string {
  return `unless on (service) (\n  present_over_time(${ALL_DOWN}[${windows.of('2m')}])\n  and on (service) ALERTS{alertname="AllTargetsDown",alertstate="firing"}\n)`;
}

const indented = (text: string): string => text.replaceAll(/^/gm, '  ');

export function serviceGroup(windows: Windows): RuleGroup {
  const w2m = windows.of('2m');
  const all = `sum by (service) (rate(tidegate_requests_total{service!=""}[${w2m}]))`;
  const none = `0 * ${all}`;
  const slow = (record: string, gauge: string): { record: string; expr: string } => ({
    record: `${record}:rate2m`,
    expr: `sum by (service) (rate(tidegate_request_duration_seconds_count{service!=""}[${w2m}]))\n- on (service)\n`
      + `max by (service) (${WITHIN_BOUND}:rate2m and on (service, bound) ${gauge})`,
  });
  const share = (record: string, window: string): string => `${record}:rate${window} / (${JUDGED}:rate${window} > 0)`;
  return {
    name: 'tidegate-services', interval: windows.of(RECORDED_EVERY),
    rules: [
      { record: TEAM, expr: 'topk by (service) (1, count by (service, team) (tidegate_service_info)) > bool 0' },
      {
        record: `${JUDGED}:rate2m`,
        expr: `${all}\n- on (service)\n(\n  sum by (service) (rate(tidegate_refused_total{service!="",reason!~"${OWN_FAILURES.join('|')}"}[${w2m}]))\n  or\n  ${none}\n)`,
      },
      // 0, and not nothing, where no request has failed
      { record: `${ERRORS}:rate2m`, expr: `sum by (service) (rate(tidegate_requests_total{service!="",code=~"${FAILED}"}[${w2m}]))\nor\n${none}` },
      {
        // Prometheus 2 has le="2" and "2.0", as it asked; Prometheus 3 has le="2.0": a bound has one name here
        record: `${WITHIN_BOUND}:rate2m`,
        expr: `sum by (service, bound) (\n  label_replace(\n`
          + `    sum by (service, le) (rate(tidegate_request_duration_seconds_bucket{service!="",le!="+Inf"}[${w2m}])),\n`
          + '    "bound", "$1", "le", "(.+?)(?:\\\\.0)?"\n  )\n)',
      },
      slow(SLOW_P95, 'tidegate_alert_latency_p95_seconds'),
      slow(SLOW_P99, 'tidegate_alert_latency_p99_seconds'),
      slow(SLOW_FOR_OBJECTIVE, 'tidegate_slo_latency_threshold_seconds'),
      { record: `${JUDGED}:rate5m`, expr: `avg_over_time(${JUDGED}:rate2m[${windows.of('5m')}])` },
      { record: `${ERRORS}:rate5m`, expr: `avg_over_time(${ERRORS}:rate2m[${windows.of('5m')}])` },
      { record: `${SLOW_FOR_OBJECTIVE}:rate5m`, expr: `avg_over_time(${SLOW_FOR_OBJECTIVE}:rate2m[${windows.of('5m')}])` },
      {
        // a target counts as out until it is asked again: without requests that are answered so, nothing is known to be down now
        record: ALL_DOWN,
        expr: 'count by (service) (\n  (tidegate_targets_healthy == 0 and tidegate_targets > 0)\n  and on (service, instance)\n'
          + `  sum by (service, instance) (rate(tidegate_requests_total{code=~"50[23]"}[${w2m}])) > 0\n)`,
      },
      ofService({
        alert: 'HighErrorRate', severity: 'page', for: w2m, keepFiringFor: windows.of('5m'),
        expr: `${share(ERRORS, '2m')} > on (service) max by (service) (tidegate_alert_error_ratio)\n${enoughBad(windows, ERRORS, '2m')}\n${unlessAllDown(windows)}`,
        summary: '{{ $labels.service }}: requests fail',
        description: '{{ $value | humanizePercentage }} of the requests to {{ $labels.service }} have failed over the last 2 minutes: answered 5xx by the upstream, or because it did not respond.',
      }),
      ofService({
        alert: 'HighServerErrorRate', severity: 'ticket', for: windows.of('10m'),
        expr: `${share(ERRORS, '5m')} > on (service) max by (service) (tidegate_alert_server_error_ratio)\n${enoughBad(windows, ERRORS, '5m')}\n${unlessAllDown(windows)}`,
        summary: '{{ $labels.service }}: some requests have been failing for a while',
        description: '{{ $value | humanizePercentage }} of the requests to {{ $labels.service }} have been answered 5xx over the last 5 minutes, and more than the threshold for 10.',
      }),
      ofService({
        alert: 'HighLatency', severity: 'page', for: windows.of('3m'), keepFiringFor: windows.of('5m'),
        expr: `${share(SLOW_P95, '2m')} > 0.05\n${enoughBad(windows, SLOW_P95, '2m')}\n${unlessAllDown(windows)}`,
        summary: '{{ $labels.service }}: responses are slow',
        description: '{{ $value | humanizePercentage }} of the requests to {{ $labels.service }} take longer than its limit for the 95th percentile, which allows 5%.',
      }),
      ofService({
        alert: 'HighTailLatency', severity: 'ticket', for: windows.of('3m'),
        expr: `${share(SLOW_P99, '2m')} > 0.01\n${enoughBad(windows, SLOW_P99, '2m')}\n${unlessAllDown(windows)}`,
        summary: '{{ $labels.service }}: some responses are very slow',
        description: '{{ $value | humanizePercentage }} of the requests to {{ $labels.service }} take longer than its limit for the 99th percentile, which allows 1%.',
      }),
      ofService({
        alert: 'TargetDown', severity: 'ticket', for: w2m,
        expr: 'count by (service, target) (tidegate_target_healthy == 0)',
        summary: '{{ $labels.service }}: {{ $labels.target }} accepts no connections',
        description: '{{ $labels.target }} of {{ $labels.service }} refused the last connection, or did not accept it in time, on {{ $value }} node(s).',
      }),
      ofService({
        alert: 'AllTargetsDown', severity: 'page', for: windows.of('30s'), keepFiringFor: windows.of('5m'),
        expr: ALL_DOWN,
        summary: '{{ $labels.service }}: no target accepts connections',
        description: 'Every target of {{ $labels.service }} is unreachable on {{ $value }} node(s): its requests are answered 502 or 503.',
      }),
    ],
  };
}
