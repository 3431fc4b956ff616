import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { kafkaSettings } from '../events/kafka-client.js';
import { configFolder, LISTENER } from './config-folder.fixture.js';
import { loadConfig, type LoadResult } from './load.js';
import { redactConfig } from './redact.js';

function load(t: TestContext, kafka: string, environment: Readonly<Record<string, string>> = {}): LoadResult {
  const folder = configFolder(t, `${LISTENER}event_log:\n  kafka: { ${kafka} }\n`);
  folder.write('nothing.pem', 'nothing\n');
  folder.write('broken.pem', '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n');
  folder.write('password', 'from a file\n');
  return loadConfig(folder.file, environment);
}

test('without a word about it events stay in the spool', (t) => {
  const { loaded } = loadConfig(configFolder(t, LISTENER).file, {});
  assert.ok(loaded !== null);
  assert.equal(kafkaSettings(loaded.config, loaded.secrets), null);
});

test('brokers, topics and credentials reach the client; the password is shown nowhere', (t) => {
  const { loaded } = load(t, 'brokers: "a:9092, [::1]:9093", topic: events, retention: 1d, sasl: { mechanism: scram-sha-512, username: u, password: "${PW}" }', { PW: 's3cret' });
  assert.ok(loaded !== null);
  const settings = kafkaSettings(loaded.config, loaded.secrets);
  assert.deepEqual([settings?.brokers, settings?.topic, settings?.quarantineTopic, settings?.retentionMs, settings?.partitions, settings?.ssl],
    [['a:9092', '[::1]:9093'], 'events', 'events.quarantine', 86_400_000, 12, false]);
  assert.deepEqual(settings?.sasl, { mechanism: 'scram-sha-512', username: 'u', password: 's3cret' });
  assert.equal(JSON.stringify(redactConfig(loaded.config)).includes('s3cret'), false);
  const fromFile = load(t, 'brokers: "a:9092", tls: true, sasl: { mechanism: plain, username: u, password: "file:password" }').loaded;
  assert.equal(fromFile === null ? null : kafkaSettings(fromFile.config, fromFile.secrets)?.sasl?.password, 'from a file');
});

test('a certificate comes from a file', (t) => {
  const folder = configFolder(t, `${LISTENER}event_log:\n  kafka: { brokers: "a:9093", tls: { ca: "file:ca.pem" } }\n`);
  const path = join(folder.file, '..', 'ca.pem');
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', `${path}.key`, '-out', path, '-days', '1', '-subj', '/CN=ca'], { stdio: 'pipe' });
  const { loaded, errors } = loadConfig(folder.file, {});
  assert.deepEqual(errors, []);
  const ssl = loaded === null ? null : kafkaSettings(loaded.config, loaded.secrets)?.ssl;
  assert.match(typeof ssl === 'object' ? ssl?.ca ?? '' : '', /^-----BEGIN CERTIFICATE-----/);
});

test('a configuration that an earlier version kept, without these keys, can still be shown', (t) => {
  const { loaded } = load(t, 'brokers: "a:9092"');
  assert.ok(loaded !== null);
  const { kafka: _, ...log } = loaded.config.event_log;
  assert.deepEqual(redactConfig({ ...loaded.config, event_log: log as typeof loaded.config.event_log }).event_log, log);
});

test('what cannot be meant is refused at its place', (t) => {
  const refused = (kafka: string): string[] => load(t, kafka).errors.map(({ line, code, path }) => `${line} ${code} ${path}`);
  for (const brokers of ['a', 'a:', 'a:99999', 'a:0', 'http://a:9092', 'a:9092,', 'a b:9092', '1.2.3.400:9092']) {
    assert.deepEqual(refused(`brokers: "${brokers}"`), ['5 config_value event_log.kafka.brokers'], brokers);
  }
  assert.deepEqual(refused('brokers: "a:9092,a:9092"'), ['5 config_duplicate event_log.kafka.brokers']);
  assert.deepEqual(refused('topic: "a b"'), ['5 config_schema event_log.kafka.topic']);
  assert.deepEqual(refused('partitions: 0'), ['5 config_schema event_log.kafka.partitions']);
  assert.deepEqual(refused('replication: 2, min_insync_replicas: 3'), ['5 config_value event_log.kafka.min_insync_replicas']);
  assert.deepEqual(refused('replication: some'), ['5 config_schema event_log.kafka.replication']);
  assert.deepEqual(refused('retention: 1m'), ['5 config_value event_log.kafka.retention']);
  assert.deepEqual(refused('chunk_age: 1ms'), ['5 config_value event_log.kafka.chunk_age']);
  assert.deepEqual(refused('tls: { cert: "file:broken.pem" }'), ['5 config_reference event_log.kafka.tls.cert']);
  assert.deepEqual(refused('tls: { ca: "file:absent.pem" }'), ['5 config_file event_log.kafka.tls.ca']);
  assert.deepEqual(refused('tls: { ca: "file:nothing.pem" }'), ['5 config_file event_log.kafka.tls.ca']);
  assert.deepEqual(refused('tls: { ca: "file:broken.pem" }'), ['5 config_file event_log.kafka.tls.ca']);
  assert.deepEqual(refused('tls: { ca: "PEM" }'), ['5 config_value event_log.kafka.tls.ca']);
  assert.deepEqual(refused('sasl: { mechanism: plain, username: u, password: "" }'), ['5 config_value event_log.kafka.sasl.password']);
  assert.deepEqual(refused('sasl: { mechanism: gssapi, username: u, password: p }'), ['5 config_schema event_log.kafka.sasl.mechanism']);
  assert.deepEqual(refused('nonsense: 1'), ['5 config_unknown_key event_log.kafka.nonsense']);
});

test('a password that goes readable over the network is warned of', (t) => {
  const warned = (kafka: string): string[] => load(t, kafka).warnings.map(({ path }) => String(path));
  assert.deepEqual(warned('brokers: "a:9092", sasl: { mechanism: plain, username: u, password: p }'), ['event_log.kafka.sasl.mechanism']);
  assert.deepEqual(warned('brokers: "a:9092", tls: true, sasl: { mechanism: plain, username: u, password: p }'), []);
});
