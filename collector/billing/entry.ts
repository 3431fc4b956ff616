/** What the ledger is made of. An entry is written once and never changes; all that comes later is another entry. */

/** Usage: what a day came to when it was closed. Adjustment: events that came later, on a day that was open then. Credit: an operator's word. */
export const ENTRY_KINDS = ['usage', 'adjustment', 'credit'] as const;
export type EntryKind = (typeof ENTRY_KINDS)[number];

/** Open: not over. Closing: over, but its grace is not, or its record is not whole. Closed: in the ledger. */
export type DayStatus = 'open' | 'closing' | 'closed';

/** Requests of a day, or of what came after it was closed. */
export interface DayCounts {
  /** All that came with the app's credential. */
  readonly received: number;
  /** Of them, not let through by a policy. */
  readonly refused: number;
  /** Of them, let through: `received - refused`. */
  readonly requests: number;
  /** Of them, what stands on the bill, as the service's `outcomes` and `statuses` said when each ended. */
  readonly billable: number;
}

/** One row of `GET /v1/billing/days` and of every export, fields in this order. */
export interface BillingEntry extends DayCounts {
  /** 32 hexadecimal digits: the same for the same entry wherever and whenever it is made. Of usage that is not closed: ''. */
  readonly entry_id: string;
  readonly kind: EntryKind;
  /** Who pays; '' if the configuration did not say. */
  readonly customer: string;
  readonly app: string;
  /** Local date on whose bill it stands: `2026-11-21`. */
  readonly day: string;
  /** Local date that its requests are of. Of usage: `day`. */
  readonly for_day: string;
  /** IANA name: whose midnight ends `day`. */
  readonly time_zone: string;
  /** Bounds of `day`, RFC 3339 in UTC, half open. */
  readonly day_start: string;
  readonly day_end: string;
  /** Requests a day; null: the app had none. Of an adjustment and a credit: that of the day they are for. */
  readonly quota: number | null;
  /** Billable requests beyond the quota, where it was `over: bill`; else 0. Of an adjustment: by how much it grew. */
  readonly over_quota: number;
  readonly status: DayStatus;
  /** The record of the day was whole. False: it was not, and an operator accepted that. */
  readonly complete: boolean;
  /** Why: an operator's words; else ''. */
  readonly reason: string;
  /** SHA-256 of the fields before it, hexadecimal (entryChecksum). Of a day that is not closed: ''. */
  readonly checksum: string;
}

/** Which entries: of days from `fromDay` up to but not with `toDay` (local dates), of these apps; null: all. */
export interface EntrySelection {
  readonly fromDay: string;
  readonly toDay: string;
  readonly apps: readonly string[] | null;
}

/** The fields, in the order of exports. */
export const ENTRY_FIELDS = [
  'entry_id', 'kind', 'customer', 'app', 'day', 'for_day', 'time_zone', 'day_start', 'day_end', 'received', 'refused', 'requests', 'billable', 'quota', 'over_quota', 'status', 'complete', 'reason', 'checksum',
] as const satisfies readonly (keyof BillingEntry)[];

/** What exports read of the ledger. */
export interface ClosedEntries {
  /** Entries of closed days, pages of some hundreds, in the order of day, app, kind (usage, adjustment, credit), entry_id: the same for ever. @throws billing_damaged: an entry does not fit its checksum */
  closed(selection: EntrySelection): AsyncIterable<readonly BillingEntry[]>;
  /** Days of the selection that are not closed, with why; at most `limit`. */
  unclosed(selection: EntrySelection, limit: number): Promise<readonly { readonly app: string; readonly day: string; readonly status: DayStatus; readonly reasons: readonly string[] }[]>;
}
