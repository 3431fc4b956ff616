/** One fault under load: calm, the fault, and the time until all that was answered is stored. */
import { setTimeout as pause } from 'node:timers/promises';
import { disagreements } from '../../../collector/log/stored-sums.fixture.js';
import type { ClickHouseStore } from '../../../collector/store/clickhouse-store.js';
import { eventually } from '../../harness/deadline.js';
import { MatchedLoad, type MatchedRequest } from '../matched-load.js';
import { match, p99Ms, type FaultLine, type StoredRequest } from './fault-table.js';
import { LagWatch } from './lag-watch.js';
import { SIZES } from './sizes.js';
import type { Topology } from './topology.js';

export interface Fault {
  readonly name: string;
  /** Does the harm and ends it: when it resolves, nothing is broken any more but what mends itself. */
  readonly during: () => Promise<void>;
  /** A worker is broken, or what lies between it and its clients: requests may be cut or refused. Otherwise no client may notice anything. */
  readonly mayCut?: boolean;
  /** Within which all must be stored after the fault. */
  readonly recoverWithinMs?: number;
}

/** All of them, one after the other, as often as the sizes say. */
export function inRounds(faults: readonly Fault[]): Fault[] {
  return Array.from({ length: SIZES.rounds }, (_, i) => faults.map((fault) => (i === 0 ? fault : { ...fault, name: `${fault.name}, round ${i + 1}` }))).flat();
}

const CONNECTIONS = 12;
const MAX_BYTES = 3000;
const RECOVER_WITHIN_MS = 300_000;
const LOOK_MS = 200;
/** Rollups are read while merges go on. */
const ROLLUPS_WITHIN_MS = 20_000;

/** @param number of the line, which is in the id of its requests */
export async function runFault(topology: Topology, { name, during, recoverWithinMs = RECOVER_WITHIN_MS }: Fault, number: number): Promise<FaultLine> {
  const { upstream, store, keys, ports } = topology;
  const loads = ports.map((port) => new MatchedLoad({ port, connections: CONNECTIONS, keys, maxBytes: MAX_BYTES, perSecond: topology.perSecond / ports.length }));
  const phase = (letter: string): void => { for (const [i, load] of loads.entries()) load.phase(`f${number}${letter}${i + 1}`); };
  const upstreamBefore = upstream.requests;
  const lag = new LagWatch(topology);
  phase('c');
  for (const load of loads) load.start();
  let recoverSeconds: number | null;
  let toldLagSeconds: number | null = null;
  let failure: string | null = null;
  try {
    await eventually('load on both gateways', () => (loads.every((load) => load.count(200) > 0) ? true : null), 60_000);
    await pause(SIZES.calmMs);
    phase('d');
    failure = await during().then(() => null, String);
    const healedMs = performance.now();
    const before = answeredIn(requestsOf(loads));
    phase('a');
    const [after] = await Promise.allSettled([
      secondsUntilStored(store, number, before, healedMs, recoverWithinMs),
      pause(SIZES.afterMs).then(() => Promise.all(loads.map((load) => load.stop()))),
    ]);
    recoverSeconds = after.status === 'fulfilled' ? after.value : null;
  } finally {
    await Promise.all(loads.map((load) => load.stop()));
    toldLagSeconds = await lag.stop();
  }
  const begun = requestsOf(loads);
  // what came behind the fault, too
  const all = await secondsUntilStored(store, number, answeredIn(begun), performance.now(), recoverWithinMs);
  const matched = match(begun, await storedRequests(store, number));
  return {
    ...matched, fault: name, failure, upstream: upstream.requests - upstreamBefore, rollupsOff: await rollupsOff(store), lagSeconds: await worstLagSeconds(store, number), toldLagSeconds,
    recoverSeconds: all === null ? null : recoverSeconds, calmP99Ms: p99Ms(inPhase(begun, `f${number}c`)), duringP99Ms: p99Ms(inPhase(begun, `f${number}d`)),
  };
}

function requestsOf(loads: readonly MatchedLoad[]): Map<string, MatchedRequest> {
  return new Map(loads.flatMap(({ requests }) => [...requests]));
}

function answeredIn(requests: ReadonlyMap<string, MatchedRequest>): string[] {
  return [...requests].filter(([, { answered }]) => answered !== null).map(([path]) => path);
}

function* inPhase(requests: ReadonlyMap<string, MatchedRequest>, phase: string): Iterable<MatchedRequest> {
  for (const [path, request] of requests) if (path.includes(`/${phase}`)) yield request;
}

/** Null: not within that time. A store that is away is asked again. */
async function secondsUntilStored(store: ClickHouseStore, number: number, paths: readonly string[], fromMs: number, withinMs: number): Promise<number | null> {
  try {
    await eventually('all that was answered is stored', async () => {
      const [row] = await store.query<{ n: number }>(`SELECT toUInt32(count()) AS n FROM tidegate.events AS e WHERE ${OF_LINE}`, { number: String(number) });
      if ((row?.n ?? 0) < paths.length) return null;
      const stored = new Set((await storedRequests(store, number)).map(({ path }) => path));
      return paths.every((path) => stored.has(path)) ? true : null;
    }, withinMs, LOOK_MS);
    return (performance.now() - fromMs) / 1000;
  } catch {
    return null;
  }
}

/** A path is `/bytes/N/f<number><phase><gateway>/n`. */
const OF_LINE = "match(e.path, concat('^/bytes/[0-9]+/f', {number:String}, '[cda]'))";

async function storedRequests(store: ClickHouseStore, number: number): Promise<StoredRequest[]> {
  return store.query<StoredRequest>(
    `SELECT e.path AS path, any(e.app) AS app, toUInt32(sum(e.bytes_out)) AS bytes, toUInt32(max(e.status)) AS status, toUInt32(count()) AS rows, toUInt32(sum(e.requests)) AS requests
     FROM tidegate.events AS e WHERE ${OF_LINE} GROUP BY path`, { number: String(number) });
}

/** By the store's own clock and the gateways', which are one machine's here. */
async function worstLagSeconds(store: ClickHouseStore, number: number): Promise<number | null> {
  const [row] = await store.query<{ lag: number; n: number }>(
    `SELECT max(toUnixTimestamp64Milli(e.stored_at) - toUnixTimestamp64Milli(e.time) - e.duration_us / 1000) / 1000 AS lag, toUInt32(count()) AS n FROM tidegate.events AS e WHERE ${OF_LINE}`, { number: String(number) });
  return row === undefined || row.n === 0 ? null : row.lag;
}

async function rollupsOff(store: ClickHouseStore): Promise<number> {
  let off = 0;
  await eventually('rollups equal raw', async () => {
    off = (await disagreements(store)).length;
    return off === 0 ? true : null;
  }, ROLLUPS_WITHIN_MS, 500).catch(() => undefined);
  return off;
}
