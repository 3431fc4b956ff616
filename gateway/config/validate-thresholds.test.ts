import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { configFolder, LISTENER } from './config-folder.fixture.js';
import { loadConfig, type LoadResult } from './load.js';

function load(t: TestContext, lines: string): LoadResult {
  const folder = configFolder(t, `${LISTENER}services:
  - name: shop
    upstream: { targets: [{ url: "http://127.0.0.1:9001" }] }
    routes: [{ name: all }]
${lines}`);
  return loadConfig(folder.file, {});
}

test('a service has thresholds for its alerts, whether it says so or not', (t) => {
  const [plain] = load(t, '').loaded?.config.services ?? [];
  assert.deepEqual([plain?.team, plain?.slo, plain?.alerts], [undefined, {}, { error_ratio: 0.1, server_error_ratio: 0.05, latency_p95: '1s', latency_p99: '2s' }]);
  const { loaded, errors } = load(t, '    team: storefront\n    slo: { availability: 99.95, latency: { threshold: 0.5s } }\n    alerts: { error_ratio: 0, latency_p95: 250ms }\n');
  assert.deepEqual(errors, []);
  const [service] = loaded?.config.services ?? [];
  assert.deepEqual([service?.team, service?.slo, service?.alerts], [
    'storefront', { availability: 99.95, latency: { threshold: '0.5s', share: 99 } }, { error_ratio: 0, server_error_ratio: 0.05, latency_p95: '250ms', latency_p99: '2s' },
  ]);
});

test('a threshold that no alert could compare with is refused, with those that can be', (t) => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ['slo: { latency: { threshold: 300ms } }', 'services[0].slo.latency.threshold', /is no bound of a bucket.*: 5ms, 10ms, 25ms, 50ms, 75ms, 100ms, 250ms, 500ms, 750ms, 1s, 2s, 2\.5s, 5s, 7\.5s, 10s, 30s$/],
    ['alerts: { latency_p95: 1.5s }', 'services[0].alerts.latency_p95', /is no bound of a bucket/], ['alerts: { latency_p99: 1m }', 'services[0].alerts.latency_p99', /is no bound of a bucket/],
    ['slo: { availability: 100 }', 'services[0].slo.availability', /must be < 100/], ['slo: { availability: 0 }', 'services[0].slo.availability', /must be > 0/],
    ['slo: { latency: { share: 99 } }', 'services[0].slo.latency.threshold', /is missing/], ['slo: { latency: { threshold: 1s, share: 100 } }', 'services[0].slo.latency.share', /must be < 100/],
    ['alerts: { error_ratio: 5 }', 'services[0].alerts.error_ratio', /must be <= 1/], ['alerts: { error_rate: 0.1 }', 'services[0].alerts.error_rate', /did you mean error_ratio\?/],
    ['team: Shop Front', 'services[0].team', /must be a name/],
  ];
  for (const [line, path, message] of cases) {
    const { errors } = load(t, `    ${line}\n`);
    assert.equal(errors.length, 1, `${line}: ${JSON.stringify(errors)}`);
    assert.ok(errors[0] !== undefined && path.startsWith(errors[0].path), `${line}: ${errors[0]?.path}`);
    assert.match(errors[0].message, message, line);
  }
});
