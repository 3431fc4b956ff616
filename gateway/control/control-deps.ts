/**
 * What the control origin needs of the node, as one interface: the supervisor gives it, the tests give a small one of their own.
 * Everything here that is answered over HTTP is already free of secrets and has the JSON names of the public surface.
 */
import type { ConfigProblem } from '../config/config-problem.js';
import type { Change } from '../config/diff.js';
import type { HistoryEntry } from '../config/history.js';
import type { KeyScope, Revocation } from '../config/keys.js';
import type { LogLevel } from '../config/log-level.js';
import type { AppConfig, ControlTokenConfig, ServiceConfig } from '../config/schema.js';
import type { Scrape } from '../metrics/node-metrics.js';
import type { CompiledCidrs } from '../policies/ip-list.js';
import type { ReportQuota } from './report-quota.js';
import type { RestartStatus } from './restart-status.js';
import type { WrongTokens } from './wrong-tokens.js';

/** Who asks: `name` of `control.tokens`. What each may do is in endpoints.ts. */
export type Principal =
  | { readonly kind: 'operator' }
  | { readonly kind: ControlTokenConfig['role']; readonly name: string }
  | { readonly kind: 'app'; readonly app: string };

export interface ControlDeps {
  /** The operator's token in force (token.ts makes one at the first start). Compared in constant time. */
  token(): string;
  /** `control.tokens` in force. */
  tokens(): readonly ControlTokenConfig[];
  /** Of the reports that others than the operator ask for, at whichever origin. */
  readonly quota: ReportQuota;
  /** Path of the collector's Unix socket; null: this node has no collector. */
  readonly collectorSocket: string | null;
  /** It has answered nothing for some seconds: nobody is to wait for it. A report that takes its time is another thing: the collector answers others meanwhile. */
  collectorStandsStill(): boolean;
  /** The app that this API key or JWT belongs to; null: none, or not allowed to read reports. Never throws for a bad credential. */
  identify(bearer: string): Promise<string | null>;
  /** What is shown and is nobody's, at whichever origin. */
  readonly wrongTokens: WrongTokens;
  /** `trusted_proxies` as in force; null: none. */
  trustedProxies(): CompiledCidrs | null;
  /** `reports.connections_per_client` as in force. */
  connectionsPerClient(): number;
  /** The app's IANA zone; null: no such app. */
  timeZoneOf(app: string): string | null;
  /** `control.address` as in force. */
  address(): string;
  /** `control.metrics_open` as in force. */
  metricsOpen(): boolean;

  /** From what is known: it waits for nobody, and looks at no disk. */
  readiness(): Readiness;
  metrics(scrape: Scrape): Promise<MetricsText>;
  status(): Promise<NodeStatus>;
  /** This node's part of the live numbers. `app`: what concerns this one alone; null: all. Never throws. */
  live(app: string | null): Promise<NodeLive>;
  reload(): Promise<ReloadResult>;
  /** Has every process of the node but the launcher replaced; `status()` tells how it goes. Answers with its number. @throws TidegateError restart_running */
  restart(): number;
  /** Notes that what this node answered in that time may be missing. @param toMs null: until it was started. @throws invalid_parameter */
  declareGap(fromMs: number, toMs: number | null): DeclaredGap;
  logLevel(): LogLevelStatus;
  /** Of all processes of the node, for so long. */
  setLogLevel(level: LogLevel, forMs: number): LogLevelStatus;
  /** The configured one again. */
  resetLogLevel(): LogLevelStatus;
  /** Declared services and apps as in force, redacted (gateway/config/redact.ts). */
  services(): readonly ServiceConfig[];
  apps(): readonly AppConfig[];
  /** Makes a key, puts it in force, and answers with its text: the only time it is shown. null: no such app. */
  createKey(app: string, request: NewKeyRequest): Promise<NewKey | null>;
  revokeKey(app: string, id: string, author: string): Promise<Revocation>;
  /** Newest first. */
  history(limit: number): Promise<readonly HistoryEntry[]>;
  /** What a reload of this YAML text would change; `errors` not empty: it would be rejected. `signal`: the asker has left. @throws TidegateError config_busy */
  diff(text: string, signal: AbortSignal): Promise<ConfigDiff>;
  readonly log: ControlLog;
}

export interface Readiness {
  readonly ready: boolean;
  /** Why not, and what else is not as it should be, in words, with the code of each. */
  readonly reasons: readonly string[];
}

/** Beside what the collector says in `GET /v1/reports/live`. */
export interface NodeLive {
  /** Requests that have been read and are not answered yet, of this node alone (other nodes know theirs), as of the last second. Null: this node has no workers. */
  readonly in_flight: { readonly site: number; readonly services: Readonly<Record<string, number>>; readonly apps: Readonly<Record<string, number>> } | null;
  /** Each app that has one. */
  readonly quotas: Readonly<Record<string, QuotaStatus>>;
}
export interface QuotaStatus {
  /** The app's own day, in its own zone. */
  readonly day: string;
  readonly time_zone: string;
  readonly limit: number;
  /** What counts of the day so far, of all nodes that share limits; null: not known yet. */
  readonly used: number | null;
  /** used / limit; above 1 where what is over is billed. */
  readonly share: number | null;
  readonly over: 'refuse' | 'bill';
}

export interface MetricsText { readonly contentType: string; readonly body: string }

export interface ReloadResult {
  readonly result: 'applied' | 'unchanged' | 'rejected';
  /** The version in force afterwards. */
  readonly version: string;
  readonly errors: readonly ConfigProblem[];
}

/** Times are RFC 3339. */
export interface DeclaredGap {
  /** That stands for it in `GET /v1/completeness`. */
  readonly stream: string;
  readonly node: string;
  readonly from: string;
  readonly to: string;
}

export interface LogLevelStatus {
  /** In force. */
  readonly level: LogLevel;
  /** What the configuration says, or where it says nothing the node's environment. */
  readonly configured: LogLevel;
  /** When the configured one holds again, RFC 3339; null: it holds. */
  readonly until: string | null;
}

export interface NewKeyRequest { readonly scopes: readonly KeyScope[]; readonly author: string }
export interface NewKey { readonly app: string; readonly id: string; readonly key: string; readonly scopes: readonly KeyScope[] }

export interface ConfigDiff {
  /** Version in force, and the version that the text would make. */
  readonly from: string;
  readonly to: string;
  readonly changes: readonly Change[];
  readonly errors: readonly ConfigProblem[];
}

export interface ControlLog {
  info(fields: Readonly<Record<string, unknown>>, message: string): void;
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
  error(fields: Readonly<Record<string, unknown>>, message: string): void;
}

/** Answer of `GET /v1/status`; times are RFC 3339. */
export interface NodeStatus {
  readonly node: string;
  /** Of the program. */
  readonly version: string;
  readonly started_at: string;
  readonly ready: boolean;
  readonly reasons: readonly string[];
  readonly shape: ShapeStatus;
  readonly config: ConfigStatus;
  readonly workers: readonly WorkerStatus[];
  readonly targets: readonly TargetStatus[];
  readonly limits: readonly LimitStatus[];
  readonly spool: SpoolStatus;
  /** null: events stay on this machine. */
  readonly shipping: ShippingStatus | null;
  /** null: this node's limits are its own. */
  readonly sharing: SharingStatus | null;
  /** null: the collector does not answer, or is not on this node. */
  readonly collector: CollectorStatus | null;
  /** Why the collector does not run; null: it runs, is starting, or is not on this node. */
  readonly collector_fault: CollectorFault | null;
  /** The last one that was asked for; null: none since the launcher's start. */
  readonly restart: RestartStatus | null;
}

/** What runs here, and what the configuration has chosen. */
export interface ShapeStatus {
  /** `gateway`: no collector here; `collector`: no workers. */
  readonly part: 'whole' | 'gateway' | 'collector';
  readonly event_log: 'spool' | 'kafka';
  /** null: no collector here. */
  readonly store: 'chdb' | 'clickhouse' | null;
  /** Who counts limits: this node alone, or Redis for all. */
  readonly shared_state: 'node' | 'redis';
}

export interface ConfigStatus {
  readonly version: string;
  readonly source: string;
  readonly loaded_at: string;
  /** The last reload that was tried; null: none since the start. */
  readonly last_reload: { readonly at: string; readonly result: ReloadResult['result']; readonly errors: readonly ConfigProblem[] } | null;
}
export interface WorkerStatus {
  readonly worker: number;
  readonly pid: number;
  readonly stream: string;
  readonly state: 'starting' | 'serving' | 'draining';
  readonly config_version: string | null;
  /** Why it could not apply the configuration in force; null: it could, or has not tried yet. */
  readonly config_error: string | null;
  readonly rss_bytes: number | null;
  readonly connections: number | null;
}
export interface TargetStatus {
  readonly service: string;
  readonly target: string;
  /** False: a worker passes it over now. null: none has tried it yet. */
  readonly healthy: boolean | null;
}
export interface LimitStatus {
  /** As in the ledger: `qps:service:S`, `qpd:app:A:2026-11-21`. */
  readonly key: string;
  readonly limit: number;
  /** Used up (quotas) or lately used a second (rates); null: not known. */
  readonly used: number | null;
  /** Units out with workers. */
  readonly leased: number | null;
}
export interface SpoolStatus {
  readonly bytes: number;
  readonly max_bytes: number;
  readonly streams: number;
  /** Events dropped and tallied since the start. */
  readonly dropped: number;
}
export interface SharingStatus {
  /** Nodes that share the limits, as far as this one knows: itself among them. */
  readonly nodes: number;
  /** Why Redis cannot be asked, since when; null: it can. */
  readonly failing: { readonly code: string; readonly detail: string; readonly since: string } | null;
}
export interface ShippingStatus {
  readonly topic: string;
  /** Of the spool, not acknowledged by Kafka yet. */
  readonly behind_bytes: number;
  /** Age of the oldest event among them. */
  readonly behind_seconds: number;
  /** Events that Kafka has acknowledged since the supervisor's start. */
  readonly shipped: number;
  /** Why shipping fails, since when; null: it works. */
  readonly failing: { readonly code: string; readonly detail: string; readonly since: string } | null;
  /** How far this machine's clock is ahead of Kafka's, negative: behind; null: Kafka has not told its time. */
  readonly clock_ahead_seconds: number | null;
  /** What is not as it should be, and stops nothing. */
  readonly warnings: readonly { readonly code: string; readonly detail: string }[];
}
export interface CollectorFault { readonly code: string; readonly detail: string; readonly since: string }
export interface CollectorStatus {
  /** Age of the oldest event not stored yet. */
  readonly lag_seconds: number | null;
  readonly stored: number;
  /** Events of today and yesterday (UTC) that are missing now. */
  readonly gaps: number;
  /** Since the collector's start: events found missing, whether they have come since or not. */
  readonly gaps_total: number;
  /** Since the collector's start: events met again and left out, or stored twice. */
  readonly repeats: number;
  /** Since the collector's start: pieces of the log put aside because they could not be read. */
  readonly quarantined: number;
  /** Pieces in quarantine that were neither replayed nor removed, as `GET /v1/quarantine` lists them; null: not counted yet. */
  readonly in_quarantine: number | null;
  /** Why storing fails, since when; null: it works. */
  readonly failing: { readonly code: string; readonly detail: string; readonly since: string } | null;
  /** Live counters in Redis; null: none is configured. */
  readonly publishing: PublishingStatus | null;
  /** Null: it does not say. */
  readonly billing: BillingStatus | null;
  /** Null: no look has succeeded since it began. */
  readonly store: StoreStatus | null;
}
/** What the collector found in the store, a minute ago at most unless looks fail. */
export interface StoreStatus {
  /** RFC 3339: when all days were compared last; null: not since it began. */
  readonly looked_at: string | null;
  /** Days (UTC) that lack rows that were stored, the oldest first. */
  readonly rows_missing: readonly { readonly day: string; readonly rows: number }[];
  /** Parts that the engine has set aside, by table, some of them with their names; null: the store does not say. */
  readonly detached_parts: readonly { readonly table: string; readonly parts: number; readonly names: readonly string[] }[] | null;
}
export interface BillingStatus {
  /** Days of apps that are over and not closed. */
  readonly closing: number;
  /** RFC 3339: since when the oldest of them is over. Null: there are none. */
  readonly closing_since: string | null;
  /** Bounds of days of which the record is not whole: they wait for an operator. */
  readonly incomplete: number;
  /** Why no day can be closed; null: they can. */
  readonly failing: string | null;
}
export interface PublishingStatus {
  /** They were published at least once since the collector's start. */
  readonly ever: boolean;
  /** Why they are not, since when; null: they are. */
  readonly failing: { readonly code: string; readonly detail: string; readonly since: string } | null;
}
