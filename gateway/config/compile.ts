/** Configuration to snapshot: everything the request path reads is put into slots here, once a reload. */
import { encodeLabels } from '../events/labels.js';
import { OUTCOMES } from '../events/outcomes.js';
import type { Policy } from '../exchange.js';
import { foldFieldName } from '../http1/fields.js';
import { recordedClient } from '../listeners/http/recorded-client.js';
import type { SnapshotNames, SnapshotSlots } from '../metrics/worker-metrics.js';
import { authenticationPolicy } from '../policies/authentication.js';
import { authorisationPolicy } from '../policies/authorisation.js';
import { clientIpLimitPolicy, type ClientIpTable } from '../policies/client-ip-limit.js';
import { buildIdentityIndex, type IdentityIndex } from '../policies/identity-index.js';
import { appIpListPolicy, compileCidrs, ipListPolicy } from '../policies/ip-list.js';
import { dailyQuotaPolicy } from '../policies/limits/daily-quota.js';
import type { LeaseBook } from '../policies/limits/lease-book.js';
import { rateLimitPolicy } from '../policies/limits/rate-limit.js';
import type { IdentityLog, RemoteKeySets } from '../policies/remote-key-sets.js';
import { RouteTable, type RouteEntry } from '../routing/route-table.js';
import { RequestTracing } from '../tracing/request-tracing.js';
import type { TargetRegistry, TargetSettings } from '../upstream/target.js';
import { balance } from '../upstream/targets.js';
import type { RouteConfig, ServiceConfig } from './schema.js';
import { secretOf, type Secrets } from './secrets.js';
import type { CompiledApp, CompiledRoute, CompiledService, Snapshot } from './snapshot.js';
import { durationMs } from './units.js';
import { CLIENT_KEY, type WorkerConfig } from './worker-config.js';

/** What outlives snapshots: they are built from it, and find their pools, leases and tables again. */
export interface CompileContext {
  readonly targets: TargetRegistry;
  readonly leases: LeaseBook;
  readonly clientIpTable: ClientIpTable;
  readonly remoteKeySets: RemoteKeySets;
  readonly attachMetrics: (names: SnapshotNames) => SnapshotSlots;
  readonly log: IdentityLog;
}

/**
 * Builds the snapshot of a validated configuration.
 * @throws TidegateError config_regexp, config_value, config_file: what only a trial can tell
 */
export function compile(config: WorkerConfig, version: string, secrets: Secrets, context: CompileContext): Snapshot {
  const apps = new Map<string, CompiledApp>();
  for (const app of config.apps) {
    apps.set(app.name, { name: app.name, config: app, label: encodeLabels(app.name), services: new Set(app.services) });
  }
  const identities = buildIdentityIndex(apps, {
    scope: 'traffic',
    readSecret: (reference) => secretOf(reference, secrets), remoteKeySets: context.remoteKeySets, log: context.log,
  });
  const slots = context.attachMetrics({
    routes: config.services.flatMap((service) => service.routes.map((route) => ({ service: service.name, route: route.name }))),
    targets: config.services.flatMap((service) => service.upstream.targets.map((target) => ({ service: service.name, target: target.url }))),
  });
  const first = presentPolicies([ipListPolicy(config.ip), clientIpLimitPolicy('gateway', config.limits.client_ip, context.clientIpTable)]);
  const appIpLists = appIpListPolicy(config.apps);
  const entries: RouteEntry<CompiledRoute>[] = [];
  let targetSlot = 0;
  let routeSlot = 0;
  for (const service of config.services) {
    const compiled = compileService(service, context, slots, targetSlot);
    targetSlot += service.upstream.targets.length;
    const serviceFirst = presentPolicies([ipListPolicy(service.ip), clientIpLimitPolicy(`service:${service.name}`, service.limits.client_ip, context.clientIpTable)]);
    for (const route of service.routes) {
      const policies = [...first, ...serviceFirst, ...routePolicies(config, service, route, identities, appIpLists, context.leases)];
      const value: CompiledRoute = {
        name: route.name, metricsSlot: slots.routes[routeSlot++] as number, service: compiled, config: route, label: encodeLabels(service.name, route.name),
        policies, recordPath: service.record_path === 'full' ? null : service.record_path === 'template' ? route.match.path : '',
        stripPrefix: route.strip_prefix ?? '', addPrefix: (route.add_prefix ?? '').replace(/\/+$/, ''),
      };
      entries.push({ match: route.match, value, service: service.name, name: route.name });
    }
  }
  return {
    config, version, versionLabel: encodeLabels(version), routes: RouteTable.build(entries), apps, noRoute: noRoute(first, context),
    identityFields: new Set([...identities.claimHeaderNames].map(foldFieldName)), apiKeys: identities.apiKeys,
    trustedProxies: compileCidrs(config.trusted_proxies), recordedClient: recordedClient(config.privacy.client, secrets[CLIENT_KEY] ?? null),
    tracing: config.tracing === null ? null : new RequestTracing(config.tracing),
  };
}

/** In their fixed order; what the configuration leaves out is absent. */
function routePolicies(
  config: WorkerConfig, service: ServiceConfig, route: RouteConfig, identities: IdentityIndex, appIpLists: Policy | null, leases: LeaseBook,
): Policy[] {
  const authenticated = route.authentication.length > 0;
  return presentPolicies([
    authenticationPolicy(route.authentication, identities),
    authenticated ? appIpLists : null,
    authorisationPolicy(service.name, route.authentication),
    rateLimitPolicy({ gateway: config.limits, service, route, apps: authenticated ? config.apps : [] }, leases),
    authenticated ? dailyQuotaPolicy(config.apps, leases) : null,
  ]);
}

const presentPolicies = (policies: readonly (Policy | null)[]): Policy[] => policies.filter((policy) => policy !== null);

function compileService(service: ServiceConfig, context: CompileContext, slots: SnapshotSlots, targetSlot: number): CompiledService {
  const { upstream } = service;
  const settings: TargetSettings = {
    connectTimeoutMs: durationMs(upstream.timeouts.connect), headersTimeoutMs: durationMs(upstream.timeouts.headers),
    idleTimeoutMs: durationMs(upstream.timeouts.idle), maxConnections: upstream.connections, skipRefusedMs: durationMs(upstream.skip_refused),
  };
  const targets = upstream.targets.map(({ url, weight }, i) => {
    const target = context.targets.obtain(service.name, url, settings);
    target.metricsSlot = slots.targets[targetSlot + i] as number;
    return { target, weight };
  });
  const { counted, billable } = outcomeFlags(service);
  return {
    name: service.name, config: service, targets: balance(upstream.balancer, targets, Math.random),
    hostPolicy: upstream.host === 'preserve' ? null : upstream.host === 'target' ? '' : upstream.host,
    totalTimeoutMs: durationMs(upstream.timeouts.total), counted, billable, billableStatuses: billableStatuses(service),
  };
}

/** By outcome id; the service's overrides applied to the table. */
function outcomeFlags(service: Pick<ServiceConfig, 'outcomes'> | null): { counted: Uint8Array; billable: Uint8Array } {
  const counted = new Uint8Array(256);
  const billable = new Uint8Array(256);
  for (const [name, entry] of Object.entries(OUTCOMES)) {
    const override = service?.outcomes[name];
    counted[entry.id] = Number(override?.counted ?? entry.counted);
    billable[entry.id] = Number(override?.billable ?? entry.billable);
  }
  return { counted, billable };
}

/** By status; what is said of a status itself comes before what is said of its class. */
function billableStatuses(service: Pick<ServiceConfig, 'statuses'> | null): Uint8Array {
  return Uint8Array.from({ length: 1000 }, (_, status) => {
    const said = service?.statuses[String(status)] ?? service?.statuses[`${Math.floor(status / 100)}xx`];
    return Number(said?.billable ?? true);
  });
}

/** Where requests go that match nothing: only the gateway's own policies see them, and they count under slot 0. */
function noRoute(policies: readonly Policy[], context: CompileContext): CompiledRoute {
  const slot = context.attachMetrics({ routes: [{ service: '', route: '' }], targets: [] }).routes[0] as number;
  return {
    name: '', metricsSlot: slot, service: NO_SERVICE, config: null, label: encodeLabels('', ''), policies, recordPath: '', stripPrefix: '', addPrefix: '',
  };
}

const NO_SERVICE: CompiledService = {
  name: '', config: null, targets: { all: [], pick: () => null }, hostPolicy: null, totalTimeoutMs: Number.POSITIVE_INFINITY, ...outcomeFlags(null), billableStatuses: billableStatuses(null),
};
