/**
 * What a worker and the supervisor say to each other over the node's Unix socket: one JSON object a line.
 * The worker speaks first (`hello`); the supervisor answers with `config`. Whoever is away is done without: a worker goes on with the
 * configuration and the leases it holds, and connects again.
 */
import type { Secrets } from '../config/secrets.js';
import type { WorkerConfig } from '../config/worker-config.js';
import type { MetricsSnapshot } from '../metrics/metrics-snapshot.js';
import type { SpansMessage } from '../tracing/span-outbox.js';

/** A limit's key: `qps:gateway`, `qps:service:S`, `qps:route:S/R`, `qps:app:A`, `qpd:app:A:2026-11-21`. */
export type LimitKey = string;

export type WorkerMessage =
  | { readonly type: 'hello'; readonly worker: number; readonly pid: number; readonly stream: string;
      /** Leases held from before, by key: after a supervisor's restart it learns what is out. */
      readonly held: readonly LeaseHolding[] }
  /** Each second, on a recall, after `hello` and at the end: what was used in all since the stream began, as of event `lastSeq` (written). */
  | { readonly type: 'used'; readonly lastSeq: number; readonly used: readonly (readonly [LimitKey, number])[] }
  /** Asks for `want` units of each key; `used` units of it were consumed since the last lease or give_back for that key (rate keys). */
  | { readonly type: 'lease'; readonly id: number; readonly wants: readonly LeaseWant[] }
  /** Units not needed, or asked back by a recall. */
  | { readonly type: 'give_back'; readonly recall: number | null; readonly returns: readonly (readonly [LimitKey, number])[] }
  /** Counts since the worker's start; of routes and targets only those that have changed since the message before on this connection. */
  | { readonly type: 'metrics'; readonly id: number; readonly snapshot: MetricsSnapshot }
  /** Requests that ended and are to be exported as spans. */
  | SpansMessage
  /** Result of applying a configuration. */
  | { readonly type: 'applied'; readonly version: string; readonly error: string | null }
  | { readonly type: 'listening'; readonly address: string };

/** `made`: of a rate, units that the worker made itself since it last told, having waited too long for an answer. */
export interface LeaseWant { readonly key: LimitKey; readonly want: number; readonly used: number; readonly made?: number }
/** `used`: of a quota, units of rows written in all; of a rate, units that the worker made itself and that the ledger may not know of. */
export interface LeaseHolding { readonly key: LimitKey; readonly held: number; readonly used: number }

export interface LeaseGrant {
  readonly key: LimitKey;
  /** Units granted; 0: none to be had now. */
  readonly granted: number;
  /** What is left at the ledger, and the limit: for RateLimit. */
  readonly remaining: number;
  readonly limit: number;
  /** Rate keys: units that may be unspent at once. Quota keys: 0. */
  readonly burst: number;
  /** Rate keys: part of limit and burst that this node's workers, all together, may make while they have no answer. Default: 1, the node is alone. */
  readonly share?: number;
  /** granted = 0: not before this (ms from now); for a quota, the day's end unless `available` comes. */
  readonly retryAfterMs: number;
  /** granted = 0: not because there is none, but because the store that nodes share could not be asked. */
  readonly unavailable?: true;
  /** Quota keys: the bounds of the day (ms since the epoch, half open) this grant is of; rate keys: 0, 0. */
  readonly dayStartMs: number;
  readonly dayEndMs: number;
}

export type SupervisorMessage =
  /** `config.data_dir` is absolute and `config.node` set; `secrets`: the content of its `file:` references, by reference. */
  | { readonly type: 'config'; readonly version: string; readonly config: WorkerConfig; readonly secrets: Secrets }
  /** No grants: what was asked for is being looked for elsewhere, and the ledger is there. */
  | { readonly type: 'granted'; readonly id: number; readonly grants: readonly LeaseGrant[] }
  /** Give back what you hold of these keys, now. */
  | { readonly type: 'recall'; readonly recall: number; readonly keys: readonly LimitKey[] }
  /** These were empty and are not any more: ask again. */
  | { readonly type: 'available'; readonly keys: readonly LimitKey[] }
  /** Room in the spool: bytes of all streams together, as the supervisor sees them, and the bound. */
  | { readonly type: 'spool'; readonly bytes: number; readonly maxBytes: number }
  | { readonly type: 'collect_metrics'; readonly id: number };
