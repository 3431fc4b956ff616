/** Both formats, read by those who know them: promtool, and Prometheus's own parser in it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { programPath, requires } from '../../test/harness/requires.js';
import { METHODS } from '../events/event.js';
import { Births } from './births.js';
import { Exposition } from './exposition.js';
import { nodeFacts, serviceConfig } from './node-facts.fixture.js';
import { NodeMetrics } from './node-metrics.js';
import { WorkerMetrics } from './worker-metrics.js';

const HOSTILE = 'a"b\\c\nd{e="f"} 1\n# EOF';

test('labels say exactly what they hold, whatever that is', () => {
  for (const format of ['text', 'openmetrics'] as const) {
    const text = new Exposition(format, new Births());
    text.add('tidegate_service_info', [[['shop', HOSTILE], 1]]);
    text.histogram('tidegate_gateway_duration_seconds', [[[HOSTILE], { buckets: [1], sum: Number.POSITIVE_INFINITY }]]);
    const lines = text.end().split('\n');
    const escaped = 'a\\"b\\\\c\\nd{e=\\"f\\"} 1\\n# EOF';
    assert.ok(lines.includes(`tidegate_service_info{service="shop",team="${escaped}"} 1`), lines.join('\n'));
    assert.ok(lines.includes(`tidegate_gateway_duration_seconds_bucket{service="${escaped}",le="0.0001"} 1`));
    assert.ok(lines.includes(`tidegate_gateway_duration_seconds_sum{service="${escaped}"} +Inf`));
    assert.equal(lines.filter((line) => line === '# EOF').length, format === 'openmetrics' ? 1 : 0);
    assert.equal(lines.some((line) => line === '# HELP tidegate_service_info Each service with its team, as configured (\\"\\": none). Always 1.'), format === 'openmetrics', 'quotes in HELP');
  }
});

/** promtool takes a count of days for a duration in days. */
const COUNTED_DAYS = ['tidegate_billing_days_closing', 'tidegate_billing_days_incomplete'].map((name) => `${name} use base unit "seconds" instead of "days"`);

test('promtool finds no fault with what a node tells', { skip: requires('prometheus') }, async () => {
  const metrics = new WorkerMetrics({
    recorded: () => 7, dropped: () => [['spool_full', 2]], leases: () => [['granted', 3]], connections: () => [['http', 4]], targets: () => [['catalogue', 'http://127.0.0.1:9001', true]], inFlight: () => [],
    sockets: () => ({ client: 4, upstream: 3 }),
  });
  const [slot] = metrics.attach({ routes: [{ service: 'catalogue', route: 'products' }], targets: [] }).routes;
  metrics.observe(slot as number, METHODS.GET, 200, 5000, 4900, 10, 100);
  metrics.close();
  const node = new NodeMetrics({ baseFile: null });
  node.update('a', 1, metrics.snapshot());
  const { text } = await node.render({ accept: '', scraper: null }, nodeFacts({ config: { ...nodeFacts().config, services: [serviceConfig(HOSTILE), serviceConfig('catalogue', { slo: { availability: 99.9 } })] } }));
  node.close();
  const { stdout, stderr } = spawnSync(programPath('promtool') ?? '', ['check', 'metrics'], { input: text, encoding: 'utf8' });
  assert.deepEqual(`${stdout}${stderr}`.split('\n').filter((line) => line !== ''), COUNTED_DAYS);
});
