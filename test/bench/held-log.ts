/**
 * A topic whose messages lie there and are not given out yet, so that a reader can join its group and come to rest before the clock runs: in each partition a
 * producer's open transaction lies in front of them, and kafkajs reads what is committed. When it is aborted all that lies behind it is there at once.
 */
import { kafkaClient } from '../../gateway/events/kafka-client.js';
import { prepareTopics } from '../../gateway/events/shipper/topics.js';
import { settingsOf } from './bench-kafka.js';
import { QUIET } from './quiet-log.js';

/** Of the transaction; Kafka aborts it by itself then. */
const WITHIN_MS = 300_000;

/** Makes the topic and holds it. @returns lets go */
export async function holdLog(broker: string, topic: string): Promise<() => Promise<void>> {
  const settings = settingsOf(broker, topic);
  const client = kafkaClient(settings, QUIET);
  const admin = client.admin();
  await admin.connect();
  const { partitions } = await prepareTopics(admin, settings, QUIET);
  await admin.disconnect();
  const producer = client.producer({ transactionalId: `${topic}-holds`, transactionTimeout: WITHIN_MS, idempotent: true, maxInFlightRequests: 1, allowAutoTopicCreation: false });
  await producer.connect();
  const transaction = await producer.transaction();
  await transaction.send({ topic, messages: Array.from({ length: partitions }, (_, partition) => ({ value: '', partition })) });
  return async () => {
    await transaction.abort();
    await producer.disconnect();
  };
}
