/** Billing: do days close, what do they come to, and what waits for somebody. */
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard';
import * as units from '@grafana/grafana-foundation-sdk/units';
import { board, nodes, prometheusSource } from './board.js';
import { ask, atMost, graph, number, rows } from './panels.js';
import { gauge, max } from './promql.js';
import type { StoreQuestions } from './store-questions.js';

export function billing(store: StoreQuestions): Dashboard {
  return board({
    name: 'billing', title: 'Billing', from: 'now-30d', description: 'Do days close, what do they come to, and what waits for somebody?',
    variables: [prometheusSource(), ...store.variables, nodes()], annotations: [store.closedDays],
  }, [
    { title: 'Now', panels: [
      number({ id: 1, title: 'Days closing', unit: units.Short, width: 4, description: 'Days of apps that are over and not closed yet: in their grace (billing.grace), or waiting for what the numbers beside this say.' }, ask(max(gauge('tidegate_billing_days_closing')))),
      number({ id: 2, title: 'Oldest of them over for', unit: units.Seconds, width: 4, thresholds: atMost(21_600, 86_400), description: 'A day closes an hour after its end by default (billing.grace). Orange after six hours, red after a day: something holds it up, which the numbers beside this tell. BillingDayStuck fires on those, not on the age.' }, ask(max(gauge('tidegate_billing_closing_age_seconds')))),
      number({ id: 3, title: 'Incomplete days', unit: units.Short, width: 4, thresholds: atMost(1, 1), description: 'Days whose record is not whole: they wait for an operator\'s word (`tidegate billing close --accept-gap`), and all later days of the app with them.' }, ask(max(gauge('tidegate_billing_days_incomplete')))),
      number({ id: 4, title: 'Closing', unit: units.Short, width: 4, thresholds: atMost(1, 1), description: 'Whether no day can be closed at all: the store is away, or another collector noted another configuration. `tidegate status` says why.' }, ask(max(gauge('tidegate_billing_failing'))), { words: { 0: 'works', 1: 'fails' } }),
      number({ id: 5, title: 'Apps at 80 % of their quota', unit: units.Short, width: 4, thresholds: atMost(1, 1_000_000), description: 'Apps that have used at least 80 % of their requests a day. Who: the board Tenants.' }, ask(max(gauge('tidegate_quota_apps', { used: '80' })))),
      number({ id: 6, title: 'Apps at 100 %', unit: units.Short, width: 4, thresholds: atMost(1, 1_000_000), description: 'Apps that have used all of their requests a day: refused, or billed beyond it.' }, ask(max(gauge('tidegate_quota_apps', { used: '100' })))),
    ] },
    { title: 'The month that the time shown ends in', panels: [
      number({ id: 10, title: 'Billable in closed days', unit: units.Short, width: 6, description: 'Billable requests of all closed days of the month, with adjustments and credits: what exports come to.' }, store.billable),
      number({ id: 11, title: 'Over quota', unit: units.Short, width: 6, description: 'Of them, those beyond the quotas of apps with `over: bill`.' }, store.overQuota),
      number({ id: 12, title: 'Days closed', unit: units.Short, width: 6, description: 'Days of apps that are closed: one for each app and day.' }, store.closedEntries),
      number({ id: 13, title: 'Closed with a gap', unit: units.Short, width: 6, thresholds: atMost(1, 1_000_000), description: 'Of them, those whose record was not whole, and which an operator closed all the same. The reason is in the table.' }, store.acceptedGaps),
      graph({ id: 20, title: 'Billable, by app', unit: units.Short, width: 12, description: 'Billable requests of closed days, by the local date on whose bill they stand.' }, [store.billableByDay], { stacked: true, bars: true, seriesLabel: 'app' }),
      graph({ id: 21, title: 'Over quota, by app', unit: units.Short, width: 12, description: 'Billable requests beyond the quota, of apps with `over: bill`, by the local date on whose bill they stand.' }, [store.overQuotaByDay], { stacked: true, bars: true, seriesLabel: 'app' }),
      graph({ id: 22, title: 'Days by status', unit: units.Short, width: 24, height: 6, description: 'Days of apps by status, at their local date. Where a ClickHouse server is asked, only closed days are there: open and closing ones are the collector\'s to tell (above, and GET /v1/billing/days).' }, [store.daysByStatus], { stacked: true, bars: true, seriesLabel: 'status' }),
      rows({ id: 23, title: 'Entries', unit: units.Short, width: 24, height: 12, description: 'The ledger, newest day first, 1,000 entries at most. Usage: what the day came to; adjustment: what came after it was closed; credit: an operator\'s word. Not complete: closed with a gap, for the reason given.' }, [store.entries], [
        { field: 'day', title: 'Day' }, { field: 'app', title: 'App' }, { field: 'customer', title: 'Customer' }, { field: 'kind', title: 'Kind' }, { field: 'for_day', title: 'For day' },
        { field: 'requests', title: 'Requests', unit: units.Short }, { field: 'billable', title: 'Billable', unit: units.Short }, { field: 'quota', title: 'Quota', unit: units.Short },
        { field: 'over_quota', title: 'Over quota', unit: units.Short, thresholds: atMost(1, 1_000_000_000) }, { field: 'status', title: 'Status' }, { field: 'complete', title: 'Complete' }, { field: 'reason', title: 'Reason' },
      ], 'Day'),
    ] },
  ]);
}
