/**
 * By whose clock Kafka keeps messages. Retention goes by a message's time, and a topic's own default takes that of the sender: what a gateway with a slow clock has shipped
 * is deleted early, and what one with a fast clock sends is refused. With LogAppendTime the broker writes its own time, and tells it in its answer.
 */
import kafkajs, { type Admin } from 'kafkajs';
import { TidegateError } from '../../../errors/tidegate-error.js';
import { kafkaFailure } from '../kafka-client.js';
import type { SpoolLog } from '../spool-log.js';

const { ConfigResourceTypes } = kafkajs;

export const BROKER_TIME = { name: 'message.timestamp.type', value: 'LogAppendTime' } as const;
/** How far ahead a sender's time may be: Kafka 3.6 and later, else the older name, which goes both ways. */
export const AHEAD_NAMES = ['message.timestamp.after.max.ms', 'message.timestamp.difference.max.ms'] as const;

/** Kafka's number for what is set for the topic itself, and not taken over from the broker. */
const SET_FOR_TOPIC = 1;

/**
 * Alters the topic so that the broker's time counts. kafkajs knows the request that sets all entries of a topic anew, not the one that changes some: what is set for the topic
 * already is sent back with it. A topic that cannot be altered is told, and used as it is.
 *
 * @returns whether the broker's time counts now
 */
export async function useBrokerTime(admin: Admin, topic: string, log: SpoolLog): Promise<boolean> {
  try {
    const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }] });
    const entries = resources[0]?.configEntries ?? [];
    const own = entries.filter(({ configName, configSource }) => Number(configSource) === SET_FOR_TOPIC && configName !== BROKER_TIME.name);
    // its number is the only word that an entry is the topic's own, and what is secret does not come
    const unknown = entries.find(({ configSource }) => (configSource as number | undefined) === undefined) ?? own.find(({ isSensitive, configValue }) => isSensitive || typeof configValue !== 'string');
    if (unknown !== undefined) throw new Error(`${unknown.configName}: what is set for the topic is not told, and would be reset`);
    await admin.alterConfigs({
      validateOnly: false,
      resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries: [...own.map(({ configName, configValue }) => ({ name: configName, value: configValue })), BROKER_TIME] }],
    });
    log.info({ topics: [topic] }, 'a topic in Kafka was altered: its messages are kept by the clock of Kafka');
    return true;
  } catch (error) {
    const { code, message, remedy } = new TidegateError('kafka_topic_clock', kafkaFailure(error).message);
    log.warn({ code, topics: [topic], detail: message, remedy }, 'Kafka keeps events by the clocks of gateways: one that is slow loses some, and none can be looked at');
    return false;
  }
}
