/** The metrics of traffic: what workers have counted, added up. */
import type { Outcome } from '../events/outcomes.js';
import type { ServiceConfig } from '../config/schema.js';
import type { Exposition, Sample } from './exposition.js';
import { GATEWAY_BUCKET_COUNT, SIZE_BUCKET_COUNT, type MetricsSnapshot, type RouteCounts, type ServiceCounts } from './metrics-snapshot.js';

/** The service of requests that no route has matched. */
const UNROUTED = '';
/** What refuses requests of a service, and those without one: told from the start. */
const REFUSED = ['ip_denied', 'unauthenticated', 'forbidden', 'rate_limited', 'quota_exhausted', 'ledger_unavailable'] as const satisfies readonly Outcome[];
const REFUSED_UNROUTED = ['malformed_request', 'route_not_found', 'request_timeout', 'ip_denied', 'rate_limited'] as const satisfies readonly Outcome[];
/** Of an attempt that may be made again (ActiveExchange.onAttemptFailed). */
const RETRIED = ['refused', 'connect_timeout', 'stale'] as const;
/** Results of LeaseBook.counts. */
const LEASES = ['asked', 'granted', 'empty', 'unavailable'] as const;

/** @param configured services in force: theirs stand there before they are asked for */
export function writeTraffic(text: Exposition, sum: MetricsSnapshot, configured: readonly ServiceConfig[]): void {
  const { routes, targets } = sum;
  const services = [UNROUTED, ...configured.map(({ name }) => name)];
  text.add('tidegate_requests_total', requestsOf(routes));
  text.histogram('tidegate_request_duration_seconds', routes.map(({ service, route, buckets, durationSumUs, exemplars }) => [[service, route], {
    buckets, sum: durationSumUs / 1e6, exemplars: exemplars.map(({ bucket, traceId, durationUs, timeMs }) => ({ bucket, traceId, value: durationUs / 1e6, timeMs })),
  }] as const));
  text.histogram('tidegate_upstream_duration_seconds', targets.map(({ service, target, buckets, durationSumUs }) => [[service, target], { buckets, sum: durationSumUs / 1e6 }] as const));
  writeByService(text, sum.services, services);
  const named = services.map((service) => [service] as const);
  text.add('tidegate_request_bytes_total', summed(named, routes.map(({ service, bytesIn }) => [[service], bytesIn] as const)));
  text.add('tidegate_response_bytes_total', summed(named, routes.map(({ service, bytesOut }) => [[service], bytesOut] as const)));
  text.add('tidegate_refused_total', summed(
    services.flatMap((service) => (service === UNROUTED ? REFUSED_UNROUTED : REFUSED).map((reason) => [service, reason] as const)),
    routes.flatMap(({ service, refused }) => refused.map(([reason, count]) => [[service, reason], count] as const)),
  ));
  text.add('tidegate_retries_total', summed(
    configured.flatMap(({ name }) => RETRIED.map((reason) => [name, reason] as const)), sum.retries.map(([service, reason, count]) => [[service, reason], count] as const),
  ));
  text.add('tidegate_quota_leases_total', summed(LEASES.map((result) => [result] as const), sum.leases.map(([result, count]) => [[result], count] as const)));
}

/** One at a time: of 1,000 routes there are many thousand. */
function* requestsOf(routes: readonly RouteCounts[]): Iterable<Sample<'tidegate_requests_total'>> {
  for (const { service, route, requests } of routes) {
    for (const [method, status, count] of requests) yield [[service, route, method, String(status)], count];
  }
}

function writeByService(text: Exposition, counts: readonly ServiceCounts[], known: readonly string[]): void {
  const counted = new Map(counts.map((each) => [each.service, each]));
  const services = [...new Set([...known, ...counted.keys()])].map((service) => counted.get(service) ?? nothingOf(service));
  text.histogram('tidegate_gateway_duration_seconds', services.map(({ service, gateway, gatewaySumUs }) => [[service], { buckets: gateway, sum: gatewaySumUs / 1e6 }] as const));
  text.histogram('tidegate_request_size_bytes', services.map(({ service, requestSizes, requestSizeSum }) => [[service], { buckets: requestSizes, sum: requestSizeSum }] as const));
  text.histogram('tidegate_response_size_bytes', services.map(({ service, responseSizes, responseSizeSum }) => [[service], { buckets: responseSizes, sum: responseSizeSum }] as const));
}

function nothingOf(service: string): ServiceCounts {
  const sizes = new Array<number>(SIZE_BUCKET_COUNT).fill(0);
  return { service, gateway: new Array<number>(GATEWAY_BUCKET_COUNT).fill(0), gatewaySumUs: 0, requestSizes: sizes, requestSizeSum: 0, responseSizes: sizes, responseSizeSum: 0 };
}

/** By labels; `known` ones first, from 0. */
export function summed<Labels extends readonly string[]>(known: readonly Labels[], counts: Iterable<readonly [labels: Labels, count: number]>): Iterable<readonly [Labels, number]> {
  const sums = new Map<string, [Labels, number]>(known.map((labels) => [labels.join('\n'), [labels, 0]]));
  for (const [labels, count] of counts) {
    const key = labels.join('\n');
    const sum = sums.get(key);
    if (sum === undefined) sums.set(key, [labels, count]);
    else sum[1] += count;
  }
  return sums.values();
}
