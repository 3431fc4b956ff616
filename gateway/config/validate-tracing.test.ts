import assert from 'node:assert/strict';
import { test } from 'node:test';
import { configFolder, LISTENER } from './config-folder.fixture.js';
import { diffConfigs } from './diff.js';
import { loadConfig } from './load.js';
import { redactConfig } from './redact.js';
import { workerConfig } from './worker-config.js';

test('tracing is off until a receiver is named, and then as OpenTelemetry would have it', (t) => {
  const { loaded } = loadConfig(configFolder(t, LISTENER).file, {});
  assert.ok(loaded !== null);
  assert.deepEqual(loaded.config.tracing, { otlp: { url: '', headers: {} }, ratio: 0.01, always: { errors: false }, propagation: ['tracecontext'], continue: 'anyone' });
  assert.equal(workerConfig(loaded, null).config.tracing, null);
  const environment = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318', OTEL_TRACES_SAMPLER_ARG: '0.25' };
  const { file } = configFolder(t, `${LISTENER}tracing: { otlp: { url: "\${OTEL_EXPORTER_OTLP_ENDPOINT:-}" }, ratio: "\${OTEL_TRACES_SAMPLER_ARG:-1}", always: { errors: true, slower_than: 1.5s } }\n`);
  const { loaded: named, errors } = loadConfig(file, environment);
  assert.deepEqual(errors, []);
  assert.deepEqual([named?.config.tracing.otlp.url, named?.config.tracing.ratio, named?.config.tracing.always], ['http://127.0.0.1:4318', 0.25, { errors: true, slower_than: '1.5s' }]);
});

test('a receiver\'s credential is told to no worker, and shown nowhere', (t) => {
  const folder = configFolder(t, `${LISTENER}tracing: { otlp: { url: "https://otlp.example", headers: { Authorization: "file:otlp.key", X-Team: "\${TEAM_KEY}", X-Plain: "plain-credential" }, tls: { ca: "file:ca.pem" } }, service_name: edge }\n`);
  folder.write('otlp.key', 'Bearer from-a-file\n');
  folder.write('ca.pem', '-----BEGIN CERTIFICATE-----\n');
  const result = loadConfig(folder.file, { TEAM_KEY: 'from-the-environment' });
  assert.deepEqual(result.errors, []);
  assert.ok(result.loaded !== null);
  assert.deepEqual(workerConfig(result.loaded, null).config.tracing, { ratio: 0.01, always: { errors: false }, propagation: ['tracecontext'], continue: 'anyone' });
  assert.doesNotMatch(JSON.stringify(workerConfig(result.loaded, null)), /from-a-file|from-the-environment|plain-credential|otlp\.example/);
  assert.deepEqual(redactConfig(result.loaded.config).tracing.otlp.headers, { 'Authorization': 'file:otlp.key', 'X-Team': '***', 'X-Plain': '***' });
  folder.write('otlp.key', 'Bearer another\n');
  const after = loadConfig(folder.file, { TEAM_KEY: 'from-the-environment' }).loaded;
  assert.ok(after !== null && after.version !== result.loaded.version, 'a key that is changed in its file is a new configuration');
  assert.deepEqual(diffConfigs(result.loaded, after), [{ path: 'file:otlp.key', kind: 'changed', before: '***', after: '***' }]);
});

test('what cannot be is refused with its place', (t) => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['otlp: { url: "127.0.0.1:4318" }', /otlp\.url.*must be a URL/], ['otlp: { url: "grpc://a:4317" }', /otlp\.url.*must be a URL/], ['otlp: { url: "http://a:4317" }', /otlp\.url.*gRPC.*4318/],
    ['otlp: { url: "http://u:p@a:4318" }', /otlp\.url.*stand in headers/], ['otlp: { url: "http://a:4318/?x=1" }', /otlp\.url.*query/],
    ['otlp: { url: "http://a:4318", timeout: 5m }', /otlp\.timeout.*1m/], ['otlp: { url: "http://a:4318", compression: zstd }', /otlp\.compression/],
    ['otlp: { headers: { "a b": c } }', /headers.*not the name of a header field/], ['otlp: { headers: { Host: c } }', /headers.*set by the exporter/], ['otlp: { headers: { X-A: "a\\r\\nX-B: c" } }', /headers.*no header field can have/],
    ['otlp: { headers: { X-A: "file:missing" } }', /headers.*missing cannot be read/], ['otlp: { tls: { ca: "ca.pem" } }', /tls\.ca.*file:PATH/],
    ['ratio: 1.5', /ratio.*<= 1/], ['ratio: -1', /ratio.*>= 0/], ['always: { slower_than: 0s }', /slower_than.*1ms/], ['always: { errors: sometimes }', /always\.errors/],
    ['propagation: []', /propagation/], ['propagation: [w3c]', /propagation/], ['propagation: [b3, b3]', /propagation/], ['continue: everyone', /continue/], ['sampler: 1', /sampler/],
  ];
  for (const [line, message] of cases) {
    const { errors } = loadConfig(configFolder(t, `${LISTENER}tracing:\n  ${line}\n`).file, {});
    assert.equal(errors.length, 1, `${line}: ${JSON.stringify(errors)}`);
    const [error] = errors;
    assert.match(`${error?.path ?? ''} ${error?.message ?? ''}`, message, line);
    assert.deepEqual([error?.line, (error?.column ?? 0) > 1], [5, true], line);
  }
  const { warnings } = loadConfig(configFolder(t, `${LISTENER}tracing: { otlp: { url: "http://otlp.example:4318", headers: { X-A: b } }, continue: trusted_proxies }\n`).file, {});
  assert.deepEqual(warnings.map(({ path }) => path).sort(), ['tracing.continue', 'tracing.otlp.url']);
});
