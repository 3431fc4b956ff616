/** Latency, and CPU a request, at fixed rates: half and a quarter of what saturates Tidegate in this run. */
import { CONNECTIONS } from '../load.js';
import type { Part, Sizes } from '../part.js';
import { goPeer } from '../peers/go.js';
import { nginxPeer } from '../peers/nginx.js';
import { fastifyPeer } from '../peers/node-proxies.js';
import { PATH, type Peer } from '../peers/peer.js';
import { tidegatePeer } from '../peers/tidegate.js';
import { cpuSeconds, untilQuiet } from '../proc-cpu.js';
import { latencyMark, latencyNotes, latencyTable, type AtRate, type RateRound } from '../rate/latency-report.js';
import type { RateFigures } from '../rate/rate-client.js';
import { runAtRate } from '../rate/run-at-rate.js';
import { proxyContext, REQUEST_PATH_PROGRAMS, runRounds, startPeers, type Arm, type RequestPathTools, type RoundPlan } from '../request-path.js';
import { notes } from '../request-path-report.js';
import { spreadOf } from '../statistics.js';

const ROUNDS: Sizes<RoundPlan> = { full: { rounds: 5, seconds: 3 }, quick: { rounds: 2, seconds: 1 } };
const SATURATION: Sizes<RoundPlan> = { full: { rounds: 3, seconds: 3 }, quick: { rounds: 1, seconds: 2 } };
const WARM_SECONDS = 1;
const QUIET_WITHIN_MS = 8000;

const RATES = [{ of: 1 / 4, words: 'a quarter of what saturates Tidegate' }, { of: 1 / 2, words: 'half of what saturates Tidegate' }] as const;

/** What the others add to. */
const directPeer: Peer = {
  name: 'the upstream alone',
  missing: () => null,
  start: async ({ upstream }) => ({ url: `${upstream}${PATH}`, headers: [], own: () => [], all: () => [] }),
};

export const latencyPart: Part = {
  name: 'latency',
  programs: REQUEST_PATH_PROGRAMS,
  missing: () => null,
  run: async ({ size, folder, tools }) => {
    const { arms, leftOut } = await startPeers([directPeer, tidegatePeer, nginxPeer, goPeer, fastifyPeer], await proxyContext(folder, tools), tools);
    const tidegate = arms.find(({ peer }) => peer === tidegatePeer);
    const direct = arms.find(({ peer }) => peer === directPeer);
    if (tidegate === undefined || direct === undefined) return notes(arms, leftOut);
    await runRounds([tidegate], SATURATION[size], tools);
    const saturating = spreadOf(tidegate.samples.map(({ rps }) => rps)).median;
    const sections: string[] = [];
    for (const { of, words } of RATES) {
      const atRate = await runRate(arms, Math.max(1, Math.round(saturating * of)), words, ROUNDS[size], tools);
      sections.push(latencyTable(atRate), ...latencyNotes(atRate));
      const own = atRate.proxies.find(({ name }) => name === tidegatePeer.name);
      if (of === 1 / 2 && own !== undefined) sections.push(latencyMark(atRate, own));
    }
    return [...sections, ...notes(arms, leftOut)];
  },
};

/** The arms in turn, as in rounds of wrk. */
async function runRate(arms: readonly Arm[], rate: number, words: string, plan: RoundPlan, tools: RequestPathTools): Promise<AtRate> {
  const rounds = new Map<Arm, RateRound[]>(arms.map((arm) => [arm, []]));
  for (let round = 0; round < plan.rounds; round++) {
    for (let turn = 0; turn < arms.length; turn++) {
      const arm = arms[(round + turn) % arms.length] as Arm;
      const { url, headers } = arm.load;
      const cpuBefore = cpuSeconds(arm.running.own());
      const steps = [{ rate, seconds: WARM_SECONDS }, { rate, seconds: plan.seconds }];
      const [, figures] = await runAtRate(tools, { url, headers, steps, connections: CONNECTIONS, patienceMs: null }) as [RateFigures, RateFigures];
      const cpuUs = (cpuSeconds(arm.running.own()) - cpuBefore) / (rate * (WARM_SECONDS + plan.seconds)) * 1e6;
      await untilQuiet(arm.running.all, QUIET_WITHIN_MS);
      rounds.get(arm)?.push({ ...figures, cpuUs });
      const { latencies, lateness } = figures;
      tools.say(`round ${round + 1}/${plan.rounds}  ${arm.peer.name} at ${rate}/s: p50 ${latencies.p50.toFixed(2)} ms, p99 ${latencies.p99.toFixed(2)} ms, the client late by ${lateness.p99.toFixed(2)} ms`);
    }
  }
  const [direct, ...proxies] = [...rounds].map(([arm, figures]) => ({ name: arm.peer.name, rounds: figures }));
  if (direct === undefined) throw new Error('nothing was asked');
  return { rate, words, direct, proxies };
}
