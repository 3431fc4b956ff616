/** Runtime: the processes of the nodes, their limits' ledger, and the configuration in force. */
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard';
import * as units from '@grafana/grafana-foundation-sdk/units';
import { EVENT_LOOP_LATE_S } from '../../alerts/node-rules.js';
import { board, deploys, nodes, prometheusSource, reloads } from './board.js';
import { ask, atLeast, atMost, graph, number, rows, states } from './panels.js';
import { gauge, histogramRate, increase, max, min, NODES_UP, promql, rate, sum } from './promql.js';

const BY_WORKER = '{{instance}} worker {{worker}}';
const OF_WORKER = ['instance', 'worker'];

export function runtime(): Dashboard {
  return board({
    name: 'runtime', title: 'Runtime', description: 'The processes of the nodes, the ledger of limits, and the configuration in force.',
    variables: [prometheusSource(), nodes()], annotations: [reloads(), deploys()],
  }, [
    { title: 'Now', panels: [
      number({ id: 1, title: 'Nodes answering', unit: units.Short, width: 3, thresholds: atLeast(1, 1), description: 'Nodes that Prometheus could scrape the last time. Red at 0; whether all of them answer says the state of each, below.' }, ask(`sum(${NODES_UP})`)),
      number({ id: 2, title: 'Workers', unit: units.Short, width: 3, thresholds: atLeast(1, 1), description: 'Workers connected to their supervisors, on all nodes shown.' }, ask(sum(gauge('tidegate_workers')))),
      number({ id: 3, title: 'Worker restarts', unit: units.Short, width: 3, decimals: 0, thresholds: atMost(1, 3), description: 'Workers started again, over the time shown, because one had ended without being asked to. Counts are exact all the same; the log says why it ended.' },
        ask(sum(increase('tidegate_worker_restarts_total', {}, '$__range')))),
      number({
        id: 4, title: 'Event loop, p99', unit: units.Seconds, width: 3, thresholds: atMost(EVENT_LOOP_LATE_S, EVENT_LOOP_LATE_S),
        description: 'The delay that 99 of 100 turns of the slowest worker\'s event loop stayed below in the last second: requests wait that long for the processor, not for their upstream. Red from where EventLoopBlocked fires, which goes by the median of five minutes.',
      }, ask(max(gauge('tidegate_worker_event_loop_delay_seconds', { quantile: '0.99' })))),
      number({ id: 5, title: 'Configurations in force', unit: units.Short, width: 3, thresholds: atMost(2, 2), description: 'How many different versions the nodes have in force: 1 where they agree. For some seconds after an edit two are usual; ConfigDrift fires where they stay.' },
        ask(promql.count(promql.count(gauge('tidegate_config_info')).by(['version'])))),
      number({ id: 6, title: 'Newest file', unit: units.Short, width: 3, thresholds: atMost(1, 1), description: 'Whether a node refused the newest configuration, and an older one is in force there. `tidegate check FILE` says what is wrong with it, with line and column.' },
        ask(max(gauge('tidegate_config_rejected'))), { words: { 0: 'in force', 1: 'refused' } }),
      number({
        id: 7, title: 'Ledger of limits', unit: units.Short, width: 3, thresholds: atLeast(1, 1),
        description: 'Whether limits can be lent on every node. While Redis is away, what was lent before goes on; then requests with limits are refused (ledger_unavailable).',
      }, ask(min(gauge('tidegate_ledger_up'))), { words: { 0: 'away', 1: 'lends' } }),
      number({ id: 8, title: 'Since the last change', unit: units.Seconds, width: 3, description: 'How long the newest configuration has been in force.' }, ask(promql.sub(promql.time(), max(gauge('tidegate_config_applied_timestamp_seconds'))))),
    ] },
    { title: 'Workers', panels: [
      graph({ id: 10, title: 'Event loop delay, p99', unit: units.Seconds, width: 8, thresholds: atMost(EVENT_LOOP_LATE_S, EVENT_LOOP_LATE_S), description: 'By worker, of the last second. Where it stays above the dashed line a worker has too much to do, or something blocks it, and EventLoopBlocked fires.' },
        [ask(max(gauge('tidegate_worker_event_loop_delay_seconds', { quantile: '0.99' }), OF_WORKER), BY_WORKER)]),
      graph({ id: 11, title: 'Event loop delay, longest', unit: units.Seconds, width: 8, description: 'By worker: the longest that its event loop stood still in the last second.' },
        [ask(max(gauge('tidegate_worker_event_loop_delay_seconds', { quantile: '1' }), OF_WORKER), BY_WORKER)]),
      graph({ id: 12, title: 'Processor', unit: units.PercentUnit, width: 8, description: 'Processor time of each worker; at 100 % it has a core of its own and wants more: raise `workers`, or add a node.' },
        [ask(sum(rate('tidegate_worker_cpu_seconds_total'), OF_WORKER), BY_WORKER)], { softMax: 1 }),
      graph({ id: 13, title: 'Garbage collection', unit: units.PercentUnit, width: 8, description: 'Share of the time that workers stood still for garbage collection, by kind, on average. Above some per cent the heap is too small for what goes on.' },
        [ask(promql.avg(rate('tidegate_worker_gc_seconds_total')).by(['kind']), '{{kind}}')], { stacked: true }),
      graph({ id: 14, title: 'Resident memory', unit: units.BytesIEC, width: 8, description: 'By worker, with code and buffers.' }, [ask(max(gauge('tidegate_worker_resident_memory_bytes'), OF_WORKER), BY_WORKER)]),
      graph({ id: 15, title: 'JavaScript heap', unit: units.BytesIEC, width: 8, description: 'By worker, in use. A saw is usual; a floor that rises for hours is a leak.' }, [ask(max(gauge('tidegate_worker_heap_used_bytes'), OF_WORKER), BY_WORKER)]),
      graph({ id: 16, title: 'Sockets', unit: units.Short, width: 8, description: 'Open sockets of the workers: those of clients, and those to upstreams.' }, [ask(sum(gauge('tidegate_worker_sockets'), ['side']), '{{side}}')]),
      graph({ id: 17, title: 'Client connections', unit: units.Short, width: 8, description: 'Open connections of clients, by listener, on all nodes shown.' }, [ask(sum(gauge('tidegate_connections'), ['listener']), '{{listener}}')]),
      graph({ id: 18, title: 'Worker restarts', unit: units.Short, width: 8, description: 'Workers started again because one had ended without being asked to, by node, in each step of the picture.' },
        [ask(sum(increase('tidegate_worker_restarts_total'), ['instance']), '{{instance}}')], { bars: true }),
    ] },
    { title: 'Nodes', panels: [
      states({ id: 20, title: 'Nodes', unit: units.Short, width: 8, description: 'Whether Prometheus could scrape each node.' }, [ask(`min by (instance) (${NODES_UP})`, '{{instance}}')], { 0: 'away', 1: 'answers' }),
      graph({ id: 21, title: 'Supervisor: memory', unit: units.BytesIEC, width: 8, height: 6, description: 'Resident memory of the process that holds configuration, ledger and this very page, by node.' }, [ask(max(gauge('process_resident_memory_bytes'), ['instance']), '{{instance}}')]),
      graph({ id: 22, title: 'Supervisor: event loop, p99', unit: units.Seconds, width: 8, height: 6, description: 'Delay of the supervisor\'s event loop, by node. It is not on the way of a request; leases wait for it.' }, [ask(max(gauge('nodejs_eventloop_lag_p99_seconds'), ['instance']), '{{instance}}')]),
      graph({ id: 23, title: 'Supervisor: processor', unit: units.PercentUnit, width: 8, height: 6, description: 'Processor time of the supervisor, by node.' }, [ask(sum(rate('process_cpu_seconds_total'), ['instance']), '{{instance}}')], { softMax: 1 }),
      graph({ id: 24, title: 'Supervisor: garbage collection', unit: units.PercentUnit, width: 8, height: 6, description: 'Share of the time that the supervisor stood still for garbage collection, by node.' }, [ask(sum(histogramRate('nodejs_gc_duration_seconds', 'sum'), ['instance']), '{{instance}}')]),
      graph({ id: 25, title: 'Supervisor: open files', unit: units.Short, width: 8, height: 6, description: 'Open file descriptors of the supervisor, by node, and how many it may have (dashed, the smallest).' },
        [ask(max(gauge('process_open_fds'), ['instance']), '{{instance}}'), ask(min(gauge('process_max_fds')), 'most')], { limits: ['most'] }),
    ] },
    { title: 'Limits and configuration', panels: [
      graph({ id: 30, title: 'Leases asked of the ledger', unit: units.CountsPerSecond, width: 8, description: 'A second: asked (a request had to wait for the ledger), and what it answered: granted, empty (the limit is used up), unavailable (Redis could not be asked, or the ledger did not answer in time).' }, [ask(sum(rate('tidegate_quota_leases_total'), ['result']), '{{result}}')]),
      states({ id: 31, title: 'Ledger', unit: units.Short, width: 8, height: 8, description: 'Whether limits can be lent, by node.' }, [ask(min(gauge('tidegate_ledger_up'), ['instance']), '{{instance}}')], { 0: 'away', 1: 'lends' }),
      graph({ id: 32, title: 'Webhooks of quotas', unit: units.Short, width: 8, description: 'What became of them, in each step of the picture: delivered, retried, failed (given up), dropped.' }, [ask(sum(increase('tidegate_webhooks_total'), ['result']), '{{result}}')], { bars: true, stacked: true }),
      graph({ id: 33, title: 'Reloads, by result', unit: units.Short, width: 8, description: 'Configurations read again, in each step of the picture.' }, [ask(sum(increase('tidegate_config_reloads_total'), ['result']), '{{result}}')], { bars: true, stacked: true }),
      states({ id: 34, title: 'Newest file', unit: units.Short, width: 8, height: 8, description: 'Whether the newest configuration is in force, by node; refused: an older one is.' },
        [ask(promql.sub(promql.n(1), max(gauge('tidegate_config_rejected'), ['instance'])), '{{instance}}')], { 0: 'refused', 1: 'in force' }),
      rows({ id: 35, title: 'Versions', unit: units.Short, width: 8, description: 'The program and the configuration of each node, and for how long the configuration has been in force there.' }, [
        ask(promql.sub(promql.time(), promql.mul(gauge('tidegate_config_applied_timestamp_seconds'), gauge('tidegate_config_info')).on(['instance']).groupRight([]))),
      ], [{ field: 'instance', title: 'Node' }, { field: 'version', title: 'Configuration' }, { field: 'Value', title: 'For', unit: units.Seconds }], 'For'),
    ] },
  ]);
}
