/**
 * The compiled configuration: immutable, built beside the old one at a reload and swapped in by one reference. A request finishes on the
 * snapshot it began with.
 */
import type { Label } from '../events/labels.js';
import type { Policy } from '../exchange.js';
import type { RecordedClient } from '../listeners/http/recorded-client.js';
import type { ApiKeys } from '../policies/api-key.js';
import type { CompiledCidrs } from '../policies/ip-list.js';
import type { RouteTable } from '../routing/route-table.js';
import type { AppConfig, RouteConfig, ServiceConfig } from './schema.js';
import type { WorkerConfig } from './worker-config.js';
import type { RequestTracing } from '../tracing/request-tracing.js';
import type { UpstreamTargets } from '../upstream/targets.js';

export interface Snapshot {
  readonly config: WorkerConfig;
  /** First 12 hexadecimal digits of the SHA-256 of the content in force. */
  readonly version: string;
  readonly versionLabel: Label;
  readonly routes: RouteTable<CompiledRoute>;
  readonly apps: ReadonlyMap<string, CompiledApp>;
  /** What a request that matches no route carries: empty names, and the gateway's own policies. */
  readonly noRoute: CompiledRoute;
  /** Fields (folded: foldFieldName) that carry identity upstream: taken off what clients send. */
  readonly identityFields: ReadonlySet<string>;
  /** What clients send of these does not go upstream, on any route. */
  readonly apiKeys: ApiKeys;
  readonly trustedProxies: CompiledCidrs | null;
  /** What an event keeps of a client's address. */
  readonly recordedClient: RecordedClient;
  /** Null: no spans are made. */
  readonly tracing: RequestTracing | null;
}

export interface CompiledService {
  readonly name: string;
  /** Null only for the service of `noRoute`. */
  readonly config: ServiceConfig | null;
  readonly targets: UpstreamTargets;
  /** The Host sent on: null the client's, '' the target's, or a name. */
  readonly hostPolicy: string | null;
  readonly totalTimeoutMs: number;
  /** By outcome id: what the event says of quota and bill, the service's overrides applied. */
  readonly counted: Uint8Array;
  readonly billable: Uint8Array;
  /** By status, 0 to 999: 0 stands on no bill. */
  readonly billableStatuses: Uint8Array;
}

export interface CompiledRoute {
  readonly name: string;
  /** Where the metrics count it. */
  readonly metricsSlot: number;
  readonly service: CompiledService;
  /** Null only for `noRoute`. */
  readonly config: RouteConfig | null;
  /** encodeLabels(service, route) */
  readonly label: Label;
  /** In the fixed order: ip lists and limits by client address (the gateway's, then the service's), authentication, authorisation, rate limits, daily quota. Switched-off ones are absent. */
  readonly policies: readonly Policy[];
  /** What the event keeps of the path: a text that is always the same, or null for the path itself. */
  readonly recordPath: string | null;
  /** Prefix taken off and put in front; '' for none. */
  readonly stripPrefix: string;
  readonly addPrefix: string;
}

export interface CompiledApp {
  readonly name: string;
  readonly config: AppConfig;
  /** encodeLabels(app) */
  readonly label: Label;
  readonly services: ReadonlySet<string>;
}
