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
        summary: '{{ $labels.instance }}: requests are answered and not recorded',
        description: '{{ $value | humanize }} events were dropped in the last 5 minutes ({{ $labels.reason }}): they are missing from reports and bills, and the day is incomplete.',
      },
      {
        alert: 'EventGap', severity: 'page', for: windows.of('30s'),
        expr: 'max by (cluster) (tidegate_events_missing) > 0',
        summary: 'Recorded events are missing',
        description: '{{ $value | humanize }} events of today and yesterday are missing from their streams in a store: their day cannot be proven complete, and is not closed.',
      },
      {
        // twice a minute apart: a replica that lags, or a partition that is being swapped, holds less for a moment
        alert: 'StoredRowsMissing', severity: 'page', for: windows.of('2m'),
        expr: 'max by (cluster, day) (tidegate_stored_rows_missing) > 0',
        summary: 'Stored events of {{ $labels.day }} are not in the store any more',
        description: '{{ $value | humanize }} rows that were stored of {{ $labels.day }} (UTC) are not in the store any more: its disk has damaged them, or somebody removed them. The day is incomplete, and is not closed; reports of single requests and late bills lack them.',
      },
      {
        alert: 'StorePartsDetached', severity: 'ticket', for: w5m,
        expr: 'max by (cluster) (tidegate_store_detached_parts) > 0',
        summary: 'The store has set parts of tables aside',
        description: '{{ $value }} part(s) lie in detached/ of the tables of a store. A kill leaves harmless ones. Where rows of a day are missing by it, StoredRowsMissing fires too; of days from before migration 0011 only their completeness says so. Do not remove a part before that was looked at.',
      },
      {
        alert: 'SpoolFilling', severity: 'page', for: w5m,
        expr: `tidegate_spool_bytes / tidegate_spool_limit_bytes > ${SPOOL_SHARE}`,
        summary: '{{ $labels.instance }}: the spool fills',
        description: 'The spool is {{ $value | humanizePercentage }} full. When it is full, events are dropped; requests go on.',
      },
      {
        alert: 'EventLag', severity: 'ticket', for: w5m,
        expr: `tidegate_event_lag_seconds > ${EVENT_LAG_S} or tidegate_shipping_lag_seconds > ${EVENT_LAG_S}`,
        summary: '{{ $labels.instance }}: events arrive late',
        description: 'What was recorded {{ $value | humanizeDuration }} ago is not stored, or not taken by Kafka, yet: reports are that late. Nothing is lost while the spool has room.',
      },
      {
        alert: 'ClockOff', severity: 'ticket', for: w5m,
        expr: `abs(tidegate_shipping_clock_ahead_seconds) > ${CLOCK_OFF_S}`,
        summary: '{{ $labels.instance }}: its clock and that of Kafka differ',
        description: 'The clocks of {{ $labels.instance }} and Kafka are {{ $value | humanizeDuration }} apart: events stand in the wrong minute, hour or day. None is lost by it where Kafka keeps them by its own clock (tidegate_shipping_broker_time is 1).',
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
        summary: '{{ $labels.instance }}: events could not be read, and were set aside',
        description: '{{ $value | humanize1024 }}B have gone into quarantine within an hour. The events in them are missing until they are replayed.',
      },
      {
        // Kafka's quarantine is a topic: its bytes are not known to the node
        alert: 'QuarantineGrowing', severity: 'ticket', labels: { log: 'kafka' },
        expr: `increase(tidegate_events_quarantined_total[${windows.of('1h')}]) > 0 unless on (instance) tidegate_quarantine_bytes`,
        summary: '{{ $labels.instance }}: messages could not be read, and were set aside',
        description: '{{ $value | humanize }} pieces of the log have gone into the topic of quarantine within an hour. The events in them are missing until they are replayed.',
      },
      {
        alert: 'BillingDayStuck', severity: 'ticket', for: windows.of('15m'), labels: { reason: 'incomplete' },
        expr: 'max by (cluster) (tidegate_billing_days_incomplete) > 0',
        summary: 'A billing day waits for an operator\'s word',
        description: '{{ $value }} billing day(s) are over, and their record is not whole: they are not closed, nor exported, until somebody decides.',
      },
      {
        alert: 'BillingDayStuck', severity: 'ticket', for: windows.of('15m'), labels: { reason: 'failing' },
        expr: 'count by (cluster) (tidegate_billing_failing == 1)',
        summary: 'Collectors do not close billing days as they should',
        description: '{{ $value }} collector(s) cannot close days, or have another configuration of the apps than the one that bills follow. Where it is all of them that share a store, no day may be closed.',
      },
      {
        alert: 'LedgerUnreachable', severity: 'page', for: w1m,
        expr: 'tidegate_ledger_up == 0',
        summary: '{{ $labels.instance }}: no limit can be lent',
        description: 'tidegate_ledger_up is {{ $value }}: Redis cannot be asked. The node goes on with what it holds of each limit; then requests are answered 503 ledger_unavailable, or let through, as shared_state.on_ledger_loss says.',
      },
      {
        // no label names an app; who they are is on the board, and in the live numbers
        alert: 'QuotaNearlyUsed', severity: 'ticket', for: w5m, board: 'tidegate-tenants',
        expr: 'max by (cluster) (tidegate_quota_apps{used="80"}) > 0',
        summary: 'Apps have nearly used up their day\'s quota',
        description: '{{ $value }} app(s) have used 80% or more of their requests a day. When all are used, they get 429, or pay for what is over.',
      },
    ],
  };
}
