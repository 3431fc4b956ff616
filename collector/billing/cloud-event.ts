/** An entry as a CloudEvent 1.0 (https://github.com/cloudevents/spec), as OpenMeter and its likes take them. */
import type { BillingEntry } from './entry.js';

/** Receivers tell events apart by `source` and `id`: neither ever changes. */
const SOURCE = 'tidegate';
/** One for all kinds, so that one meter sums usage, adjustments and credits. */
export const EVENT_TYPE = 'tidegate.billing.entry';

export interface CloudEvent {
  readonly specversion: '1.0';
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly subject: string;
  readonly time: string;
  readonly datacontenttype: 'application/json';
  readonly data: BillingEntry;
}

/** Who pays, else the app. */
export const subjectOf = ({ customer, app }: BillingEntry): string => (customer === '' ? app : customer);

/**
 * ms since the epoch: inside the local day, and never before that date's midnight in UTC, so that a receiver which counts days in UTC counts it on the same
 * date. A local day ends at 10:00 UTC of its date at the earliest, so there is such an instant in every zone.
 */
export const eventMs = ({ day, day_start: start }: BillingEntry): number => Math.max(Date.parse(start), Date.parse(`${day}T00:00:00Z`));

export function cloudEvent(entry: BillingEntry, type = EVENT_TYPE): CloudEvent {
  return { specversion: '1.0', id: entry.entry_id, source: SOURCE, type, subject: subjectOf(entry), time: new Date(eventMs(entry)).toISOString(), datacontenttype: 'application/json', data: entry };
}
