/** The request path: every proxy in turn, round after round, so that what disturbs the machine disturbs them alike. */
import { cpuSeconds, rssBytes, untilQuiet } from './proc-cpu.js';
import { IdleConnections, smallGet, type Load } from './load.js';
import { startUpstream } from './peers/nginx.js';
import type { Peer, PeerContext, RunningPeer } from './peers/peer.js';
import type { Processes } from './processes.js';
import { freePorts } from '../harness/tidegate.js';
import { runWrk } from './wrk.js';

/** The client and the upstream. */
export const REQUEST_PATH_PROGRAMS: readonly string[] = ['wrk', 'nginx'];

/** The client and the upstream on one core, the proxy on the other. */
export const CLIENT_CORE = 0;
export const PROXY_CORE = 1;
const QUIET_WITHIN_MS = 8000;

export interface RoundPlan {
  readonly rounds: number;
  readonly seconds: number;
}

/** One round of one peer. Microseconds of CPU are a request's share. */
export interface Sample {
  readonly cpuUs: number;
  /** With the processes beside it, until they rest again. */
  readonly allCpuUs: number;
  readonly rps: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly rssBytes: number;
  readonly allRssBytes: number;
  readonly failed: number;
}

export interface Arm {
  readonly peer: Peer;
  readonly running: RunningPeer;
  readonly load: Load;
  readonly samples: Sample[];
}

export interface LeftOut {
  readonly name: string;
  readonly why: string;
}

export interface RequestPathTools {
  readonly processes: Processes;
  readonly wrk: string;
  readonly say: (line: string) => void;
}

/** Starts the upstream. Answers with what a peer is started with, but for its port. */
export async function proxyContext(folder: string, { processes }: RequestPathTools): Promise<Omit<PeerContext, 'port'>> {
  const [port] = await freePorts(1) as [number];
  const upstream = await startUpstream({ processes, folder, port, core: CLIENT_CORE });
  return { processes, folder, upstream: new URL(upstream.url).origin, core: PROXY_CORE };
}

/** Starts each peer that can be, and warms it up; the rest are named. */
export async function startPeers(peers: readonly Peer[], context: Omit<PeerContext, 'port'>, tools: RequestPathTools): Promise<{ arms: Arm[]; leftOut: LeftOut[] }> {
  const arms: Arm[] = [];
  const leftOut: LeftOut[] = [];
  for (const peer of peers) {
    const missing = peer.missing();
    if (missing !== null) {
      leftOut.push({ name: peer.name, why: `${missing} is not installed` });
      continue;
    }
    tools.say(`starting ${peer.name}`);
    const [port] = await freePorts(1) as [number];
    try {
      const running = await peer.start({ ...context, port });
      const arm: Arm = { peer, running, load: smallGet(running), samples: [] };
      const { failed } = await measure(arm, 2, tools);
      if (failed > 0) throw new Error(`${failed} requests failed while it warmed up`);
      arms.push(arm);
    } catch (error) {
      leftOut.push({ name: peer.name, why: (error as Error).message });
    }
    const left = leftOut.find(({ name }) => name === peer.name);
    if (left !== undefined) tools.say(`left out: ${left.name}: ${left.why}`);
  }
  return { arms, leftOut };
}

/** Each round begins with another peer. */
export async function runRounds(arms: readonly Arm[], plan: RoundPlan, tools: RequestPathTools): Promise<void> {
  for (let round = 0; round < plan.rounds; round++) {
    for (let turn = 0; turn < arms.length; turn++) {
      const arm = arms[(round + turn) % arms.length] as Arm;
      const sample = await measure(arm, plan.seconds, tools);
      arm.samples.push(sample);
      tools.say(`round ${round + 1}/${plan.rounds}  ${arm.peer.name}: ${sample.cpuUs.toFixed(1)} us a request, ${Math.round(sample.rps)}/s`);
    }
  }
}

/**
 * Two arms that differ by little: both at once, on the same core, each asked by a wrk of its own, so that whatever the machine does besides falls on both. One after
 * the other, the same arm differs from itself by a tenth and more on a machine that others use.
 */
export async function runPairs(a: Arm, b: Arm, plan: RoundPlan, tools: RequestPathTools): Promise<void> {
  for (let round = 0; round < plan.rounds; round++) {
    const [ofA, ofB] = await Promise.all([measure(a, plan.seconds, tools), measure(b, plan.seconds, tools)]);
    a.samples.push(ofA);
    b.samples.push(ofB);
    tools.say(`pair ${round + 1}/${plan.rounds}  ${a.peer.name} ${ofA.cpuUs.toFixed(2)} us, ${b.peer.name} ${ofB.cpuUs.toFixed(2)} us: ${((ofA.cpuUs / ofB.cpuUs - 1) * 100).toFixed(1)} %`);
  }
}

/** One run of wrk. What does not come as the load wants it has failed. */
export async function measure({ running, load }: Omit<Arm, 'samples' | 'peer'>, seconds: number, { processes, wrk }: RequestPathTools): Promise<Sample> {
  using idle = await IdleConnections.open(load);
  const own = running.own();
  const all = running.all();
  const before = { own: cpuSeconds(own), all: cpuSeconds(all) };
  const result = await runWrk(processes, wrk, { load, seconds, core: CLIENT_CORE });
  const used = cpuSeconds(own) - before.own;
  const memory = { rssBytes: rssBytes(own), allRssBytes: rssBytes(all) };
  await untilQuiet(running.all, QUIET_WITHIN_MS);
  const allUsed = cpuSeconds(all) - before.all;
  const failed = (load.refused ? result.requests - result.refused : result.refused) + result.broken + idle.lost;
  return {
    cpuUs: used * 1e6 / result.requests, allCpuUs: allUsed * 1e6 / result.requests, rps: result.requests / result.seconds,
    p50Ms: result.p50Ms, p99Ms: result.p99Ms, failed, ...memory,
  };
}
