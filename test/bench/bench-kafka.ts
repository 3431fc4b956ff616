/** A real Kafka of one broker on the client's core, in a process of its own, and what its clients need to know of it. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { KafkaSettings } from '../../gateway/events/kafka-client.js';
import { eventually } from '../harness/deadline.js';
import { kafkaJars } from '../harness/kafka.js';
import { programPath } from '../harness/requires.js';
import { freePorts } from '../harness/tidegate.js';
import { nodeProgram } from './peers/node-proxies.js';
import type { Processes } from './processes.js';
import { CLIENT_CORE } from './request-path.js';

export interface BenchKafka {
  readonly broker: string;
  /** Bytes of the segments of all partitions of the topic: what has come over the wire, as it is kept. */
  readonly logBytes: (topic: string) => number;
}

/** Null: it can run here; else what is missing. */
export function kafkaMissing(): string | null {
  const missing = [...(programPath('java') === null ? ['java'] : []), ...(kafkaJars() === null ? ['Kafka\'s jars'] : [])];
  return missing.length === 0 ? null : missing.join(', ');
}

/** It ends, and its own folder goes, when the process that is started here is told to end. */
export async function startKafka(processes: Processes, folder: string): Promise<BenchKafka> {
  const [port] = await freePorts(1) as [number];
  const dataDir = join(folder, 'kafka');
  const ready = join(folder, 'kafka-is-ready');
  const running = processes.spawn('kafka', process.execPath, [...nodeProgram(import.meta.url, 'kafka-run'), String(port), dataDir, ready], { core: CLIENT_CORE });
  await running.until(eventually('Kafka', () => existsSync(ready) || null, 60_000));
  return {
    broker: `127.0.0.1:${port}`,
    logBytes: (topic) => (readdirSync(dataDir, { recursive: true }) as string[]).filter((name) => name.startsWith(`${topic}-`) && name.endsWith('.log'))
      .reduce((sum, name) => sum + statSync(join(dataDir, name)).size, 0),
  };
}

/** As an unchanged configuration has them. */
export function settingsOf(broker: string, topic: string): KafkaSettings {
  return {
    brokers: [broker], topic, quarantineTopic: `${topic}.quarantine`, group: `${topic}-collector`, partitions: 12, replication: 'auto', minInsyncReplicas: 'auto',
    retentionMs: 7 * 86_400_000, chunkEvents: 1000, chunkAgeMs: 200, clientId: 'tidegate-bench', ssl: false, sasl: null,
  };
}
