/**
 * The one place that makes a client of Kafka from the configuration, for the shipper and for the collector, and the one that says in the words of
 * errors/codes.ts what went wrong with it.
 */
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import kafkajs, { type Kafka as KafkaClient, type KafkaConfig as ClientOptions, type logCreator } from 'kafkajs';
import type { ErrorCode } from '../../errors/codes.js';
import { TidegateError } from '../../errors/tidegate-error.js';
import type { Config, KafkaConfig } from '../config/schema.js';
import { secretOf, type Secrets } from '../config/secrets.js';
import { durationMs } from '../config/units.js';
import { brokerList } from '../config/validate-kafka.js';
import type { SpoolLog } from './spool-log.js';

// a CommonJS package: its names are not all found by import
const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = kafkajs;

/** How the log in Kafka is reached, and what it should be like. Plain data. */
export interface KafkaSettings {
  readonly brokers: readonly string[];
  readonly topic: string;
  /** For what could not be read. */
  readonly quarantineTopic: string;
  readonly group: string;
  /** Of a topic that is made here; there may be more by now. */
  readonly partitions: number;
  readonly replication: number | 'auto';
  readonly minInsyncReplicas: number | 'auto';
  readonly retentionMs: number;
  readonly chunkEvents: number;
  readonly chunkAgeMs: number;
  /** Stands in the brokers' logs and quotas. */
  readonly clientId: string;
  readonly ssl: boolean | { readonly ca?: string; readonly cert?: string; readonly key?: string };
  readonly sasl: { readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'; readonly username: string; readonly password: string } | null;
}

/** Null: events stay in the spool. */
export function kafkaSettings(config: Config, secrets: Secrets): KafkaSettings | null {
  const { kafka } = config.event_log;
  if (kafka.brokers === '') return null;
  return {
    brokers: brokerList(kafka.brokers), topic: kafka.topic, quarantineTopic: `${kafka.topic}.quarantine`, group: kafka.group, partitions: kafka.partitions,
    replication: kafka.replication, minInsyncReplicas: kafka.min_insync_replicas, retentionMs: durationMs(kafka.retention),
    chunkEvents: kafka.chunk_events, chunkAgeMs: durationMs(kafka.chunk_age), clientId: `tidegate-${config.node ?? ''}`,
    ssl: tlsOf(kafka, secrets), sasl: kafka.sasl === undefined ? null : { ...kafka.sasl, password: secretOf(kafka.sasl.password, secrets) },
  };
}

function tlsOf({ tls }: KafkaConfig, secrets: Secrets): KafkaSettings['ssl'] {
  if (typeof tls === 'boolean') return tls;
  return Object.fromEntries(Object.entries(tls).map(([part, reference]) => [part, secretOf(reference, secrets)]));
}

/** A message's time: it has none. kafkajs would put its own. https://kafka.apache.org/documentation/#recordbatch */
export const NO_TIME = '-1';
const CONNECT_WITHIN_MS = 5000;
/** Of a request. Kafka's own wait for replicas is shorter, so that its word of them comes first. */
export const REQUEST_WITHIN_MS = 12_000;
/** Of what fails at once, such as a broker that refuses the connection: as often as it takes to have asked each. What fails still is for the caller to try again. */
const RETRY = { initialRetryTime: 100, maxRetryTime: 1000, multiplier: 2, factor: 0.2 } as const;

/**
 * A client; nothing connects before it is told to. `changes`: kafkajs's options in place of these.
 *
 * Each asks any of the brokers first: kafkajs leaves one that takes connections and does not answer (a stopped process) neither for the next question nor for
 * the next client, which would begin at the first of the list again. So who fails with one client makes another, until it meets one that answers.
 */
export function kafkaClient(settings: KafkaSettings, log: SpoolLog, changes: Partial<ClientOptions> = {}): KafkaClient {
  CompressionCodecs[CompressionTypes.GZIP] = () => GZIP;
  const { ssl, sasl } = settings;
  const options: ClientOptions = {
    clientId: settings.clientId, brokers: fromAnyOn(settings.brokers), connectionTimeout: CONNECT_WITHIN_MS, authenticationTimeout: CONNECT_WITHIN_MS, requestTimeout: REQUEST_WITHIN_MS,
    retry: { ...RETRY, retries: Math.max(2, settings.brokers.length) },
    ssl: typeof ssl === 'boolean' ? ssl : { ...ssl, ...(ssl.ca === undefined ? {} : { ca: [ssl.ca] }) },
    logLevel: logLevel.INFO, logCreator: pinoOf(log),
    ...changes,
  };
  // a union of one shape a mechanism, which an object with a union inside does not fit
  if (sasl !== null) options.sasl = sasl as NonNullable<ClientOptions['sasl']>;
  return new Kafka(options);
}

/** The same in the same order, the last followed by the first. */
function fromAnyOn(brokers: readonly string[]): string[] {
  const first = Math.floor(Math.random() * brokers.length);
  return [...brokers.slice(first), ...brokers.slice(0, first)];
}

/**
 * Measured with Node 20.20 on chunks of 1,000 events by columns, bytes an event and CPU time in a thread of its own (200 apps x 20 routes | 4 apps x 4
 * routes): level 1 12.5 and 0.25 us | 6.7 and 0.21; level 3 12.4 and 0.28 | 6.6 and 0.25; level 6 12.2 and 0.46 | 6.4 and 0.37.
 */
const GZIP_LEVEL = 3;
/**
 * Of what gunzip gives out at once: with Node's own, 16 KiB, a message set of 1.5 MB takes a hundred hops between threads. Measured with Node 20.20, us of
 * CPU an event in chunks of 1,000 by rows, 200 apps x 20 routes: 16 KiB 0.66, 64 KiB 0.38, 256 KiB 0.29, 1 MiB 0.28.
 */
const GUNZIP_BYTES = 256 * 1024;
const GZIP = {
  compress: (encoder: { readonly buffer: Buffer }): Promise<Buffer> => promisify(gzip)(encoder.buffer, { level: GZIP_LEVEL }),
  decompress: (bytes: Buffer): Promise<Buffer> => promisify(gunzip)(bytes, { chunkSize: GUNZIP_BYTES }),
};

/**
 * kafkajs's lines, in the program's log. Its errors are warnings here: it tries most of them again, and who uses it says what has failed for good. What it says in
 * the ordinary course of things is left out, and so are two warnings that are meant for others: limited retries of an idempotent producer (see KafkaSender)
 * and timers of Node 24.
 */
function pinoOf(log: SpoolLog): logCreator {
  return () => ({ namespace, level, log: { message, timestamp: _timestamp, logger: _logger, stack: _stack, ...fields } }) => {
    if (level > logLevel.WARN || message.startsWith('Limiting retries')) return;
    log.warn({ kafka: { namespace, ...fields } }, `kafka: ${message}`);
  };
}

/** What the failure comes to: a TidegateError with one of the `kafka_` codes. Never throws. */
export function kafkaFailure(error: unknown): TidegateError {
  if (error instanceof TidegateError) return error;
  const causes = causesOf(error);
  const detail = causes.map(({ message }) => message).find((message) => message !== '') ?? String(error);
  for (const cause of causes) {
    // thrown by what kafkajs calls, and wrapped by it
    if (cause instanceof TidegateError) return cause;
    const code = codeOf(cause);
    if (code !== null) return new TidegateError(code, atBroker(cause), { cause: error });
  }
  return new TidegateError('kafka_failed', detail, { cause: error });
}

interface Failure { readonly name: string; readonly message: string; readonly type?: unknown; readonly code?: unknown; readonly broker?: unknown }

/** A connection that was closed is all that kafkajs says of a broker that wanted TLS or SASL: at least which. */
function atBroker({ message, broker }: Failure): string {
  return typeof broker !== 'string' || message.includes(broker) ? message : `${broker}: ${message}`;
}

/** kafkajs wraps its errors in others: the innermost knows best. */
function causesOf(error: unknown): Failure[] {
  const causes: Failure[] = [];
  for (let at = error; at instanceof Error && causes.length < 8; at = at.cause ?? (at as { errors?: unknown[] }).errors?.[0]) causes.unshift(at);
  return causes;
}

/** By the protocol's names of errors. https://kafka.apache.org/protocol#protocol_error_codes */
const PROTOCOL_CODES: Readonly<Record<string, ErrorCode>> = {
  SASL_AUTHENTICATION_FAILED: 'kafka_unauthenticated', UNSUPPORTED_SASL_MECHANISM: 'kafka_unauthenticated', ILLEGAL_SASL_STATE: 'kafka_unauthenticated',
  TOPIC_AUTHORIZATION_FAILED: 'kafka_forbidden', CLUSTER_AUTHORIZATION_FAILED: 'kafka_forbidden', GROUP_AUTHORIZATION_FAILED: 'kafka_forbidden',
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: 'kafka_forbidden',
  UNSUPPORTED_VERSION: 'kafka_version', UNSUPPORTED_FOR_MESSAGE_FORMAT: 'kafka_version',
  NOT_ENOUGH_REPLICAS: 'kafka_too_few_replicas', NOT_ENOUGH_REPLICAS_AFTER_APPEND: 'kafka_too_few_replicas',
  INVALID_TIMESTAMP: 'kafka_clock_off',
  INVALID_REPLICATION_FACTOR: 'kafka_topic_refused', INVALID_PARTITIONS: 'kafka_topic_refused', POLICY_VIOLATION: 'kafka_topic_refused', INVALID_CONFIG: 'kafka_topic_refused',
};

const NAME_CODES: Readonly<Record<string, ErrorCode>> = {
  KafkaJSSASLAuthenticationError: 'kafka_unauthenticated',
  KafkaJSServerDoesNotSupportApiKey: 'kafka_version', KafkaJSUnsupportedMagicByteInMessageSet: 'kafka_version',
  KafkaJSConnectionError: 'kafka_unreachable', KafkaJSConnectionClosedError: 'kafka_unreachable', KafkaJSRequestTimeoutError: 'kafka_unreachable',
  KafkaJSBrokerNotFound: 'kafka_unreachable', KafkaJSNoBrokerAvailableError: 'kafka_unreachable',
};

/** Of Node's tls: ours and OpenSSL's refusals of certificates, and what an answer looks like that is no TLS. */
const TLS_CODE = /^(?:ERR_TLS_|ERR_SSL_|CERT_|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_|HOSTNAME_MISMATCH|INVALID_CA|ERR_OSSL|EPROTO)/;

function codeOf({ name, type, code, message }: Failure): ErrorCode | null {
  if (typeof code === 'string' && TLS_CODE.test(code)) return 'kafka_tls';
  if (typeof type === 'string' && Object.hasOwn(PROTOCOL_CODES, type)) return PROTOCOL_CODES[type] ?? null;
  // the only word of kafkajs for a server that answers no version of the first question
  if (message === 'API Versions not supported') return 'kafka_version';
  // and for one that takes connections and has not answered that question
  if (message === 'Broker not connected') return 'kafka_unreachable';
  return NAME_CODES[name] ?? null;
}
