/** From what was counted to entries: what a day comes to when it is closed, and what came later than that. Pure: the same counts make the same entries. */
import { termsOf, type AppDay, type Terms } from './app-days.js';
import { NO_COUNTS } from './day-counts.js';
import { entryChecksum, entryId } from './entry-checksum.js';
import type { BillingEntry, DayCounts } from './entry.js';
import type { BilledDay, LedgerEntry } from './ledger.js';

/** A day to be closed, with all that is known of its app. */
export interface DueDay {
  readonly app: string;
  readonly terms: readonly Terms[];
  readonly day: AppDay;
}

/** Requests beyond the quota that stand on the bill. */
export function overage(billable: number, { quota, over }: Pick<Terms, 'quota' | 'over'>): number {
  return over === 'bill' && quota > 0 ? Math.max(0, billable - quota) : 0;
}

/** @param reason an operator's words where the record was not whole; else '' */
export function usageEntry({ app, terms, day }: DueDay, counts: DayCounts | undefined, complete: boolean, reason: string): LedgerEntry {
  const said = termsOf(terms, day);
  const { received, refused, requests, billable } = counts ?? NO_COUNTS;
  return signed({
    entry_id: entryId('usage', app, day.day), kind: 'usage', customer: said.customer, app, ...labels(day, day.day), received, refused, requests, billable,
    quota: said.quota === 0 ? null : said.quota, over_quota: overage(billable, said), status: 'closed', complete, reason,
  }, said.over);
}

/** What a closed day has more by now than is billed of it, on the day that is closed now. Null: nothing; or less, because raw events of it are gone. */
export function adjustmentEntry({ app, terms, day }: DueDay, billed: BilledDay, counts: DayCounts | undefined): LedgerEntry | null {
  const { received, refused, billable } = counts ?? NO_COUNTS;
  const more = { received: received - billed.received, refused: refused - billed.refused, billable: billable - billed.counted };
  if (more.received <= 0 || more.refused < 0 || more.billable < 0) return null;
  return signed({
    entry_id: entryId('adjustment', app, billed.forDay, billed.adjustments), kind: 'adjustment', customer: termsOf(terms, day).customer, app, ...labels(day, billed.forDay),
    received: more.received, refused: more.refused, requests: more.received - more.refused, billable: more.billable, quota: billed.quota === 0 ? null : billed.quota,
    over_quota: overage(billed.billable + more.billable, billed) - billed.overQuota, status: 'closed', complete: true, reason: '',
  }, billed.over);
}

/** An operator's word on a closed day, on a day that is open. @param id tells it from others of the same day */
export function creditEntry({ app, terms, day }: DueDay, billed: BilledDay, requests: number, reason: string, id: string): LedgerEntry {
  return signed({
    entry_id: entryId('credit', app, billed.forDay, id), kind: 'credit', customer: termsOf(terms, day).customer, app, ...labels(day, billed.forDay),
    received: 0, refused: 0, requests: 0, billable: requests, quota: billed.quota === 0 ? null : billed.quota,
    over_quota: overage(billed.billable + requests, billed) - billed.overQuota, status: 'closed', complete: true, reason,
  }, billed.over);
}

function labels({ day, timeZone, startMs, endMs }: AppDay, forDay: string): Pick<BillingEntry, 'day' | 'for_day' | 'time_zone' | 'day_start' | 'day_end'> {
  return { day, for_day: forDay, time_zone: timeZone, day_start: new Date(startMs).toISOString(), day_end: new Date(endMs).toISOString() };
}

function signed(entry: Omit<BillingEntry, 'checksum'>, over: Terms['over']): LedgerEntry {
  return { ...entry, checksum: entryChecksum(entry), over };
}
