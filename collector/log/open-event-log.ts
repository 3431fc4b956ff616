/** The one place that chooses the log: Kafka where brokers are named, else the spool on this machine. */
import { join } from 'node:path';
import type { SpoolLog } from '../../gateway/events/spool-log.js';
import type { Store } from '../store/store.js';
import type { EventLog } from './event-log.js';
import { KafkaEventLog } from './kafka/kafka-event-log.js';
import type { KafkaLogOptions } from './kafka/kafka-session.js';
import type { RangeLimits } from './picked-rows.js';
import { finishSpool } from './spool/collect.js';
import { SpoolEventLog } from './spool/spool-event-log.js';

export interface EventLogOptions {
  /** Absolute. */
  readonly dataDir: string;
  readonly store: Store;
  readonly log: SpoolLog;
  readonly limits?: RangeLimits;
  /** Null: the spool. */
  readonly kafka: KafkaLogOptions | null;
}

/** @throws store_without_manifest; store_behind_manifest; store_failed; what the file system says */
export async function openEventLog({ dataDir, kafka, ...shared }: EventLogOptions): Promise<EventLog> {
  const collectorDir = join(dataDir, 'collector');
  const spoolDir = join(dataDir, 'spool');
  if (kafka === null) return SpoolEventLog.open({ ...shared, collectorDir, spoolDir });
  await finishSpool({ ...shared, collectorDir, spoolDir });
  return KafkaEventLog.open({ ...shared, collectorDir, kafka });
}
