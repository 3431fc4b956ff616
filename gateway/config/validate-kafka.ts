/** What a schema cannot say of `event_log.kafka`. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { Checker } from './checker.js';
import type { ConfigPath } from './config-problem.js';
import type { KafkaConfig } from './schema.js';
import { secretOf, type Secrets } from './secrets.js';
import { durationMs } from './units.js';
import { addressFault, shown } from './values.js';

/** Below this, a chunk is hardly ever more than a turn's rows; beyond, a report is late and nothing gained. */
const CHUNK_AGE_MS = { least: 10, most: 60_000 } as const;
/** Kafka's retention is looked at once in five minutes; one shorter than an hour is a mistake, longer than this does not fit its setting. */
const RETENTION_MS = { least: 3_600_000, most: 3650 * 86_400_000 } as const;

export function checkKafka(kafka: KafkaConfig, path: ConfigPath, secrets: Secrets, checker: Checker): void {
  if (kafka.brokers !== '') {
    const brokers = brokerList(kafka.brokers);
    for (const broker of brokers) checker.value([...path, 'brokers'], brokerFault(broker));
    if (new Set(brokers).size < brokers.length) checker.fail([...path, 'brokers'], 'config_duplicate', 'names a broker twice');
  }
  if (/^\.{1,2}$/.test(kafka.topic)) checker.fail([...path, 'topic'], 'config_value', `${shown(kafka.topic)} is no name of a topic`);
  const { replication, min_insync_replicas: insync } = kafka;
  if (typeof replication === 'number' && typeof insync === 'number' && insync > replication) {
    checker.fail([...path, 'min_insync_replicas'], 'config_value', `is more than replication (${replication}): nothing could be shipped`);
  }
  range(kafka.retention, RETENTION_MS, 'at least 1h, and no more than 3650d', [...path, 'retention'], checker);
  range(kafka.chunk_age, CHUNK_AGE_MS, 'at least 10ms, and no more than 1m', [...path, 'chunk_age'], checker);
  if (kafka.sasl !== undefined) {
    if (kafka.sasl.password === '') checker.fail([...path, 'sasl', 'password'], 'config_value', 'must not be empty');
    if (kafka.sasl.mechanism === 'plain' && kafka.tls === false && kafka.brokers !== '') {
      checker.warn([...path, 'sasl', 'mechanism'], 'sends the password readable over the network without tls');
    }
  }
  if (typeof kafka.tls === 'object') checkTls(kafka.tls, [...path, 'tls'], secrets, checker);
}

/** `a:9092, b:9092` */
export function brokerList(text: string): string[] {
  return text.split(',').map((broker) => broker.trim());
}

function brokerFault(broker: string): string | null {
  if (broker === '') return 'holds an empty place between commas';
  return addressFault(broker) ?? (broker.endsWith(':0') ? `${shown(broker)}: a broker has a port` : null);
}

function range(text: string, { least, most }: { readonly least: number; readonly most: number }, words: string, path: ConfigPath, checker: Checker): void {
  if (!(durationMs(text) >= least && durationMs(text) <= most)) checker.fail(path, 'config_value', `must be ${words}`);
}

function checkTls(tls: { readonly ca?: string; readonly cert?: string; readonly key?: string }, path: ConfigPath, secrets: Secrets, checker: Checker): void {
  if ((tls.cert === undefined) !== (tls.key === undefined)) {
    checker.fail([...path, tls.cert === undefined ? 'key' : 'cert'], 'config_reference', `needs ${tls.cert === undefined ? 'cert' : 'key'} beside it`);
    return;
  }
  for (const part of ['ca', 'cert', 'key'] as const) {
    const reference = tls[part];
    if (reference === undefined) continue;
    if (!reference.startsWith('file:')) checker.fail([...path, part], 'config_value', 'must be file:PATH');
    // what could not be read has a finding of its own
    else if (Object.hasOwn(secrets, reference) && !isPem(part, secretOf(reference, secrets))) checker.fail([...path, part], 'config_file', `${reference} is no ${part === 'key' ? 'private key' : 'certificate'} in PEM`);
  }
}

function isPem(part: 'ca' | 'cert' | 'key', text: string): boolean {
  try {
    if (part === 'key') createPrivateKey(text);
    // of several, the first
    else new X509Certificate(text);
    return true;
  } catch {
    return false;
  }
}
