/**
 * Moves the history of a node whose store is chDB to a ClickHouse server. First what its collector had begun is finished in chDB: an insert that is made again
 * after the move would find a server that remembers no token of it, and count twice.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { TidegateError } from '../errors/tidegate-error.js';
import { kafkaClient, kafkaFailure, type KafkaSettings } from '../gateway/events/kafka-client.js';
import { ProcessLock } from '../gateway/events/process-lock.js';
import type { SpoolLog } from '../gateway/events/spool-log.js';
import { isBegun } from './log/kafka/intent.js';
import { finishSpool } from './log/spool/collect.js';
import { ClickHouseStore, type ClickHouseConnection } from './store/clickhouse-store.js';
import { copyStore, type CopyOptions, type CopyResult } from './store/copy-store.js';
import { openStore } from './store/open-store.js';

export interface CopyHistoryOptions extends Pick<CopyOptions, 'signal' | 'progress'> {
  /** Absolute. */
  readonly dataDir: string;
  readonly clickhouse: ClickHouseConnection;
  /** Null: the node's log is the spool. */
  readonly kafka: KafkaSettings | null;
  readonly log: SpoolLog;
}

/** For how long the server may keep silent: it reads a whole partition to compare it. */
const SILENCE_MS = 600_000;

/** @throws data_dir_in_use: the collector runs; store_copy_source; what copyStore, the stores and Kafka throw */
export async function copyHistory({ dataDir, clickhouse, kafka, log, signal, progress }: CopyHistoryOptions): Promise<CopyResult> {
  const collectorDir = join(dataDir, 'collector');
  if (!existsSync(join(dataDir, 'store')) || !existsSync(collectorDir)) throw new TidegateError('store_copy_source', `${dataDir} holds no store of a collector: there is nothing to copy`);
  const lock = ProcessLock.acquire(join(dataDir, 'collector.lock'));
  try {
    const source = await openStore({ dataDir, clickhouse: null, log });
    const target = new ClickHouseStore({ ...clickhouse, timeoutMs: Math.max(clickhouse.timeoutMs, SILENCE_MS) });
    try {
      await finishSpool({ spoolDir: join(dataDir, 'spool'), collectorDir, store: source, log });
      if (kafka !== null) await nothingBegun(kafka, log);
      return await copyStore({ source, target, file: join(collectorDir, 'copy.rows'), log, signal, progress });
    } finally {
      await Promise.all([source.close(), target.close()]);
    }
  } finally {
    lock.release();
  }
}

/** @throws store_copy_source: a range of a partition was begun, and not known to be stored; what Kafka says, as our codes */
async function nothingBegun(settings: KafkaSettings, log: SpoolLog): Promise<void> {
  const admin = kafkaClient(settings, log).admin();
  try {
    await admin.connect();
    const { group: groupId, topic } = settings;
    const [offsets] = await admin.fetchOffsets({ groupId, topics: [topic] });
    const begun = (offsets?.partitions ?? []).filter(({ offset, metadata }) => Number(offset) >= 0 && isBegun(metadata ?? '')).map(({ partition }) => partition);
    if (begun.length > 0) {
      throw new TidegateError('store_copy_source', `the collector was killed while it stored of ${topic}, partition ${begun.join(', ')}: start it once more without store.clickhouse, and stop it with SIGTERM`);
    }
  } catch (error) {
    throw kafkaFailure(error);
  } finally {
    await admin.disconnect();
  }
}
