/** The metrics of what the supervisor and the collector know: events on their way, days, limits, the configuration. */
import type { BillingStatus, StoreStatus } from '../control/control-deps.js';
import { DROP_REASONS } from '../events/drop-page.js';
import type { Exposition } from './exposition.js';
import type { MetricsSnapshot } from './metrics-snapshot.js';
import type { CollectorCounts, CollectorFacts, NodeFacts, ShippingCounts } from './node-facts.js';
import { summed } from './write-traffic.js';

/** Shares of a quota, in percent, that apps are counted by: those that webhooks tell of. */
const QUOTA_SHARES = [80, 100] as const;

export function writeNode(text: Exposition, facts: NodeFacts, sum: MetricsSnapshot): void {
  const { config, quotas } = facts;
  writeEvents(text, facts, sum);
  if (facts.shipping !== null) writeShipping(text, facts.shipping);
  if (facts.collector !== null) writeCollector(text, facts.collector, facts.nowMs);
  text.add('tidegate_quota_apps', QUOTA_SHARES.map((share) => [[String(share)], quotas.filter(({ limit, used }) => used !== null && used * 100 >= limit * share).length] as const));
  text.one('tidegate_ledger_up', facts.ledgerUp === null ? null : Number(facts.ledgerUp));
  text.add('tidegate_spans_total', (['exported', 'dropped'] as const).map((result) => [[result], facts.spans[result]] as const));
  text.add('tidegate_build_info', [[[facts.version, process.versions.node], 1]]);
  text.add('tidegate_config_info', [[[config.version], 1]]);
  text.one('tidegate_config_rejected', Number(config.rejected));
  text.one('tidegate_config_applied_timestamp_seconds', config.appliedAtMs / 1000);
  text.one('tidegate_workers', facts.workers);
  text.one('tidegate_worker_restarts_total', facts.workerRestarts);
  text.one('tidegate_log_lines_suppressed_total', facts.suppressedLines);
}

function writeEvents(text: Exposition, { shipping, collector, lagSeconds, spoolBytes, spoolLimitBytes }: NodeFacts, sum: MetricsSnapshot): void {
  const stored = collector?.told?.status.stored ?? null;
  text.add('tidegate_events_total', [
    [['recorded'], sum.recorded], ...(shipping === null ? [] : [[['shipped'], shipping.shipped] as const]), ...(stored === null ? [] : [[['stored'], stored] as const]),
  ]);
  text.add('tidegate_events_dropped_total', summed(DROP_REASONS.map((reason) => [reason] as readonly [string]), sum.dropped.map(([reason, count]) => [[reason], count] as const)));
  text.one('tidegate_event_lag_seconds', lagSeconds);
  text.one('tidegate_spool_bytes', spoolBytes);
  text.one('tidegate_spool_limit_bytes', spoolLimitBytes);
}

function writeShipping(text: Exposition, { lagSeconds, lagBytes, failures, clockAheadSeconds, brokerTime }: ShippingCounts): void {
  text.one('tidegate_shipping_lag_seconds', lagSeconds);
  text.one('tidegate_shipping_lag_bytes', lagBytes);
  text.add('tidegate_shipping_failures_total', failures.map(([code, count]) => [[code], count] as const));
  text.one('tidegate_shipping_clock_ahead_seconds', clockAheadSeconds);
  text.one('tidegate_shipping_broker_time', brokerTime === null ? null : Number(brokerTime));
}

/** What it said last stands while it is away: a day that waits for an operator goes on waiting. */
function writeCollector(text: Exposition, { up, failing, told }: CollectorFacts, nowMs: number): void {
  text.one('tidegate_collector_up', Number(up));
  text.one('tidegate_store_failing', told === null && !failing ? null : Number(failing));
  if (told === null) return;
  const { status, counts } = told;
  text.one('tidegate_events_quarantined_total', status.quarantined);
  text.one('tidegate_event_gaps_total', status.gaps_total);
  text.one('tidegate_events_missing', status.gaps);
  text.one('tidegate_event_repeats_total', status.repeats);
  if (counts !== null) writeStore(text, counts);
  const lookedAt = status.store?.looked_at ?? null;
  text.one('tidegate_store_check_last_success_timestamp_seconds', lookedAt === null ? 0 : Date.parse(lookedAt) / 1000);
  if (status.store !== null) writeFound(text, status.store);
  if (status.billing !== null) writeBilling(text, status.billing, nowMs);
}

function writeFound(text: Exposition, { rows_missing: missing, detached_parts: detached }: StoreStatus): void {
  text.add('tidegate_stored_rows_missing', missing.map(({ day, rows }) => [[day], rows] as const));
  text.one('tidegate_store_detached_parts', detached === null ? null : detached.reduce((sum, { parts }) => sum + parts, 0));
}

function writeStore(text: Exposition, { quarantine_bytes: quarantineBytes, inserts }: CollectorCounts): void {
  text.one('tidegate_quarantine_bytes', quarantineBytes);
  text.add('tidegate_inserts_total', (['stored', 'failed', 'unknown'] as const).map((result) => [[result], inserts[result]] as const));
  text.one('tidegate_insert_rows_total', inserts.rows);
  text.histogram('tidegate_insert_duration_seconds', [[[], { buckets: inserts.buckets, sum: inserts.seconds }]]);
}

function writeBilling(text: Exposition, billing: BillingStatus, nowMs: number): void {
  text.one('tidegate_billing_days_closing', billing.closing);
  text.one('tidegate_billing_closing_age_seconds', billing.closing_since === null ? 0 : Math.max(0, nowMs - Date.parse(billing.closing_since)) / 1000);
  text.one('tidegate_billing_days_incomplete', billing.incomplete);
  text.one('tidegate_billing_failing', Number(billing.failing !== null));
}
