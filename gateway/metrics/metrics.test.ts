import { test } from 'node:test';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { METHODS } from '../events/event.js';
import { outcomeId } from '../events/event.js';
import { NodeMetrics } from './node-metrics.js';
import { UNROUTED, WorkerMetrics, type MetricsSources, type SnapshotNames } from './worker-metrics.js';

const SOURCES: MetricsSources = {
  recorded: () => 7, dropped: () => [['spool_full', 2]], leases: () => [['granted', 3]],
  connections: () => [['http', 4]], targets: () => [['catalogue', 'http://127.0.0.1:9001', true]], inFlight: () => [['catalogue', 'acme', 2]],
};
const NAMES: SnapshotNames = {
  routes: [{ service: 'catalogue', route: 'products' }, { service: 'catalogue', route: 'open' }],
  targets: [{ service: 'catalogue', target: 'http://127.0.0.1:9001' }],
};

function counted(): WorkerMetrics {
  const metrics = new WorkerMetrics(SOURCES);
  const slots = metrics.attach(NAMES);
  const products = slots.routes[0] as number;
  metrics.observe(products, METHODS.GET, 200, 5000, 10, 100);
  metrics.observe(products, METHODS.GET, 200, 5001, 0, 100);
  metrics.observe(products, METHODS.POST, 429, 100, 0, 20);
  metrics.refuse(products, outcomeId('rate_limited'));
  metrics.observe(UNROUTED, METHODS.GET, 404, 50, 0, 30);
  metrics.refuse(UNROUTED, outcomeId('route_not_found'));
  metrics.observeUpstream(slots.targets[0] as number, 31_000_000);
  metrics.retry('catalogue', 'connection_refused');
  metrics.close();
  return metrics;
}

test('a scrape shows the requests of every worker together, under the public names', async () => {
  const node = new NodeMetrics({ baseFile: null });
  node.update('a', 1, counted().snapshot());
  node.update('b', 2, counted().snapshot());
  node.workers = 2;
  node.configVersion = '0123456789ab';
  node.countReload('rejected');
  node.collector = { stored: 11, quarantined: 1, gaps: 0, repeats: 0 };
  node.lagSeconds = 0.5;
  const { text, contentType } = await node.render('*/*');
  assert.match(contentType, /^text\/plain/);
  for (const line of [
    'tidegate_requests_total{service="catalogue",route="products",method="GET",code="200"} 4',
    'tidegate_requests_total{service="catalogue",route="products",method="POST",code="429"} 2',
    'tidegate_requests_total{service="",route="",method="GET",code="404"} 2',
    'tidegate_request_duration_seconds_bucket{service="catalogue",route="products",le="0.005"} 4',
    'tidegate_request_duration_seconds_bucket{service="catalogue",route="products",le="0.01"} 6',
    'tidegate_request_duration_seconds_bucket{service="catalogue",route="products",le="+Inf"} 6',
    'tidegate_request_duration_seconds_count{service="catalogue",route="products"} 6',
    'tidegate_upstream_duration_seconds_bucket{service="catalogue",target="http://127.0.0.1:9001",le="30"} 0',
    'tidegate_upstream_duration_seconds_bucket{service="catalogue",target="http://127.0.0.1:9001",le="+Inf"} 2',
    'tidegate_request_bytes_total{service="catalogue"} 20',
    'tidegate_response_bytes_total{service="catalogue"} 440',
    'tidegate_refused_total{service="catalogue",reason="rate_limited"} 2',
    'tidegate_refused_total{service="",reason="route_not_found"} 2',
    'tidegate_retries_total{service="catalogue",reason="connection_refused"} 2',
    'tidegate_connections{listener="http"} 8',
    'tidegate_target_healthy{service="catalogue",target="http://127.0.0.1:9001"} 1',
    'tidegate_events_total{stage="recorded"} 14',
    'tidegate_events_total{stage="stored"} 11',
    'tidegate_events_dropped_total{reason="spool_full"} 4',
    'tidegate_events_quarantined_total 1',
    'tidegate_event_lag_seconds 0.5',
    'tidegate_config_info{version="0123456789ab"} 1',
    'tidegate_config_reloads_total{result="rejected"} 1',
    'tidegate_quota_leases_total{result="granted"} 6',
    'tidegate_workers 2',
  ]) assert.ok(text.split('\n').includes(line), `missing: ${line}\n${text}`);
  assert.match(text, /^process_cpu_seconds_total /m);
  assert.match(text, /^nodejs_eventloop_lag_seconds /m);
});

test('OpenMetrics is given on Accept, and leaves the other format as it was', async () => {
  const node = new NodeMetrics({ baseFile: null });
  node.update('a', 1, counted().snapshot());
  const { text, contentType } = await node.render('application/openmetrics-text; version=1.0.0');
  assert.match(contentType, /^application\/openmetrics-text/);
  assert.ok(text.endsWith('# EOF\n'));
  assert.match(text, /^# TYPE tidegate_requests counter$/m);
  assert.match(text, /^tidegate_requests_total\{service="catalogue",route="products",method="GET",code="200"\} 2$/m);
  assert.match((await node.render('')).text, /^# TYPE tidegate_requests_total counter$/m);
});

test('a lag that is not known is not told', async () => {
  const node = new NodeMetrics({ baseFile: null });
  assert.doesNotMatch((await node.render('')).text, /^tidegate_event_lag_seconds/m);
  node.lagSeconds = 0;
  assert.match((await node.render('')).text, /^tidegate_event_lag_seconds 0$/m);
});

test('a reload that moves, removes and adds routes loses no count', () => {
  const metrics = new WorkerMetrics(SOURCES);
  const before = metrics.attach(NAMES);
  metrics.observe(before.routes[1] as number, METHODS.GET, 200, 1, 0, 0);
  const after = metrics.attach({ routes: [{ service: 'new', route: 'one' }, { service: 'catalogue', route: 'open' }], targets: [] });
  metrics.observe(after.routes[1] as number, METHODS.GET, 200, 1, 0, 0);
  metrics.observe(after.routes[0] as number, METHODS.GET, 200, 1, 0, 0);
  // finishes on the older snapshot
  metrics.observe(before.routes[0] as number, METHODS.GET, 200, 1, 0, 0);
  const counts = metrics.snapshot().routes.map(({ service, route, requests }) => [service, route, requests[0]?.[2]]);
  metrics.close();
  assert.deepEqual(counts, [['catalogue', 'products', 1], ['catalogue', 'open', 2], ['new', 'one', 1]]);
});

test('a worker tells only what has changed, the node keeps the rest, and who comes later is told everything', () => {
  const metrics = new WorkerMetrics(SOURCES);
  const slots = metrics.attach(NAMES);
  const [products, offers] = [...slots.routes] as [number, number];
  const node = new NodeMetrics({ baseFile: null });
  const told = (): string[] => {
    const changes = metrics.changes();
    node.update('a', 1, changes);
    return [...changes.routes.map(({ route }) => route), ...changes.targets.map(({ target }) => target)];
  };
  assert.deepEqual(told(), []);
  metrics.observe(products, METHODS.GET, 200, 1, 0, 0);
  metrics.observeUpstream(slots.targets[0] as number, 1);
  assert.deepEqual(told(), ['products', 'http://127.0.0.1:9001']);
  assert.deepEqual(told(), []);
  metrics.observe(offers, METHODS.GET, 200, 1, 0, 0);
  assert.deepEqual(told(), ['open']);
  metrics.addBytes(products, 7, 0);
  assert.deepEqual(told(), ['products']);
  metrics.refuse(UNROUTED, outcomeId('route_not_found'));
  assert.deepEqual(told(), ['']);
  assert.deepEqual(node.sum.routes.map(({ route, requests, bytesIn }) => [route, requests[0]?.[2], bytesIn]), [['products', 1, 7], ['open', 1, 0], ['', undefined, 0]]);
  metrics.resend();
  assert.deepEqual(told(), ['', 'products', 'open', 'http://127.0.0.1:9001']);
  assert.equal(node.sum.routes.reduce((sum, { requests }) => sum + (requests[0]?.[2] ?? 0), 0), 2, 'the same again changes nothing');
  metrics.close();
});

test('more pairs of method and status than there is room for are still counted, under status 0', () => {
  const metrics = new WorkerMetrics(SOURCES);
  for (const method of [METHODS.GET, METHODS.POST]) {
    for (let status = 100; status < 600; status++) metrics.observe(UNROUTED, method, status, 1, 0, 0);
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
    const second = new NodeMetrics({ baseFile });
    second.update('b', 1, counted().snapshot());
    second.update('b', 1, counted().snapshot());
    assert.equal(second.sum.recorded, 14);
    assert.equal(second.sum.routes.find(({ route }) => route === 'products')?.bytesOut, 440);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
