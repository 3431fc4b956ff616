/**
 * What is recorded of requests, and what becomes of it: spool, collector, store, bills, quotas. Collectors that share a store each tell what is missing in it, and which
 * days wait: such an alert is one for all, with the most that any of them tells (a sum would count the same event once for each). `cluster` is a label of the
 * scrape, for several fleets under one Prometheus; where there is none, all nodes are one fleet.
 */
import type { RuleGroup } from './rule.js';
import type { Windows } from './windows.js';

/** An event is in the reports within 2 s; a minute is no load, but something that stands still. */
export const EVENT_LAG_S = 60;
/** As the node itself tells it. Less is a matter of how good the time server is. */
export const CLOCK_OFF_S = 60;
/** The collector compares the store each minute. */
export const STORE_CHECK_OLD_S = 600;
/** Of the spool's room. */
export const SPOOL_SHARE = 0.5;

export function eventGroup(windows: Windows): RuleGroup {
  const [w1m, w5m] = [windows.of('1m'), windows.of('5m')];
  return {
    name: 'tidegate-events',
    rules: [
      {
        alert: 'EventsDropped', severity: 'page',
        expr: `increase(tidegate_events_dropped_total[${w5m}]) > 0`,
        summary: '{{ $labels.instance }}: requests are answered but not recorded',
        description: '{{ $value | humanize }} events were dropped in the last 5 minutes ({{ $labels.reason }}): they are missing from reports and bills, and the day is incomplete.',
      },
      {
        alert: 'EventGap', severity: 'page', for: windows.of('30s'),
        expr: 'max by (cluster) (tidegate_events_missing) > 0',
        summary: 'Recorded events are missing',
        description: '{{ $value | humanize }} events of today and yesterday are missing from their streams in a store: the day cannot be proven complete and is not closed.',
      },
      {
        // twice a minute apart: a replica that lags, or a partition that is being swapped, holds less for a moment
        alert: 'StoredRowsMissing', severity: 'page', for: windows.of('2m'),
        expr: 'max by (cluster, day) (tidegate_stored_rows_missing) > 0',
        summary: 'Stored events of {{ $labels.day }} are not in the store any more',
        description: '{{ $value | humanize }} rows that were stored of {{ $labels.day }} (UTC) are not in the store any more: the disk damaged them, or someone removed them. The day is incomplete and is not closed; single requests and bills lack them.',
      },
      {
        // while the collector is away, or cannot store, CollectorStalled says so
        alert: 'StoredRowsMissing', severity: 'ticket', for: w5m, labels: { reason: 'unknown' },
        expr: `time() - tidegate_store_check_last_success_timestamp_seconds > ${STORE_CHECK_OLD_S} unless on (instance) (tidegate_collector_up == 0 or tidegate_store_failing == 1)`,
        summary: '{{ $labels.instance }}: the store is not compared with what was stored',
        description: 'The collector has not compared the store with what was stored for {{ $value | humanizeDuration }} (decades: not since it began): rows that go missing now are told by nobody. Its log says why a look fails.',
      },
      {
        alert: 'StorePartsDetached', severity: 'ticket', for: w5m,
        expr: 'max by (cluster) (tidegate_store_detached_parts) > 0',
        summary: 'The store has set parts of tables aside',
        description: '{{ $value }} part(s) are in detached/ of a store\'s tables. A kill leaves harmless ones. If rows of a day are missing, StoredRowsMissing fires too. Check before you remove a part.',
      },
      {
        alert: 'SpoolFilling', severity: 'page', for: w5m,
        expr: `tidegate_spool_bytes / tidegate_spool_limit_bytes > ${SPOOL_SHARE}`,
        summary: '{{ $labels.instance }}: the spool is filling up',
        description: 'The spool is {{ $value | humanizePercentage }} full. When it is full, events are dropped; requests are still served.',
      },
      {
        alert: 'EventLag', severity: 'ticket', for: w5m,
        expr: `tidegate_event_lag_seconds > ${EVENT_LAG_S} or tidegate_shipping_lag_seconds > ${EVENT_LAG_S}`,
        summary: '{{ $labels.instance }}: events arrive late',
        description: 'Events recorded {{ $value | humanizeDuration }} ago are not stored yet, or not accepted by Kafka: reports are that late. Nothing is lost while the spool has room.',
      },
      {
        alert: 'ClockOff', severity: 'ticket', for: w5m,
        expr: `abs(tidegate_shipping_clock_ahead_seconds) > ${CLOCK_OFF_S}`,
        summary: '{{ $labels.instance }}: its clock and Kafka\'s differ',
        description: 'The clocks of {{ $labels.instance }} and Kafka are {{ $value | humanizeDuration }} apart: events count in the wrong minute, hour or day. None is lost as long as Kafka retains them by its own clock (tidegate_shipping_broker_time is 1).',
      },
      {
        // it explains EventLag, which lasts while what has waited is stored
        alert: 'CollectorStalled', severity: 'page', for: w5m, keepFiringFor: windows.of('10m'), labels: { reason: 'away' },
        expr: 'tidegate_collector_up == 0',
        summary: '{{ $labels.instance }}: the collector does not answer',
        description: 'tidegate_collector_up is {{ $value }}: nothing is stored, and reports answer 503. Events wait in the spool, or in Kafka.',
      },
      {
        alert: 'CollectorStalled', severity: 'page', for: w5m, keepFiringFor: windows.of('10m'), labels: { reason: 'store' },
        expr: 'tidegate_store_failing == 1',
        summary: '{{ $labels.instance }}: the collector cannot store',
        description: 'tidegate_store_failing is {{ $value }}: inserts into the store fail. Events wait in the spool, or in Kafka.',
      },
      {
        alert: 'QuarantineGrowing', severity: 'ticket', labels: { log: 'spool' },
        expr: `tidegate_quarantine_bytes - min_over_time(tidegate_quarantine_bytes[${windows.of('1h')}]) > 0`,
        summary: '{{ $labels.instance }}: events could not be read and were quarantined',
        description: '{{ $value | humanize1024 }}B have gone into quarantine within an hour. The events in them are missing until they are replayed.',
      },
      {
        // Kafka's quarantine is a topic: its bytes are not known to the node
        alert: 'QuarantineGrowing', severity: 'ticket', labels: { log: 'kafka' },
        expr: `increase(tidegate_events_quarantined_total[${windows.of('1h')}]) > 0 unless on (instance) tidegate_quarantine_bytes`,
        summary: '{{ $labels.instance }}: messages could not be read and were quarantined',
        description: '{{ $value | humanize }} messages have gone to the quarantine topic within an hour. The events in them are missing until they are replayed.',
      },
      {
        alert: 'BillingDayStuck', severity: 'ticket', for: windows.of('15m'), labels: { reason: 'incomplete' },
        expr: 'max by (cluster) (tidegate_billing_days_incomplete) > 0',
        summary: 'A billing day waits for an operator',
        description: '{{ $value }} billing day(s) have an incomplete record: they are neither closed nor exported until an operator decides.',
      },
      {
        alert: 'BillingDayStuck', severity: 'ticket', for: windows.of('15m'), labels: { reason: 'failing' },
        expr: 'count by (cluster) (tidegate_billing_failing == 1)',
        summary: 'Collectors cannot close billing days',
        description: '{{ $value }} collector(s) cannot close days, or have different apps configured than the bills use. If this affects all collectors of a store, no day is closed.',
      },
      {
        alert: 'LedgerUnreachable', severity: 'page', for: w1m,
        expr: 'tidegate_ledger_up == 0',
        summary: '{{ $labels.instance }}: limits cannot be read from Redis',
        description: 'tidegate_ledger_up is {{ $value }}: Redis cannot be reached. The node continues with its share of each limit; then requests are answered 503 ledger_unavailable, or let through, as shared_state.on_ledger_loss says.',
      },
      {
        // no label names an app; who they are is on the board, and in the live numbers
        alert: 'QuotaNearlyUsed', severity: 'ticket', for: w5m, board: 'tidegate-tenants',
        expr: 'max by (cluster) (tidegate_quota_apps{used="80"}) > 0',
        summary: 'Apps have nearly used up their day\'s quota',
        description: '{{ $value }} app(s) have used 80% or more of their daily requests. When all are used, they get 429, or pay for the excess.',
      },
    ],
  };
}
