/** One of three brokers goes wrong: it dies, or stands still for longer than its clients wait; the one that leads a partition of the log, and the one that knows the collectors' group. */
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import type { Fault } from './fault-run.js';
import { SIZES } from './sizes.js';
import type { Topology } from './topology.js';

/** What the configuration has by default. */
const TOPIC = 'tidegate.events';
const GROUP = 'tidegate-collector';
/** Kafka's own, with what groups have committed: who leads a group's partition of it is the group's coordinator. */
const OFFSETS_TOPIC = '__consumer_offsets';
/** Of a request to Kafka, which is 12 s (kafka-client.ts). */
const PAST_TIMEOUT_MS = 13_000;

export function brokerFaults(topology: Topology): Fault[] {
  const { kafka } = topology;
  const leaderOf = async (topic: string, partitionOf: (count: number) => number): Promise<number> => kafka.withAdmin(async (admin) => {
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
    const partitions = topics[0]?.partitions ?? [];
    const leader = partitions.find(({ partitionId }) => partitionId === partitionOf(partitions.length))?.leader;
    assert.ok(leader !== undefined && leader > 0, `${topic} has no leader`);
    return leader;
  });
  const eachRound = (during: (round: number) => Promise<void>) => async (): Promise<void> => {
    for (let round = 0; round < SIZES.rounds; round++) await during(round);
  };
  /** It is away until the others have taken over, and back among them at the end. */
  const killed = async (broker: number): Promise<void> => {
    await kafka.kill(broker);
    await pause(SIZES.awayMs);
    await kafka.restart(broker);
  };
  return [
    { name: 'the leader of a partition kill -9', during: eachRound(async (round) => killed(await leaderOf(TOPIC, (count) => round % count))) },
    { name: 'the leader of a partition stands still past the time-outs', during: eachRound(async (round) => {
      const broker = await leaderOf(TOPIC, (count) => round % count);
      kafka.pause(broker);
      await pause(Math.max(SIZES.stallMs, PAST_TIMEOUT_MS)).finally(() => { kafka.resume(broker); });
    }) },
    { name: 'the coordinator of the collectors kill -9', during: eachRound(async () => killed(await leaderOf(OFFSETS_TOPIC, (count) => partitionOfGroup(GROUP, count)))) },
  ];
}

/** As Kafka finds it: Java's String.hashCode, without its sign. */
function partitionOfGroup(group: string, partitions: number): number {
  let hash = 0;
  for (const letter of group) hash = (Math.imul(hash, 31) + letter.charCodeAt(0)) | 0;
  return (hash & 0x7fffffff) % partitions;
}
