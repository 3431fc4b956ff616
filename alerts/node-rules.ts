/** Nodes, their processes and their configuration. */
import type { RuleGroup } from './rule.js';
import type { Windows } from './windows.js';

/** Later than that, at the 99th percentile, a worker has too much to do: requests wait for it as long as an answer takes elsewhere. */
export const EVENT_LOOP_LATE_S = 0.1;

export function nodeGroup(windows: Windows): RuleGroup {
  const [w1m, w5m] = [windows.of('1m'), windows.of('5m')];
  return {
    name: 'tidegate-nodes',
    rules: [
      {
        alert: 'Watchdog', severity: 'none',
        expr: 'vector(1)',
        summary: 'Alerts come through',
        description: 'Always {{ $value }}. Have something outside notice when it stops: then Prometheus, Alertmanager or the network from them is down.',
      },
      {
        alert: 'GatewayDown', severity: 'page', for: w1m, labels: { reason: 'down' },
        expr: 'up{job="tidegate"} == 0',
        summary: '{{ $labels.instance }} does not answer',
        description: 'up is {{ $value }}: Prometheus gets no metrics from {{ $labels.instance }}. The node, its supervisor or the network between is down.',
      },
      {
        alert: 'GatewayDown', severity: 'page', for: w1m, labels: { reason: 'absent' },
        expr: 'absent(up{job="tidegate"})',
        summary: 'No node is scraped',
        description: 'absent(up) is {{ $value }}: the job tidegate of Prometheus has no target, so no other alert of Tidegate can fire.',
      },
      {
        alert: 'WorkerRestarting', severity: 'page',
        expr: `increase(tidegate_worker_restarts_total[${windows.of('15m')}]) >= 3`,
        summary: '{{ $labels.instance }}: workers keep dying',
        description: 'Workers were restarted {{ $value | humanize }} times in 15 minutes. Each lost the requests it was answering.',
      },
      {
        // the median of the scrapes: one good one ends nothing, and one long stop, which would lift a mean, begins nothing
        alert: 'EventLoopBlocked', severity: 'ticket', for: windows.of('2m'),
        expr: `quantile_over_time(0.5, tidegate_worker_event_loop_delay_seconds{quantile="0.99"}[${w5m}]) > ${EVENT_LOOP_LATE_S}`,
        summary: '{{ $labels.instance }}: worker {{ $labels.worker }} is late',
        description: 'The event loop of worker {{ $labels.worker }} is {{ $value | humanizeDuration }} late at its 99th percentile, by the median of 5 minutes: requests that it serves wait that long.',
      },
      {
        alert: 'ConfigRejected', severity: 'ticket', for: w1m,
        expr: 'tidegate_config_rejected == 1',
        summary: '{{ $labels.instance }}: the configuration on disk is not in force',
        description: 'tidegate_config_rejected is {{ $value }}: the newest file was rejected. The node keeps the previous one, and would not start again if stopped.',
      },
      {
        alert: 'ConfigDrift', severity: 'ticket', for: w5m,
        // a label of the scrape, which need not be there: fleets under one Prometheus have files of their own
        expr: 'count by (cluster) (count by (cluster, version) (tidegate_config_info)) > 1',
        summary: 'Nodes have different configurations in force',
        description: '{{ $value }} different configurations have been in force for 5 minutes: nodes treat the same request differently.',
      },
    ],
  };
}
