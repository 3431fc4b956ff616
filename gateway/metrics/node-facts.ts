/** What the supervisor knows of its node at a scrape, beside the workers' counts. */
import type { CollectorStatus } from '../control/control-deps.js';
import type { ServiceConfig } from '../config/schema.js';

export interface NodeFacts {
  /** Of the program. */
  readonly version: string;
  readonly config: {
    readonly version: string;
    readonly services: readonly ServiceConfig[];
    /** ms since the epoch. */
    readonly appliedAtMs: number;
    /** The newest file was refused, and an older configuration is in force. */
    readonly rejected: boolean;
  };
  /** Connected to the supervisor. */
  readonly workers: number;
  /** Since the node's start; null: not known yet. */
  readonly workerRestarts: number | null;
  /** Of the log, of all processes, likewise. */
  readonly suppressedLines: number | null;
  readonly spoolBytes: number;
  readonly spoolLimitBytes: number;
  /** Null: not known, or no collector here. */
  readonly lagSeconds: number | null;
  /** Null: nothing is shipped. */
  readonly shipping: ShippingCounts | null;
  /** Null: no collector here. */
  readonly collector: CollectorFacts | null;
  /** What apps have used of their quotas today; `used` null: not known yet. */
  readonly quotas: readonly { readonly limit: number; readonly used: number | null }[];
  /** Null: no requests are served here. */
  readonly ledgerUp: boolean | null;
  /** Since the supervisor's start. */
  readonly spans: { readonly exported: number; readonly dropped: number };
  readonly nowMs: number;
}

export interface CollectorFacts {
  /** It answers now. */
  readonly up: boolean;
  /** It says of itself that it cannot store, or it cannot start. */
  readonly failing: boolean;
  /** What it said last; null: it has not answered yet. */
  readonly told: { readonly status: CollectorStatus; readonly counts: CollectorCounts | null } | null;
}

/** As the collector's GET /status has it: of its life, for the metrics alone. */
export interface CollectorCounts {
  /** Null: what is set aside is not on this machine. */
  readonly quarantine_bytes: number | null;
  readonly inserts: {
    readonly stored: number;
    readonly failed: number;
    readonly unknown: number;
    readonly rows: number;
    /** By INSERT_BUCKETS_S, each bucket alone. */
    readonly buckets: readonly number[];
    readonly seconds: number;
  };
}

/** What the shipper counts since its start. */
export interface ShippingCounts {
  readonly shipped: number;
  /** Age of the oldest event, and bytes, that Kafka has not acknowledged. */
  readonly lagSeconds: number;
  readonly lagBytes: number;
  readonly failures: readonly (readonly [string, number])[];
  /** How far this machine's clock is ahead of Kafka's, negative: behind; null: not known. */
  readonly clockAheadSeconds: number | null;
  /** Whether Kafka keeps events by its own clock; null: not known yet. */
  readonly brokerTime: boolean | null;
}
