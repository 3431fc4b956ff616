/** Event pipeline: is every answered request recorded, shipped, stored, and how far behind. */
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard';
import * as units from '@grafana/grafana-foundation-sdk/units';
import { EVENT_LAG_S, SPOOL_SHARE } from '../../alerts/event-rules.js';
import { board, deploys, nodes, prometheusSource, reloads } from './board.js';
import { ask, atLeast, atMost, graph, number, states } from './panels.js';
import { divide, gauge, histogramRate, increase, lag, max, min, promql, quantile, rate, sum } from './promql.js';

const UP_DOWN = { 0: 'down', 1: 'up' } as const;

export function events(): Dashboard {
  const spoolUsed = promql.div(gauge('tidegate_spool_bytes'), gauge('tidegate_spool_limit_bytes'));
  return board({
    name: 'events', title: 'Event pipeline', description: 'Is every answered request recorded, shipped and stored, and how far behind is it?',
    variables: [prometheusSource(), nodes()], annotations: [reloads(), deploys()],
  }, [
    { title: 'Now', panels: [
      number({
        id: 1, title: 'Lag', unit: units.Seconds, width: 3, thresholds: atMost(EVENT_LAG_S, EVENT_LAG_S),
        description: 'How long ago everything that was recorded was stored, or taken by Kafka, on the node furthest behind. Reports and quotas of `over: bill` are that far behind; requests are served all the same. Red from where EventLag fires, which waits five minutes.',
      }, ask(lag())),
      number({
        id: 2, title: 'Missing', unit: units.Short, width: 3, thresholds: atMost(1, 1),
        description: 'Events of today and yesterday (UTC) that are known to be missing from their streams now. Such a day is not complete, and closes only by an operator\'s word; GET /v1/completeness names the streams.',
      }, ask(max(gauge('tidegate_events_missing')))),
      number({
        id: 3, title: 'Dropped', unit: units.Short, width: 3, decimals: 0, thresholds: atMost(1, 1),
        description: 'Events, over the time shown, that could not be written because the spool was full or its disk failed. They are tallied by app; their day is not complete.',
      }, ask(sum(increase('tidegate_events_dropped_total', {}, '$__range')))),
      number({
        id: 4, title: 'Set aside', unit: units.Short, width: 3, decimals: 0, thresholds: atMost(1, 1),
        description: 'Pieces of the log, spool or Kafka, that could not be read over the time shown, and went into quarantine. `tidegate quarantine list` names all that is there, `replay` tries again.',
      }, ask(sum(increase('tidegate_events_quarantined_total', {}, '$__range')))),
      number({
        id: 5, title: 'Spool used', unit: units.PercentUnit, decimals: 1, width: 3, thresholds: atMost(SPOOL_SHARE, 0.8),
        description: 'Share of the spool\'s room that is taken, on the fullest node. Orange from where SpoolFilling fires; at 100 % events are dropped, requests are not.',
      }, ask(max(spoolUsed))),
      number({
        id: 6, title: 'Collectors', unit: units.Short, width: 3, thresholds: atLeast(1, 1),
        description: 'Whether every collector answers its node. Without it the lag grows and the spool fills; nothing is lost until the spool is full.',
      }, ask(min(gauge('tidegate_collector_up'))), { words: UP_DOWN }),
      number({
        id: 7, title: 'Store', unit: units.Short, width: 3, thresholds: atMost(1, 1),
        description: 'Whether a collector cannot store: the store is away or refuses. `tidegate status` says why.',
      }, ask(max(gauge('tidegate_store_failing'))), { words: { 0: 'stores', 1: 'fails' } }),
      number({ id: 8, title: 'Stored', unit: units.EventsPerSecond, width: 3, description: 'Events a second that inserts have brought into the store.' }, ask(sum(rate('tidegate_insert_rows_total')))),
    ] },
    { title: 'From request to store', panels: [
      graph({ id: 10, title: 'Events by stage', unit: units.EventsPerSecond, width: 12, description: 'Events a second that reached each stage: recorded (in the spool, before the answer), shipped (acknowledged by Kafka; without Kafka there is none), stored. They lie on each other where all is well.' },
        [ask(sum(rate('tidegate_events_total'), ['stage']), '{{stage}}')]),
      graph({ id: 11, title: 'Lag', unit: units.Seconds, width: 12, thresholds: atMost(EVENT_LAG_S, EVENT_LAG_S), description: 'How long ago everything that was recorded was stored, or taken by Kafka, whichever is longer, by node. It rises by a second a second while nothing is. Dashed: where EventLag fires.' },
        [ask(lag(['instance']), '{{instance}}')]),
      graph({ id: 12, title: 'Spool', unit: units.BytesSI, width: 12, description: 'Bytes of the spool by node, and where it is full (dashed, the smallest). It falls when what it holds is stored, or shipped.' },
        [ask(max(gauge('tidegate_spool_bytes'), ['instance']), '{{instance}}'), ask(min(gauge('tidegate_spool_limit_bytes')), 'full')], { limits: ['full'] }),
      states({ id: 13, title: 'Collectors', unit: units.Short, width: 12, height: 8, description: 'Whether the collector of each node that has one answers.' }, [ask(min(gauge('tidegate_collector_up'), ['instance']), '{{instance}}')], UP_DOWN),
    ] },
    { title: 'Loss, and what came twice', panels: [
      graph({ id: 20, title: 'Missing', unit: units.Short, width: 6, thresholds: atMost(1, 1), description: 'Events missing from their streams now, as each collector knows it. A gap that closes was only late.' }, [ask(max(gauge('tidegate_events_missing'), ['instance']), '{{instance}}')]),
      graph({ id: 21, title: 'Gaps and repeats found', unit: units.Short, width: 6, description: 'Events found missing (some may have come since), and met again and left out, in each step of the picture. Repeats are usual after a crash, and counted once.' },
        [ask(sum(increase('tidegate_event_gaps_total')), 'missing'), ask(sum(increase('tidegate_event_repeats_total')), 'again')], { bars: true }),
      graph({ id: 22, title: 'Dropped, by reason', unit: units.Short, width: 6, description: 'Events that could not be written, in each step of the picture.' }, [ask(sum(increase('tidegate_events_dropped_total'), ['reason']), '{{reason}}')], { bars: true, stacked: true, sorted: true }),
      graph({ id: 23, title: 'Quarantine', unit: units.Short, width: 6, description: 'Pieces of the log that could not be read and were set aside, in each step of the picture.' }, [ask(sum(increase('tidegate_events_quarantined_total')), 'set aside')], { bars: true }),
    ] },
    { title: 'Inserts into the store', panels: [
      graph({ id: 30, title: 'Inserts, by result', unit: units.CountsPerSecond, width: 8, description: 'Inserts a second: stored, failed (the store said no), unknown (nobody answered; made again with the same token, and counted once).' }, [ask(sum(rate('tidegate_inserts_total'), ['result']), '{{result}}')], { stacked: true }),
      graph({ id: 31, title: 'How long an insert takes', unit: units.Seconds, width: 8, description: 'What half, and 99 of 100, inserts took at most, estimated within the bounds of the histogram. Seconds point to a store with too many parts or a slow disk.' },
        [0.5, 0.99].map((q) => ask(quantile(q, 'tidegate_insert_duration_seconds'), `p${q * 100}`))),
      graph({ id: 32, title: 'Events an insert', unit: units.Short, width: 8, description: 'Mean size of an insert. It grows with the load and with the time that the collector was behind: large ones catch up.' },
        [ask(divide(sum(rate('tidegate_insert_rows_total')), promql.gt(sum(histogramRate('tidegate_insert_duration_seconds', 'count')), promql.n(0))), 'events')]),
    ] },
    { title: 'Shipping to Kafka: empty on one machine', panels: [
      graph({ id: 40, title: 'Not acknowledged for', unit: units.Seconds, width: 8, thresholds: atMost(EVENT_LAG_S, EVENT_LAG_S), description: 'Age of the oldest event that Kafka has not acknowledged, by node. Dashed: where EventLag fires.' }, [ask(max(gauge('tidegate_shipping_lag_seconds'), ['instance']), '{{instance}}')]),
      graph({ id: 41, title: 'Not acknowledged', unit: units.BytesSI, width: 8, description: 'Bytes of the spool that Kafka has not acknowledged, by node.' }, [ask(max(gauge('tidegate_shipping_lag_bytes'), ['instance']), '{{instance}}')]),
      graph({ id: 42, title: 'Failures, by code', unit: units.CountsPerSecond, width: 8, description: 'Connections and requests to Kafka that failed, a second. Codes: docs/reference/errors.md.' }, [ask(sum(rate('tidegate_shipping_failures_total'), ['code']), '{{code}}')], { stacked: true, sorted: true }),
    ] },
  ]);
}
