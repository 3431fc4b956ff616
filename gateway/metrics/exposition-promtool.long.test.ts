/** The text format, read by one who knows it: promtool, and Prometheus's own parser in it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { programPath, requires } from '../../test/harness/requires.js';
import { METHODS } from '../events/event.js';
import { nodeFacts, serviceConfig } from './node-facts.fixture.js';
import { NodeMetrics } from './node-metrics.js';
import { WorkerMetrics } from './worker-metrics.js';

const HOSTILE = 'a"b\\c\nd{e="f"} 1\n# EOF';

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
