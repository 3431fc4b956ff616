import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { configFolder, LISTENER } from './config-folder.fixture.js';
import { diffConfigs } from './diff.js';
import { loadConfig, type LoadResult } from './load.js';
import { redactConfig } from './redact.js';
import { secretOf } from './secrets.js';

const PEM = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';

function load(t: TestContext, clickhouse: string, environment: Readonly<Record<string, string>> = {}): LoadResult {
  const folder = configFolder(t, `${LISTENER}store:\n  clickhouse: { ${clickhouse} }\n`);
  folder.write('ca.pem', PEM);
  folder.write('password', 'from a file\n');
  folder.write('empty.pem', 'nothing\n');
  return loadConfig(folder.file, environment);
}

test('without a word about it the store is chDB', (t) => {
  const { loaded } = loadConfig(configFolder(t, LISTENER).file, {});
  assert.deepEqual(loaded?.config.store.clickhouse, { url: '', user: 'default', cluster: '', insert_quorum: 0, timeout: '30s', compression: true });
});

test('a password comes from the environment or a file, and is shown nowhere', (t) => {
  const { loaded } = load(t, 'url: "https://ch:8443", user: tidegate, password: "${CH_PASSWORD}", tls: { ca: "file:ca.pem" }', { CH_PASSWORD: 's3cret' });
  assert.ok(loaded !== null);
  assert.equal(loaded.config.store.clickhouse.password, 's3cret');
  assert.equal(secretOf('file:ca.pem', loaded.secrets), PEM.trimEnd());
  assert.equal(JSON.stringify(redactConfig(loaded.config)).includes('s3cret'), false);
  const other = load(t, 'url: "https://ch:8443", user: tidegate, password: "0ther", tls: { ca: "file:ca.pem" }').loaded;
  assert.ok(other !== null);
  assert.deepEqual(diffConfigs(loaded, other), [{ path: 'store.clickhouse.password', kind: 'changed', before: '${CH_PASSWORD}', after: '***' }]);
  const fromFile = load(t, 'url: "http://127.0.0.1:8123", password: "file:password"').loaded;
  assert.equal(secretOf(fromFile?.config.store.clickhouse.password ?? '', fromFile?.secrets ?? {}), 'from a file');
});

test('a configuration that an earlier version kept, without these keys, can still be compared', (t) => {
  const { loaded } = load(t, 'url: "http://127.0.0.1:8123"');
  assert.ok(loaded !== null);
  const { clickhouse: _, ...store } = loaded.config.store;
  assert.deepEqual(redactConfig({ ...loaded.config, store: store as typeof loaded.config.store }).store, store);
});

test('what cannot be meant is refused at its place', (t) => {
  const refused = (clickhouse: string): string[] => load(t, clickhouse).errors.map(({ line, code, path }) => `${line} ${code} ${path}`);
  for (const url of ['tcp://ch:9000', 'http://ch', 'http://user:secret@ch:8123', 'http://ch:8123/db', 'http://ch:8123?x=1', 'ch:8123', 'http://ch:99999', 'http://a:8123,', 'http://a:8123,nonsense', 'http://1.2.3.400:8123']) {
    assert.deepEqual(refused(`url: "${url}"`), ['5 config_value store.clickhouse.url'], url);
  }
  assert.equal(load(t, 'url: "http://a:8123,http://user:secret@ch:8123"').errors.some(({ message }) => message.includes('secret')), false);
  assert.deepEqual(refused('url: "http://a:8123,http://a:8123"'), ['5 config_duplicate store.clickhouse.url']);
  assert.deepEqual(refused('url: "http://a:8123", insert_quorum: 2'), ['5 config_value store.clickhouse.insert_quorum']);
  assert.deepEqual(refused('url: "https://a:8443", tls: { ca: "file:absent.pem" }'), ['5 config_file store.clickhouse.tls.ca']);
  assert.deepEqual(refused('url: "https://a:8443", tls: { ca: "file:empty.pem" }'), ['5 config_file store.clickhouse.tls.ca']);
  assert.deepEqual(refused('url: "https://a:8443", tls: { ca: "PEM" }'), ['5 config_value store.clickhouse.tls.ca']);
  assert.deepEqual(refused('timeout: 10ms'), ['5 config_value store.clickhouse.timeout']);
  assert.deepEqual(refused('cluster: "a`b"'), ['5 config_schema store.clickhouse.cluster']);
  assert.deepEqual(refused('nonsense: 1'), ['5 config_unknown_key store.clickhouse.nonsense']);
});

test('what may not be meant is warned of', (t) => {
  const warned = (clickhouse: string): string[] => {
    const { loaded, warnings } = load(t, clickhouse);
    assert.ok(loaded !== null);
    return warnings.map(({ path }) => path);
  };
  assert.deepEqual(warned('url: "http://a:8123,http://b:8123"'), ['store.clickhouse.url']);
  assert.deepEqual(warned('url: "http://a:8123,http://b:8123", cluster: tide, insert_quorum: 2'), []);
  assert.deepEqual(warned('url: "http://a:8123", password: pw'), ['store.clickhouse.url']);
  for (const here of ['127.0.0.1', 'localhost', '[::1]']) assert.deepEqual(warned(`url: "http://${here}:8123", password: pw`), [], here);
  assert.deepEqual(warned('url: "http://127.0.0.1:8123", tls: { ca: "file:ca.pem" }'), ['store.clickhouse.tls.ca']);
});
