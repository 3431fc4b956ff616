/**
 * The topics of the log: made where they are missing, and looked at where they are there, so that none has settings under which events go before they
 * are read, or are fewer copies than was asked for. What is safer than asked for is left.
 */
import { setTimeout as pause } from 'node:timers/promises';
import kafkajs, { type Admin, type ITopicMetadata } from 'kafkajs';
import { TidegateError } from '../../../errors/tidegate-error.js';
import { MAX_MESSAGE_BYTES } from '../chunk.js';
import { kafkaFailure, type KafkaSettings } from '../kafka-client.js';
import type { SpoolLog } from '../spool-log.js';
import { AHEAD_NAMES, BROKER_TIME, useBrokerTime } from './topic-time.js';

const { ConfigResourceTypes } = kafkajs;

export interface LogTopics {
  /** Of the topic as it is. */
  readonly partitions: number;
  /** Kafka's own random name of the cluster. */
  readonly cluster: string;
  /** Whether Kafka keeps messages by its own clock (topic-time.ts). */
  readonly brokerTime: boolean;
  /** How far ahead of Kafka's clock a sender's time is taken, ms; null: the topic does not say. */
  readonly aheadTakenMs: number | null;
}

/** Poison is rare, and is looked at by people. */
const QUARANTINE_PARTITIONS = 1;
const QUARANTINE_LEAST_RETENTION_MS = 30 * 86_400_000;

/** @throws TidegateError kafka_topic_settings, kafka_topic_refused, and what kafkaFailure knows */
export async function prepareTopics(admin: Admin, settings: KafkaSettings, log: SpoolLog): Promise<LogTopics> {
  try {
    const { clusterId, brokers } = await describeCluster(admin, settings);
    const wanted = [
      wantedTopic(settings.topic, settings.partitions, settings.retentionMs, settings, brokers.length),
      wantedTopic(settings.quarantineTopic, QUARANTINE_PARTITIONS, Math.max(settings.retentionMs, QUARANTINE_LEAST_RETENTION_MS), settings, brokers.length),
    ];
    await createMissing(admin, wanted, log);
    const topics = await topicsOf(admin, wanted.map(({ name }) => name));
    const times = new Map<string, TopicTime>();
    for (const topic of wanted) {
      const values = await verify(admin, topic, topics.find(({ name }) => name === topic.name)?.partitions ?? []);
      times.set(topic.name, await timeOf(admin, topic.name, values, log));
    }
    const time = times.get(settings.topic) ?? { brokerTime: false, aheadTakenMs: null };
    return { partitions: topics.find(({ name }) => name === settings.topic)?.partitions.length ?? 0, cluster: clusterId, ...time };
  } catch (error) {
    throw kafkaFailure(error);
  }
}

/**
 * A listener that wants SASL tells anybody which versions it speaks, and closes the connection at the first question after that, without a word. One that has died
 * meanwhile does not get so far again.
 */
async function describeCluster(admin: Admin, { sasl }: KafkaSettings): ReturnType<Admin['describeCluster']> {
  try {
    return await admin.describeCluster();
  } catch (error) {
    if (sasl !== null || !isClosed(error)) throw error;
  }
  await admin.connect();
  try {
    return await admin.describeCluster();
  } catch (error) {
    if (!isClosed(error)) throw error;
    throw new TidegateError('kafka_unauthenticated', `${error.broker} closes connections that show no credentials, as brokers do that want SASL`, { cause: error });
  }
}

/** kafkajs's types do not have its class. */
function isClosed(error: unknown): error is Error & { readonly broker: string } {
  return error instanceof Error && error.name === 'KafkaJSConnectionClosedError';
}

interface WantedTopic {
  readonly name: string;
  readonly partitions: number;
  readonly replication: number;
  readonly entries: readonly WantedEntry[];
}

interface WantedEntry {
  readonly name: string;
  readonly value: string;
  /** Whether a topic that says this instead is as good. */
  readonly fits: (value: string) => boolean;
}

const AUTO_REPLICATION = 3;
const WAIT_MS = 200;
const MOST_WAITS = 25;

function wantedTopic(name: string, partitions: number, retentionMs: number, settings: KafkaSettings, brokers: number): WantedTopic {
  const replication = settings.replication === 'auto' ? Math.min(AUTO_REPLICATION, Math.max(1, brokers)) : settings.replication;
  const insync = settings.minInsyncReplicas === 'auto' ? Math.max(1, replication - 1) : settings.minInsyncReplicas;
  const atLeast = (least: number) => (value: string): boolean => Number(value) >= least;
  return {
    name, partitions, replication,
    entries: [
      // the key is the stream: a compacted topic would keep a stream's last chunk alone
      { name: 'cleanup.policy', value: 'delete', fits: (value) => value === 'delete' },
      { name: 'retention.ms', value: String(retentionMs), fits: (value) => value === '-1' || Number(value) >= retentionMs },
      { name: 'retention.bytes', value: '-1', fits: (value) => value === '-1' },
      // a replica that lacks what was acknowledged would become leader, and it would be gone
      { name: 'unclean.leader.election.enable', value: 'false', fits: (value) => value === 'false' },
      { name: 'min.insync.replicas', value: String(insync), fits: atLeast(insync) },
      { name: 'max.message.bytes', value: String(MAX_MESSAGE_BYTES), fits: atLeast(MAX_MESSAGE_BYTES) },
    ],
  };
}

async function createMissing(admin: Admin, wanted: readonly WantedTopic[], log: SpoolLog): Promise<void> {
  const present = new Set(await admin.listTopics());
  const missing = wanted.filter(({ name }) => !present.has(name));
  if (missing.length === 0) return;
  const made = await admin.createTopics({
    // kafkajs gives up where a broker has not heard of the topic yet; topicsOf waits
    waitForLeaders: false,
    topics: missing.map(({ name, partitions, replication, entries }) => ({
      topic: name, numPartitions: partitions, replicationFactor: replication, configEntries: [...entries.map((entry) => ({ name: entry.name, value: entry.value })), BROKER_TIME],
    })),
  });
  // not: another node was quicker
  if (made) log.info({ topics: missing.map(({ name, partitions, replication }) => ({ name, partitions, replication })) }, 'topics were made in Kafka');
}

/** A topic just made is not known to every broker at once, nor has it leaders. */
async function topicsOf(admin: Admin, names: readonly string[]): Promise<readonly ITopicMetadata[]> {
  for (let waits = 0; ; waits++) {
    try {
      return (await admin.fetchTopicMetadata({ topics: [...names] })).topics;
    } catch (error) {
      const type = error instanceof kafkajs.KafkaJSProtocolError ? error.type : '';
      if (waits === MOST_WAITS || (type !== 'UNKNOWN_TOPIC_OR_PARTITION' && type !== 'LEADER_NOT_AVAILABLE')) throw error;
      await pause(WAIT_MS);
    }
  }
}

/** @returns what is in force of what was asked about, by name. @throws TidegateError kafka_topic_settings */
async function verify(admin: Admin, topic: WantedTopic, partitions: readonly { readonly replicas: readonly number[] }[]): Promise<ReadonlyMap<string, string>> {
  const faults: string[] = [];
  if (partitions.length < topic.partitions) faults.push(`${partitions.length} partitions, should be ${topic.partitions} or more`);
  const fewest = Math.min(...partitions.map(({ replicas }) => replicas.length));
  if (fewest < topic.replication) faults.push(`replication ${fewest}, should be ${topic.replication} or more`);
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false, resources: [{ type: ConfigResourceTypes.TOPIC, name: topic.name, configNames: [...topic.entries.map(({ name }) => name), BROKER_TIME.name, ...AHEAD_NAMES] }],
  });
  const values = new Map((resources[0]?.configEntries ?? []).map(({ configName, configValue }) => [configName, configValue]));
  for (const { name, value, fits } of topic.entries) {
    const is = values.get(name);
    if (is !== undefined && !fits(is)) faults.push(`${name}=${is}, should be ${value}`);
  }
  const insync = Number(values.get('min.insync.replicas'));
  if (insync > fewest) faults.push(`min.insync.replicas=${insync} of ${fewest} replicas: nothing can be written`);
  if (faults.length > 0) throw new TidegateError('kafka_topic_settings', `topic ${topic.name}: ${faults.join('; ')}`);
  return values;
}

type TopicTime = Pick<LogTopics, 'brokerTime' | 'aheadTakenMs'>;

async function timeOf(admin: Admin, topic: string, values: ReadonlyMap<string, string>, log: SpoolLog): Promise<TopicTime> {
  const aheadTakenMs = Number(AHEAD_NAMES.map((name) => values.get(name)).find((value) => value !== undefined) ?? Number.NaN);
  return {
    brokerTime: values.get(BROKER_TIME.name) === BROKER_TIME.value || await useBrokerTime(admin, topic, log),
    aheadTakenMs: Number.isSafeInteger(aheadTakenMs) ? aheadTakenMs : null,
  };
}
