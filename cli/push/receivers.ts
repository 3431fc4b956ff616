/** The receivers that closed days are pushed to: what each takes, what it answers, and how long it remembers an id. */
import { EVENT_TYPE, cloudEvent, eventMs, subjectOf } from '../../collector/billing/cloud-event.js';
import type { BillingEntry } from '../../collector/billing/entry.js';

/** What an answer of 4xx says of each entry. What is in none of the two may be sent again by itself. */
export interface Rejection {
  /** Ids that the receiver has already. */
  readonly known: readonly string[];
  /** Ids that it does not take, and why. */
  readonly refused: ReadonlyMap<string, string>;
}

export interface Receiver {
  /** Where the URL names no path. */
  readonly path: string;
  /** Entries of a request. */
  readonly batch: number;
  /** Requests at a time. */
  readonly parallel: number;
  /** How long it remembers an id, s; null: for ever. */
  readonly windowSeconds: number | null;
  /** The name of what is counted: null if it must be given. */
  readonly meter: string | null;
  /** Why the entry cannot be sent at all; null: it can. */
  unfit(entry: BillingEntry, nowMs: number): string | null;
  request(entries: readonly BillingEntry[], meter: string): { readonly type: string; readonly body: string };
  rejection(entries: readonly BillingEntry[], status: number, body: string): Rejection;
}

const DAY_MS = 86_400_000;
const DAY_SECONDS = 86_400;

/**
 * OpenMeter and whoever takes batches of CloudEvents. Its meter sums `$.billable`, of a credit too; what it has had is passed over in silence.
 * OpenMeter's own configuration says how long it keeps ids (dedupe.config.expiration, often 768h): until it is given here (--window), a day is counted on.
 */
const cloudevents: Receiver = {
  path: '/api/v1/events', batch: 100, parallel: 1, windowSeconds: DAY_SECONDS, meter: EVENT_TYPE,
  unfit: () => null,
  request: (entries, meter) => ({ type: 'application/cloudevents-batch+json', body: JSON.stringify(entries.map((entry) => cloudEvent(entry, meter))) }),
  rejection: (entries, _status, body) => allRefused(entries, excerpt(body)),
};

/**
 * Lago: POST /api/v1/events/batch, 100 events at most. Its sums take negative values (a charge in advance counts them as none). A transaction_id is kept for ever;
 * of a batch in which one is known (422, value_already_exist) versions until the end of 2025 may have stored the rest (getlago/lago-api#4772): sent again, they are known.
 */
const lago: Receiver = {
  path: '/api/v1/events/batch', batch: 100, parallel: 1, windowSeconds: null, meter: null,
  unfit: ({ customer }) => (customer === '' ? 'the app has no customer, which is the subscription at Lago' : null),
  request: (entries, meter) => ({
    type: 'application/json',
    body: JSON.stringify({
      events: entries.map((entry) => {
        const { entry_id, app, kind, day, for_day, received, refused, requests, billable, over_quota } = entry;
        return { transaction_id: entry_id, external_subscription_id: subjectOf(entry), code: meter, timestamp: eventMs(entry) / 1000, properties: { app, kind, day, for_day, received, refused, requests, billable, over_quota } };
      }),
    }),
  }),
  rejection: (entries, _status, body) => {
    const details = asObject(asObject(parsed(body))['error_details']);
    const known: string[] = [];
    const refused = new Map<string, string>();
    for (const [index, said] of Object.entries(details)) {
      const entry = /^\d+$/.test(index) ? entries[Number(index)] : undefined;
      if (entry === undefined) continue;
      if (JSON.stringify(said) === '{"transaction_id":["value_already_exist"]}') known.push(entry.entry_id);
      else refused.set(entry.entry_id, JSON.stringify(said).slice(0, 200));
    }
    return known.length + refused.size > 0 ? { known, refused } : allRefused(entries, excerpt(body));
  },
};

/**
 * Stripe's meters: POST /v1/billing/meter_events, one event a request, no CloudEvents. It keeps an identifier for 24 h, says that it has one already, takes
 * negative values (a cycle below zero is billed as 0), and nothing older than 35 days. What it takes it looks at later: a customer that it does not know shows in its
 * webhook v1.billing.meter.error_report_triggered alone.
 */
const stripe: Receiver = {
  path: '/v1/billing/meter_events', batch: 1, parallel: 5, windowSeconds: DAY_SECONDS, meter: null,
  unfit: (entry, nowMs) => {
    if (!/^cus_/.test(entry.customer)) return entry.customer === '' ? 'the app has no customer' : `the customer ${entry.customer} is none of Stripe's (cus_…)`;
    return eventMs(entry) <= nowMs - 35 * DAY_MS + 3_600_000 ? 'it is older than the 35 days that Stripe takes' : null;
  },
  request: ([entry], meter) => ({
    type: 'application/x-www-form-urlencoded',
    body: entry === undefined ? '' : new URLSearchParams({
      event_name: meter, identifier: entry.entry_id, timestamp: String(eventMs(entry) / 1000), 'payload[stripe_customer_id]': entry.customer, 'payload[value]': String(entry.billable),
    }).toString(),
  }),
  rejection: (entries, status, body) => {
    const error = asObject(asObject(parsed(body))['error']);
    const isKnown = status === 400 && (error['code'] === 'duplicate_meter_event' || /^An event already exists with identifier /.test(String(error['message'])));
    return isKnown ? { known: entries.map(({ entry_id: id }) => id), refused: new Map() } : allRefused(entries, typeof error['message'] === 'string' ? error['message'].slice(0, 200) : excerpt(body));
  },
};

export const RECEIVERS = { cloudevents, lago, stripe } as const;
export type ReceiverName = keyof typeof RECEIVERS;

function allRefused(entries: readonly BillingEntry[], why: string): Rejection {
  return { known: [], refused: new Map(entries.map(({ entry_id: id }) => [id, why])) };
}

const excerpt = (body: string): string => body.replaceAll(/\s+/g, ' ').slice(0, 200);

function parsed(body: string): unknown {
  try {
    return JSON.parse(body) as unknown;
  } catch {
    return null;
  }
}

const asObject = (value: unknown): Readonly<Record<string, unknown>> => (typeof value === 'object' && value !== null ? value as Readonly<Record<string, unknown>> : {});
