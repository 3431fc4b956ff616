import { test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { METHODS, outcomeId } from '../events/event.js';
import { METRICS, type MetricName } from './catalogue.js';
import { COLLECTOR, nodeFacts, serviceConfig } from './node-facts.fixture.js';
import type { NodeFacts } from './node-facts.js';
import { NodeMetrics, type Scrape } from './node-metrics.js';
import { UNROUTED, WorkerMetrics, type MetricsSources, type SnapshotNames } from './worker-metrics.js';

const SOURCES: MetricsSources = {
  recorded: () => 7, dropped: () => [['spool_full', 2]], leases: () => [['granted', 3]],
  connections: () => [['http', 4]], targets: () => [['catalogue', 'http://127.0.0.1:9001', false]], inFlight: () => [['catalogue', 'acme', 2], ['catalogue', 'globex', 1], ['', '', 1]],
  sockets: () => ({ client: 4, upstream: 3 }),
};
const NAMES: SnapshotNames = {
  routes: [{ service: 'catalogue', route: 'products' }, { service: 'catalogue', route: 'open' }],
  targets: [{ service: 'catalogue', target: 'http://127.0.0.1:9001' }],
};
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const TEXT = { accept: '', scraper: null };
const OPEN = { accept: 'application/openmetrics-text; version=1.0.0', scraper: null };

function counted(): WorkerMetrics {
  const metrics = new WorkerMetrics(SOURCES);
  const slots = metrics.attach(NAMES);
  const products = slots.routes[0] as number;
  metrics.observe(products, METHODS.GET, 200, 5000, 4900, 10, 100);
  metrics.observe(products, METHODS.GET, 200, 5001, 4001, 0, 101);
  metrics.observe(products, METHODS.POST, 429, 100, 0, 0, 20);
  metrics.exemplify(products, 5001, TRACE);
  metrics.refuse(products, outcomeId('rate_limited'));
  metrics.observe(UNROUTED, METHODS.GET, 404, 50, 0, 0, 30);
  metrics.refuse(UNROUTED, outcomeId('route_not_found'));
  metrics.observeUpstream(slots.targets[0] as number, 31_000_000);
  metrics.retry('catalogue', 'refused');
  metrics.close();
  return metrics;
}

async function lines(node: NodeMetrics, scrape: Scrape = TEXT, facts: NodeFacts = nodeFacts()): Promise<string[]> {
  return (await node.render(scrape, facts)).text.split('\n');
}

function assertLines(all: readonly string[], expected: readonly string[]): void {
  for (const line of expected) assert.ok(all.includes(line), `missing: ${line}\n${all.join('\n')}`);
}

test('a scrape shows the requests of every worker together, under the public names', async () => {
  const node = new NodeMetrics({ baseFile: null });
  node.update('a', 1, counted().snapshot());
  node.update('b', 2, counted().snapshot());
  node.countReload('rejected');
  const shown = await lines(node);
  node.close();
  assertLines(shown, [
    'tidegate_requests_total{service="catalogue",route="products",method="GET",code="200"} 4',
    'tidegate_requests_total{service="catalogue",route="products",method="POST",code="429"} 2',
    'tidegate_requests_total{service="",route="",method="GET",code="404"} 2',
    'tidegate_request_duration_seconds_bucket{service="catalogue",route="products",le="0.005"} 4',
    'tidegate_request_duration_seconds_bucket{service="catalogue",route="products",le="0.01"} 6',
    'tidegate_request_duration_seconds_bucket{service="catalogue",route="products",le="+Inf"} 6',
    'tidegate_request_duration_seconds_count{service="catalogue",route="products"} 6',
    'tidegate_upstream_duration_seconds_bucket{service="catalogue",target="http://127.0.0.1:9001",le="30"} 0',
    'tidegate_upstream_duration_seconds_bucket{service="catalogue",target="http://127.0.0.1:9001",le="+Inf"} 2',
    'tidegate_gateway_duration_seconds_bucket{service="catalogue",le="0.0001"} 4',
    'tidegate_gateway_duration_seconds_bucket{service="catalogue",le="0.001"} 6',
    'tidegate_gateway_duration_seconds_sum{service="catalogue"} 0.0024',
    'tidegate_request_size_bytes_bucket{service="catalogue",le="0"} 4',
    'tidegate_request_size_bytes_bucket{service="catalogue",le="100"} 6',
    'tidegate_response_size_bytes_bucket{service="catalogue",le="100"} 4',
    'tidegate_response_size_bytes_bucket{service="catalogue",le="100000000"} 6',
    'tidegate_response_size_bytes_sum{service=""} 60',
    'tidegate_request_bytes_total{service="catalogue"} 20',
    'tidegate_response_bytes_total{service="catalogue"} 442',
    'tidegate_refused_total{service="catalogue",reason="rate_limited"} 2',
    'tidegate_refused_total{service="",reason="route_not_found"} 2',
    'tidegate_retries_total{service="catalogue",reason="refused"} 2',
    'tidegate_connections{listener="http"} 8',
    'tidegate_in_flight_requests{service="catalogue"} 6',
    'tidegate_in_flight_requests{service=""} 2',
    'tidegate_targets{service="catalogue"} 2',
    'tidegate_targets_healthy{service="catalogue"} 1',
    'tidegate_target_healthy{service="catalogue",target="http://127.0.0.1:9001"} 0',
    'tidegate_events_total{stage="recorded"} 14',
    'tidegate_events_total{stage="stored"} 11',
    'tidegate_events_dropped_total{reason="spool_full"} 4',
    'tidegate_config_info{version="0123456789ab"} 1',
    'tidegate_config_reloads_total{result="rejected"} 1',
    'tidegate_quota_leases_total{result="granted"} 6',
    'tidegate_workers 2',
    'tidegate_worker_sockets{worker="2",side="upstream"} 3',
    `tidegate_build_info{version="0.1.0",node_version="${process.versions.node}"} 1`,
  ]);
  assert.ok(shown.some((line) => /^tidegate_worker_gc_seconds_total\{worker="1",kind="major"\} [\d.e-]+$/.test(line)));
});

test('every metric of the catalogue is there, with its type, help and labels, and no other', async () => {
  const node = new NodeMetrics({ baseFile: null });
  node.update('a', 1, counted().snapshot());
  const services = [serviceConfig('catalogue', { slo: { availability: 99.9, latency: { threshold: '0.5s', share: 99 } } })];
  const facts = nodeFacts({ shipping: { shipped: 1, lagSeconds: 1, lagBytes: 1, failures: [['kafka_unavailable', 1]], clockAheadSeconds: -7200.5, brokerTime: true } });
  const shown = await lines(node, TEXT, { ...facts, config: { ...facts.config, services } });
  node.close();
  const elsewhere: readonly MetricName[] = process.platform === 'linux' ? [] : ['process_virtual_memory_bytes', 'process_heap_bytes', 'process_open_fds', 'process_max_fds'];
  const told = new Set<string>();
  for (const [name, { type, labels, help }] of Object.entries(METRICS)) {
    told.add(name);
    assertLines(shown, [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`]);
    const sample = shown.find((line) => line.startsWith(type === 'histogram' ? `${name}_count` : name) && /[{ ]/.test(line.charAt((type === 'histogram' ? `${name}_count` : name).length)));
    if (sample === undefined) assert.ok((elsewhere as readonly string[]).includes(name), `${name} has no sample`);
    else assert.deepEqual([...sample.matchAll(/(\w+)="/g)].map(([, label]) => label), labels, sample);
  }
  const unknown = shown.filter((line) => line.startsWith('# TYPE ')).map((line) => line.split(' ')[2] ?? '').filter((name) => !told.has(name));
  assert.deepEqual(unknown, []);
});

test('what is known of the collector, of quotas and of the configuration is told as gauges', async () => {
  const node = new NodeMetrics({ baseFile: null });
  const services = [
    serviceConfig('catalogue', { team: 'storefront', slo: { availability: 99.95, latency: { threshold: '0.5s', share: 99 } }, alerts: { error_ratio: 0, server_error_ratio: 0.05, latency_p95: '250ms', latency_p99: '2.5s' } }),
    serviceConfig('greeter'),
  ];
  const quotas = [{ limit: 10, used: 7 }, { limit: 10, used: 8 }, { limit: 10, used: 10 }, { limit: 10, used: 25 }, { limit: 10, used: null }];
  const facts = nodeFacts({ quotas, config: { ...nodeFacts().config, services, rejected: true } });
  assertLines(await lines(node, TEXT, facts), [
    'tidegate_services 2', 'tidegate_service_info{service="catalogue",team="storefront"} 1', 'tidegate_service_info{service="greeter",team=""} 1',
    'tidegate_slo_availability_ratio{service="catalogue"} 0.9995', 'tidegate_slo_latency_threshold_seconds{service="catalogue",bound="0.5"} 0.5', 'tidegate_slo_latency_share_ratio{service="catalogue"} 0.99',
    'tidegate_alert_error_ratio{service="catalogue"} 0', 'tidegate_alert_error_ratio{service="greeter"} 0.1', 'tidegate_alert_server_error_ratio{service="greeter"} 0.05',
    'tidegate_alert_latency_p95_seconds{service="catalogue",bound="0.25"} 0.25', 'tidegate_alert_latency_p99_seconds{service="catalogue",bound="2.5"} 2.5',
    'tidegate_alert_latency_p99_seconds{service="greeter",bound="2"} 2', 'tidegate_targets_healthy{service="greeter"} 2',
    'tidegate_config_rejected 1', 'tidegate_config_applied_timestamp_seconds 1763942400', 'tidegate_spool_limit_bytes 8589934592',
    'tidegate_collector_up 1', 'tidegate_store_failing 0', 'tidegate_events_missing 1', 'tidegate_event_gaps_total 2', 'tidegate_quarantine_bytes 512', 'tidegate_inserts_total{result="failed"} 1',
    'tidegate_insert_rows_total 11', 'tidegate_insert_duration_seconds_bucket{le="0.01"} 4', 'tidegate_insert_duration_seconds_count 6',
    'tidegate_billing_days_closing 2', `tidegate_billing_closing_age_seconds ${(1_763_942_460_000 - Date.parse('2025-11-24T00:00:00.000Z')) / 1000}`, 'tidegate_billing_days_incomplete 1', 'tidegate_billing_failing 0',
    'tidegate_stored_rows_missing{day="2026-11-22"} 3000', 'tidegate_stored_rows_missing{day="2026-11-23"} 5', 'tidegate_store_detached_parts 3', `tidegate_store_check_last_success_timestamp_seconds ${Date.UTC(2026, 10, 24, 10) / 1000 + 0.5}`,
    'tidegate_quota_apps{used="80"} 3', 'tidegate_quota_apps{used="100"} 2', 'tidegate_ledger_up 1', 'tidegate_worker_restarts_total 0', 'tidegate_log_lines_suppressed_total 7',
  ]);
  assert.doesNotMatch((await lines(node)).join('\n'), /^tidegate_slo_\w+(?:\{| )/m, 'nothing is promised of a service that says nothing');
  const away = await lines(node, TEXT, nodeFacts({ collector: { ...COLLECTOR, up: false, failing: true }, ledgerUp: false }));
  assertLines(away, ['tidegate_collector_up 0', 'tidegate_store_failing 1', 'tidegate_billing_days_incomplete 1', 'tidegate_ledger_up 0']);
  const early = (await lines(node, TEXT, nodeFacts({ collector: { up: false, failing: false, told: null } }))).join('\n');
  assert.match(early, /^tidegate_collector_up 0$/m);
  const gateway = (await lines(node, TEXT, nodeFacts({ collector: null }))).join('\n');
  assert.doesNotMatch((await lines(node, TEXT, nodeFacts({ workerRestarts: null, suppressedLines: null }))).join('\n'), /^tidegate_(?:worker_restarts_total|log_lines_suppressed_total) /m, 'the launcher has not told yet');
  assert.doesNotMatch(gateway, /^tidegate_(?:collector_up|store_failing|events_missing|billing_\w+|inserts_total|stored_rows_missing|store_check_\w+|store_detached_parts)/m);
  const collector = (await lines(node, TEXT, nodeFacts({ ledgerUp: null, lagSeconds: null }))).join('\n');
  assert.doesNotMatch(collector, /^tidegate_(?:ledger_up|event_lag_seconds) /m, 'a lag that is not known is not told');
  node.close();
});

test('a worker and the one that takes its slot are told once, by the newer, and what both have open is added up', async () => {
  const node = new NodeMetrics({ baseFile: null });
  const snapshot = counted().snapshot();
  for (const [stream, cpuSeconds] of [['a', 9], ['b', 2]] as const) {
    node.update(stream, 1, { ...snapshot, gauges: { ...snapshot.gauges, cpuSeconds, connections: [['http', 3]] } });
  }
  const shown = await lines(node);
  node.close();
  assert.deepEqual(shown.filter((line) => line.startsWith('tidegate_worker_cpu_seconds_total{')), ['tidegate_worker_cpu_seconds_total{worker="1"} 2']);
  assertLines(shown, ['tidegate_connections{listener="http"} 6']);
});

test('what can be known beforehand stands at 0 from the start', async () => {
  const node = new NodeMetrics({ baseFile: null });
  assertLines(await lines(node), [
    'tidegate_refused_total{service="catalogue",reason="quota_exhausted"} 0', 'tidegate_refused_total{service="",reason="route_not_found"} 0', 'tidegate_retries_total{service="catalogue",reason="stale"} 0',
    'tidegate_gateway_duration_seconds_count{service="catalogue"} 0', 'tidegate_request_bytes_total{service="catalogue"} 0', 'tidegate_in_flight_requests{service="catalogue"} 0',
    'tidegate_events_total{stage="recorded"} 0', 'tidegate_events_dropped_total{reason="disk_full"} 0', 'tidegate_quota_leases_total{result="unavailable"} 0',
    'tidegate_config_reloads_total{result="rejected"} 0', 'tidegate_webhooks_total{result="failed"} 0',
  ]);
  node.close();
});

test('a series that a scraper was not told of is 0 to it once: what happened since is an increase', async () => {
  const node = new NodeMetrics({ baseFile: null });
  const [prometheus, other] = ['10.0.0.1 Prometheus/2.42.0', '10.0.0.2 Prometheus/2.42.0'].map((scraper) => ({ accept: '', scraper })) as [Scrape, Scrape];
  const value = async (scrape: Scrape, series = 'tidegate_requests_total{service="catalogue",route="products",method="GET",code="200"}'): Promise<string | undefined> =>
    (await lines(node, scrape)).find((line) => line.startsWith(`${series} `))?.slice(series.length + 1);
  assert.equal(await value(prometheus), undefined);
  node.update('a', 1, counted().snapshot());
  assert.equal(await value(TEXT), '2', 'a person sees what is');
  assert.equal(await value(prometheus), '0');
  assert.equal(await value(prometheus), '2');
  assert.equal(await value(other), '2', 'who has not scraped before would take it all for an increase');
  node.update('b', 2, counted().snapshot());
  assert.equal(await value(prometheus), '4', 'a series is new once');
  const metrics = new WorkerMetrics(SOURCES);
  const open = metrics.attach(NAMES).routes[1] as number;
  metrics.observe(open, METHODS.GET, 500, 1, 0, 0, 0);
  metrics.close();
  node.update('c', 3, metrics.snapshot());
  for (const scrape of [prometheus, other]) {
    const born = await lines(node, scrape);
    assertLines(born, [
      'tidegate_requests_total{service="catalogue",route="open",method="GET",code="500"} 0', 'tidegate_request_duration_seconds_bucket{service="catalogue",route="open",le="+Inf"} 0',
      'tidegate_request_duration_seconds_sum{service="catalogue",route="open"} 0', 'tidegate_request_duration_seconds_count{service="catalogue",route="open"} 0',
    ]);
    assert.equal(await value(scrape, 'tidegate_request_duration_seconds_count{service="catalogue",route="open"}'), '1');
  }
  node.close();
});

test('OpenMetrics is given on Accept, with exemplars, and leaves the other format as it was', async () => {
  const node = new NodeMetrics({ baseFile: null });
  node.update('a', 1, counted().snapshot());
  const { text, contentType } = await node.render(OPEN, nodeFacts());
  assert.equal(contentType, 'application/openmetrics-text; version=1.0.0; charset=utf-8');
  assert.ok(text.endsWith('# EOF\n'));
  assert.match(text, /^# TYPE tidegate_requests counter$/m);
  assert.match(text, /^tidegate_requests_total\{service="catalogue",route="products",method="GET",code="200"\} 2$/m);
  assert.match(text, new RegExp(`^tidegate_request_duration_seconds_bucket\\{service="catalogue",route="products",le="0.01"\\} 3 # \\{trace_id="${TRACE}"\\} 0.005001 1?\\d{9}(?:\\.\\d{1,3})?$`, 'm'));
  assert.match(text, /^tidegate_request_duration_seconds_bucket\{service="catalogue",route="products",le="2\.0"\} 3$/m);
  assert.equal(text.match(/# \{/g)?.length, 1, 'at its own bucket alone');
  const plain = await node.render(TEXT, nodeFacts());
  assert.equal(plain.contentType, 'text/plain; version=0.0.4; charset=utf-8');
  assert.match(plain.text, /^# TYPE tidegate_requests_total counter$/m);
  assert.match(plain.text, /,le="2"\} 3$/m);
  assert.doesNotMatch(plain.text, /trace_id|# EOF/);
  node.close();
});

test('the newest exemplar of all workers stands, also when its worker has gone', async () => {
  const node = new NodeMetrics({ baseFile: null });
  const withTrace = (traceId: string, timeMs: number): ReturnType<WorkerMetrics['snapshot']> => {
    const snapshot = counted().snapshot();
    return { ...snapshot, routes: snapshot.routes.map((route) => ({ ...route, exemplars: route.exemplars.map((exemplar) => ({ ...exemplar, traceId, timeMs })) })) };
  };
  node.update('a', 1, withTrace('a'.repeat(32), 2000));
  node.update('b', 2, withTrace('b'.repeat(32), 1000));
  node.retire('a');
  assert.match((await node.render(OPEN, nodeFacts())).text, new RegExp(`trace_id="${'a'.repeat(32)}"\\} 0.005001 2$`, 'm'));
  node.close();
});

test('a reload that moves, removes and adds routes loses no count', () => {
  const metrics = new WorkerMetrics(SOURCES);
  const before = metrics.attach(NAMES);
  metrics.observe(before.routes[1] as number, METHODS.GET, 200, 1, 0, 0, 0);
  const after = metrics.attach({ routes: [{ service: 'new', route: 'one' }, { service: 'catalogue', route: 'open' }], targets: [] });
  metrics.observe(after.routes[1] as number, METHODS.GET, 200, 1, 0, 0, 0);
  metrics.observe(after.routes[0] as number, METHODS.GET, 200, 1, 0, 0, 0);
  // finishes on the older snapshot
  metrics.observe(before.routes[0] as number, METHODS.GET, 200, 1, 0, 0, 0);
  const { routes, services } = metrics.snapshot();
  metrics.close();
  assert.deepEqual(routes.map(({ service, route, requests }) => [service, route, requests[0]?.[2]]), [['catalogue', 'products', 1], ['catalogue', 'open', 2], ['new', 'one', 1]]);
  assert.deepEqual(services.map(({ service, gateway }) => [service, gateway[0]]), [['catalogue', 3], ['new', 1]]);
});

test('a worker tells only what has changed, the node keeps the rest, and who comes later is told everything', () => {
  const metrics = new WorkerMetrics(SOURCES);
  const slots = metrics.attach(NAMES);
  const [products, offers] = [...slots.routes] as [number, number];
  const node = new NodeMetrics({ baseFile: null });
  const told = (): string[] => {
    const changes = metrics.changes();
    node.update('a', 1, changes);
    return [...changes.routes.map(({ route }) => route), ...changes.services.map(({ service }) => `of ${service}`), ...changes.targets.map(({ target }) => target)];
  };
  assert.deepEqual(told(), []);
  metrics.observe(products, METHODS.GET, 200, 1, 0, 0, 0);
  metrics.observeUpstream(slots.targets[0] as number, 1);
  assert.deepEqual(told(), ['products', 'of catalogue', 'http://127.0.0.1:9001']);
  assert.deepEqual(told(), []);
  metrics.observe(offers, METHODS.GET, 200, 1, 0, 0, 0);
  assert.deepEqual(told(), ['open', 'of catalogue']);
  metrics.addBytes(products, 7, 0);
  assert.deepEqual(told(), ['products']);
  metrics.refuse(UNROUTED, outcomeId('route_not_found'));
  assert.deepEqual(told(), ['']);
  assert.deepEqual(node.sum.routes.map(({ route, requests, bytesIn }) => [route, requests[0]?.[2], bytesIn]), [['products', 1, 7], ['open', 1, 0], ['', undefined, 0]]);
  metrics.resend();
  assert.deepEqual(told(), ['', 'products', 'open', 'of catalogue', 'http://127.0.0.1:9001']);
  assert.equal(node.sum.routes.reduce((sum, { requests }) => sum + (requests[0]?.[2] ?? 0), 0), 2, 'the same again changes nothing');
  assert.deepEqual(node.sum.services.map(({ service, gateway }) => [service, gateway[0]]), [['catalogue', 2]]);
  metrics.close();
  node.close();
});

test('an upstream\'s status that is none of RFC 9110 is counted as it is', async () => {
  const metrics = new WorkerMetrics(SOURCES);
  const [products = 0] = metrics.attach(NAMES).routes;
  for (const status of [599, 600, 999, 999, 1000]) metrics.observe(products, METHODS.GET, status, 1, 0, 0, 0);
  metrics.close();
  const node = new NodeMetrics({ baseFile: null });
  node.update('a', 1, metrics.snapshot());
  const shown = (await lines(node)).filter((line) => line.startsWith('tidegate_requests_total{')).map((line) => line.slice(line.indexOf('code=')));
  node.close();
  assert.deepEqual(shown, ['code="599"} 1', 'code="600"} 1', 'code="999"} 2', 'code="0"} 1']);
});

test('more pairs of method and status than there is room for are still counted, under status 0', () => {
  const metrics = new WorkerMetrics(SOURCES);
  for (const method of [METHODS.GET, METHODS.POST]) {
    for (let status = 100; status < 600; status++) metrics.observe(UNROUTED, method, status, 1, 0, 0, 0);
  }
  const requests = metrics.snapshot().routes[0]?.requests ?? [];
  metrics.close();
  assert.ok(requests.length <= 512);
  assert.equal(requests.reduce((sum, [, , count]) => sum + count, 0), 1000);
});

test('a worker that has gone leaves its counts, also through a restart of the supervisor', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-metrics-'));
  try {
    const baseFile = join(folder, 'base.json');
    const first = new NodeMetrics({ baseFile });
    first.update('a', 1, counted().snapshot());
    first.retire('a');
    assert.equal(first.sum.recorded, 7);
    first.update('a', 1, counted().snapshot());
    assert.equal(first.sum.recorded, 7, 'a late snapshot of a retired stream is not counted again');
    first.close();
    const second = new NodeMetrics({ baseFile });
    second.update('b', 1, counted().snapshot());
    second.update('b', 1, counted().snapshot());
    assert.equal(second.sum.recorded, 14);
    assert.equal(second.sum.routes.find(({ route }) => route === 'products')?.bytesOut, 442);
    assert.equal(second.sum.services.find(({ service }) => service === 'catalogue')?.responseSizeSum, 442);
    second.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('what anybody was told is not taken back by a supervisor that is killed, nor by a worker that dies while there is none', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-metrics-'));
  try {
    const baseFile = join(folder, 'base.json');
    // as Datadog, Telegraf and Zabbix ask, who do not say that they scrape
    const scrape = { accept: '', scraper: null };
    const first = new NodeMetrics({ baseFile });
    first.update('a', 1, counted().snapshot());
    first.update('b', 2, counted().snapshot());
    await first.render(scrape, nodeFacts());
    first.close();
    const second = new NodeMetrics({ baseFile });
    const early = await lines(second, scrape);
    assertLines(early, ['tidegate_requests_total{service="catalogue",route="products",method="GET",code="200"} 4', 'tidegate_events_total{stage="recorded"} 14']);
    assert.ok(!early.some((line) => line.startsWith('tidegate_worker_resident_memory_bytes{')), 'of what is now nothing is known');
    second.update('a', 1, counted().snapshot());
    assert.equal(second.sum.recorded, 14);
    second.retire('b');
    assert.equal(second.sum.recorded, 14);
    second.close();
    const third = new NodeMetrics({ baseFile });
    assert.equal(third.sum.recorded, 14);
    third.close();
    const unkept = new NodeMetrics({ baseFile: join(folder, 'gone', 'base.json') });
    unkept.update('a', 1, counted().snapshot());
    assertLines(await lines(unkept, scrape), ['tidegate_events_total{stage="recorded"} 7']);
    unkept.retire('a');
    assert.equal(unkept.sum.recorded, 7);
    unkept.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
});
