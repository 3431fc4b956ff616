/** The request path: Tidegate and its peers, asked for the same small answer. */
import { barChart } from '../chart.js';
import { CONNECTIONS } from '../load.js';
import type { Part, Sizes } from '../part.js';
import { caddyPeer } from '../peers/caddy.js';
import { goPeer } from '../peers/go.js';
import { haproxyPeer } from '../peers/haproxy.js';
import { nginxPeer } from '../peers/nginx.js';
import { fastifyPeer, undiciPeer } from '../peers/node-proxies.js';
import type { Peer } from '../peers/peer.js';
import { barePeer, tidegatePeer } from '../peers/tidegate.js';
import { proxyContext, REQUEST_PATH_PROGRAMS, runRounds, startPeers, type RoundPlan } from '../request-path.js';
import { notes, peerBars, peerMarks, peerTable } from '../request-path-report.js';

const PEERS: readonly Peer[] = [tidegatePeer, barePeer, nginxPeer, haproxyPeer, goPeer, caddyPeer, undiciPeer, fastifyPeer];
const ROUNDS: Sizes<RoundPlan> = { full: { rounds: 5, seconds: 4 }, quick: { rounds: 3, seconds: 1 } };

const CHART_TITLE = 'CPU of a request in the proxy, microseconds (median; less is better)';

export const requestPart: Part = {
  name: 'request',
  programs: REQUEST_PATH_PROGRAMS,
  missing: () => null,
  run: async ({ size, folder, tools, keep }) => {
    const plan = ROUNDS[size];
    const { arms, leftOut } = await startPeers(PEERS, await proxyContext(folder, tools), tools);
    await runRounds(arms, plan, tools);
    keep('benchmarks.svg', barChart(CHART_TITLE, peerBars(arms)));
    return [
      `${CONNECTIONS} connections, ${plan.rounds} rounds of ${plan.seconds} s each in turn, medians.`,
      peerTable(arms, [nginxPeer.name, goPeer.name]),
      peerMarks(arms, [nginxPeer.name, goPeer.name, fastifyPeer.name]),
      ...notes(arms, leftOut),
    ];
  },
};
