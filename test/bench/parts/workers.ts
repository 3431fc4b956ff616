/** One worker and two on the whole machine, client and upstream on it too; and how connections fall to the two. */
import type { Part, Sizes } from '../part.js';
import { workersPeer } from '../peers/tidegate.js';
import { IdleConnections, smallGet } from '../load.js';
import { acceptedConnections } from '../proc-cpu.js';
import { proxyContext, REQUEST_PATH_PROGRAMS, runRounds, startPeers, type Arm, type RoundPlan } from '../request-path.js';
import { notes } from '../request-path-report.js';
import { spreadOf } from '../statistics.js';
import { workersTable } from '../workers-report.js';

const ROUNDS: Sizes<RoundPlan> = { full: { rounds: 5, seconds: 3 }, quick: { rounds: 2, seconds: 1 } };
const LONG_LIVED = 50;
/** So often they are opened anew. */
const SPREADS = 5;

export const workersPart: Part = {
  name: 'workers',
  programs: REQUEST_PATH_PROGRAMS,
  missing: () => null,
  run: async ({ size, folder, tools }) => {
    const { arms, leftOut } = await startPeers([workersPeer(1), workersPeer(2)], { ...await proxyContext(folder, tools), core: null }, tools);
    const [one, two] = arms;
    if (one === undefined || two === undefined) return notes(arms, leftOut);
    await runRounds(arms, ROUNDS[size], tools);
    const spreads: number[] = [];
    for (let i = 0; i < SPREADS; i++) spreads.push(await spread(two));
    return [workersTable(one, two, { connections: LONG_LIVED, most: spreadOf(spreads), opened: SPREADS }), ...notes(arms, leftOut)];
  },
};

/** Of so many connections that stay: those at the worker that has the most. */
async function spread({ running }: Arm): Promise<number> {
  using connections = await IdleConnections.open({ ...smallGet(running), idle: LONG_LIVED });
  if (connections.lost > 0) throw new Error('a connection was closed');
  return Math.max(...running.own().map((pid) => acceptedConnections(pid, Number(new URL(running.url).port))));
}
