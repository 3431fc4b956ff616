/**
 * The processes of two gateways, two collectors and their engines, killed and stopped under load, at random and in place. Each request has its own id and
 * asks for its own body length, and is matched one by one with what is stored; the upstream counts as a third:
 *
 *   answered  ⊆  stored, each once, with those bytes  ⊆  begun;  rollups equal raw
 *
 * Where no worker is broken, no client notices: everything begun is answered 200, and all three counts are the same. One thing is let pass,
 * up to 1 % in the full form and a quarter in the short one: 503 ledger_unavailable, of requests for which the ledger was late (sizes.ts: lateShare); any share on a
 * machine that was slow before anything was broken (fault-table.ts: SLOW_P99_MS).
 *
 * The table is printed at the end, also when a line is wrong. Times in it are for people: nothing is asserted of them. TEST_FAULTS=full (npm run faults) is
 * the long form: each fault three times, standing still for 30 s, engines away for 60 s.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { requires } from '../harness/requires.js';
import { inRounds, type Fault } from './distributed/fault-run.js';
import { ProcessFaults } from './distributed/process-faults.js';
import { FULL_FORM, SIZES } from './distributed/sizes.js';
import { Topology, type Part } from './distributed/topology.js';
import { FOUND_DIR } from './found-at-start.js';

/** In place of what the product waits for by itself: a collector that is stopped for longer has lost its partitions meanwhile. */
const ZOMBIE_MS = (SIZES.sessionMs ?? 30_000) + 2000;

function faultsOf(topology: Topology, faults: ProcessFaults): Fault[] {
  const { kafka, clickhouse, redis } = topology;
  const noticeable = (name: string, during: () => Promise<void>): Fault => ({ name, during, mayCut: true });
  const worker = { part: 'gateway', role: 'worker' } as const;
  const launchers = [{ part: 'gateway', role: 'launcher' }, { part: 'collector', role: 'launcher' }] as const;
  const supervisors = [{ part: 'gateway', role: 'supervisor' }, { part: 'collector', role: 'supervisor' }] as const;
  const collector = { part: 'collector', role: 'collector' } as const;
  // of these the short form has others much like them
  const seldom: Fault[] = [
    noticeable('worker kill -9', () => faults.kill(worker)),
    ...supervisors.map((kind): Fault => ({ name: `${kind.part} supervisor kill -9`, during: () => faults.kill(kind) })),
    { name: 'collector kill -9', during: () => faults.kill(collector) },
    { name: 'collector launcher kill -9', during: () => faults.kill(launchers[1]) },
    noticeable('worker kill -9, half a frame written', () => faults.killInPlace('worker', 'mid-frame')),
    noticeable('worker stopped', () => faults.stall(worker)),
    ...launchers.map((kind): Fault => ({ name: `${kind.part} launcher stopped`, during: () => faults.stall(kind) })),
    { name: 'collector supervisor stopped', during: () => faults.stall(supervisors[1]) },
    noticeable('gateway supervisor kill -9, in a seal', () => faults.killAtSeal()),
    { name: 'gateway supervisor kill -9, noted and segment not deleted', during: () => faults.killInPlace('supervisor', 'before-delete') },
    { name: 'collector kill -9, mid-insert', during: () => faults.killInPlace('collector', 'mid-insert', String(Math.floor(Math.random() * 20))) },
    { name: 'collector kill -9, after the insert', during: () => faults.killInPlace('collector', 'after-insert') },
    { name: 'Kafka stands still', during: async () => { kafka.pause(); await pause(SIZES.stallMs).finally(() => { kafka.resume(); }); } },
    { name: 'Kafka kill -9', during: async () => { await kafka.kill(); await kafka.restart(); } },
  ];
  return [
    { name: 'nothing', during: () => pause(SIZES.nothingMs) },
    noticeable('gateway launcher kill -9', () => faults.kill(launchers[0])),
    noticeable('worker kill -9, written and not answered', () => faults.killInPlace('worker', 'after-write')),
    { name: 'gateway supervisor kill -9, acknowledged and not noted', during: () => faults.killInPlace('supervisor', 'after-ack') },
    // a quota is lent by the supervisor: who holds nothing more of it is refused after a second
    noticeable('gateway supervisor stopped', () => faults.stall(supervisors[0])),
    { name: 'collector kill -9, after the intent', during: () => faults.killInPlace('collector', 'after-intent') },
    { name: 'collector and store kill -9, between raw and rollup', during: async () => { assert.ok(await faults.killBetweenRawAndRollup() > 0, 'raw rows were without their rollup'); } },
    { name: 'collector kill -9, before the commit', during: () => faults.killInPlace('collector', 'before-commit') },
    { name: 'collector stopped, its partitions lost', during: () => faults.stall(collector, Math.max(SIZES.stallMs, ZOMBIE_MS)) },
    { name: 'collectors join and leave', during: () => faults.joinAndLeave(SIZES.joinMs) },
    { name: 'Kafka stopped', during: async () => { await kafka.shutDown(); await pause(SIZES.awayMs); await kafka.restart(); } },
    { name: 'ClickHouse kill -9', during: async () => { await clickhouse.kill(); await pause(SIZES.afterMs); await clickhouse.restart(); } },
    { name: 'Redis kill -9', during: async () => { await redis.kill(); await pause(SIZES.stallMs); await redis.restart(); } },
    { name: 'Redis wiped', during: async () => { await redis.wipe(); await pause(SIZES.afterMs); } },
    { name: 'Redis stands still', during: async () => { redis.pause(); await pause(SIZES.stallMs).finally(() => { redis.resume(); }); } },
    ...(FULL_FORM ? seldom : []),
  ];
}

test('through kills and stalls of every process of the distributed shape, nothing is lost or counted twice', { skip: requires('kafka', 'redis', 'chdb', 'linux'), timeout: 7_200_000 }, async (t) => {
  const orders = mkdtempSync(join(tmpdir(), 'tidegate-orders-'));
  t.after(() => { rmSync(orders, { recursive: true, force: true }); });
  mkdirSync(join(orders, FOUND_DIR));
  const preload = (name: string): string => `--import ${new URL(`${name}${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url).href}`;
  const env = (_: string, part: Part): Record<string, string> => ({
    TIDEGATE_TEST_ORDERS: orders, ...(SIZES.sessionMs === null ? {} : { TIDEGATE_TEST_SESSION_MS: String(SIZES.sessionMs) }),
    NODE_OPTIONS: [process.env['NODE_OPTIONS'] ?? '', ...(part === 'gateway' ? [preload('placed-kill')] : []), preload('distributed/placed-process')].join(' '),
  });
  await using topology = await Topology.start({ title: 'faults of processes', env });
  const faults = faultsOf(topology, new ProcessFaults(topology, orders));
  for (const fault of inRounds(faults)) await t.test(fault.name, () => topology.fault(fault));
  await t.test('the day is complete, asked of either collector', () => topology.complete());
});
