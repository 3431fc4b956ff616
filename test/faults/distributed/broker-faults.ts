/** One of three brokers goes wrong: it dies, or stands still for longer than its clients wait; the one that leads a partition of the log, and the one that knows the collectors' group. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Fault } from './fault-run.js';
import { SIZES } from './sizes.js';
import type { Topology } from './topology.js';

/** What the configuration has by default. */
const TOPIC = 'tidegate.events';
const GROUP = 'tidegate-collector';
/** Of the topology's topic. */
const PARTITIONS = 4;
/** Of a request to Kafka, which is 12 s (kafka-client.ts). */
const PAST_TIMEOUT_MS = 13_000;

export function brokerFaults(topology: Topology): Fault[] {
  const { kafka } = topology;
  let partition = 0;
  /** Of another partition each time. */
  const leader = (): Promise<number> => kafka.leaderOf(TOPIC, partition++ % PARTITIONS);
  /** It is away until the others have taken over, and back among them at the end. */
  const killed = async (broker: number): Promise<void> => {
    await kafka.kill(broker);
    await pause(SIZES.awayMs);
    await kafka.restart(broker);
  };
  return [
    { name: 'the leader of a partition kill -9', during: async () => killed(await leader()) },
    { name: 'the leader of a partition stands still past the time-outs', during: async () => {
      const broker = await leader();
      kafka.pause(broker);
      await pause(Math.max(SIZES.stallMs, PAST_TIMEOUT_MS)).finally(() => { kafka.resume(broker); });
    } },
    { name: 'the coordinator of the collectors kill -9', during: async () => killed(await kafka.coordinatorOf(GROUP)) },
  ];
}
