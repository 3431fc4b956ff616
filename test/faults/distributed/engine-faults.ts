/** What engines do wrong: ClickHouse refuses, stalls, dies between the write and the answer, and answers with errors; Redis fails over; Kafka's disk is full. */
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import type { Fault as ServerFault } from '../../harness/clickhouse-server.js';
import { eventually } from '../../harness/deadline.js';
import { isGone } from '../../harness/tidegate.js';
import type { Engines } from './engines.js';
import type { Fault } from './fault-run.js';
import { FULL_FORM, SIZES } from './sizes.js';

/** What faults of the store strike. */
export const INSERT = '^INSERT INTO tidegate\\.events';
const WITHIN_MS = 60_000;
/** Of the store, which is 5 s (engines.ts). */
const PAST_TIMEOUT_MS = 7000;

/** Of the store, wrong ones. */
export const ANSWERS: readonly (readonly [name: string, fault: ServerFault])[] = [
  ['500 without a word', { kind: 'status', status: 500 }],
  ['too many parts (252)', { kind: 'exception', code: 252 }],
  ['table is read-only (242)', { kind: 'exception', code: 242 }],
  ['readonly user (164)', { kind: 'exception', code: 164 }],
  ['status unknown (319), and stored', { kind: 'exception', code: 319, at: 'after' }],
];

export function clickhouseFaults({ topology }: Engines): Fault[] {
  const { clickhouse } = topology;
  /** Inserts meet the fault, at least once. */
  const strike = async (fault: ServerFault, forMs: number): Promise<void> => {
    await clickhouse.faults({ ...fault, statement: INSERT });
    try {
      await eventually(`inserts have met ${JSON.stringify(fault)}`, async () => (((await clickhouse.hits())[0] ?? 0) > 0 ? true : null), WITHIN_MS);
      await pause(forMs);
    } finally {
      await clickhouse.faults();
    }
  };
  const killed = async (fault: Partial<ServerFault>): Promise<void> => {
    await clickhouse.faults({ kind: 'kill', statement: INSERT, times: 1, ...fault });
    const { pid } = clickhouse;
    await eventually('an insert has killed the server', () => (isGone(pid) ? true : null), WITHIN_MS);
    await pause(SIZES.afterMs);
    await clickhouse.restart();
  };
  const seldom: Fault[] = [
    { name: 'ClickHouse stores, and resets before the answer', during: () => strike({ kind: 'cut', at: 'after' }, SIZES.afterMs) },
    { name: 'ClickHouse killed in the midst of the write', during: () => killed({ at: 'during', ms: 10 }) },
    ...ANSWERS.map(([name, fault]): Fault => ({ name: `ClickHouse answers ${name}`, during: () => strike(fault, SIZES.afterMs) })),
  ];
  return [
    { name: 'ClickHouse refuses connections', during: async () => {
      await clickhouse.refuse();
      await pause(SIZES.stallMs);
      await clickhouse.accept();
    } },
    { name: 'ClickHouse stands still past the time-out', during: async () => {
      clickhouse.pause();
      await pause(Math.max(SIZES.stallMs, PAST_TIMEOUT_MS));
      clickhouse.resume();
    } },
    { name: 'ClickHouse stores, and answers past the time-out', during: () => strike({ kind: 'stall', at: 'after', ms: PAST_TIMEOUT_MS }, 0) },
    { name: 'ClickHouse killed after the write, before the answer', during: () => killed({ at: 'after' }) },
    { name: 'ClickHouse answers 500, 252, 242, 164, 319 in turn', during: async () => { for (const [, fault] of ANSWERS) await strike(fault, 0); } },
    ...(FULL_FORM ? seldom : []),
  ];
}

export function redisFaults(engines: Engines): Fault[] {
  return [
    { name: 'Redis fails over to its replica', during: async () => {
      await engines.failOverRedis();
      await pause(SIZES.afterMs);
    } },
  ];
}

/** None where there is no small disk. */
export function kafkaDiskFaults({ topology, disks }: Engines): Fault[] {
  // it takes the broker most of a minute to notice, and to come back
  if (disks === null || !FULL_FORM) return [];
  const disk = disks.kafka;
  return [
    { name: 'Kafka\'s disk is full, and it ends', during: async () => {
      const { kafka } = topology;
      const broker = kafka.pid();
      assert.ok(broker !== null);
      disk.fill();
      await eventually('the broker has ended', () => {
        if (isGone(broker)) return true;
        disk.fill();
        return null;
      }, 120_000, 500);
      await pause(SIZES.afterMs);
      disk.makeRoom();
      await kafka.kill();
      await kafka.restart();
    } },
  ];
}
