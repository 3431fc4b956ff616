/** What tracing adds to a request: off beside 1 %, and off beside 100 %, both at once. */
import type { Part, Sizes } from '../part.js';
import { tracedPeer, UNTRACED } from '../peers/tracing.js';
import { proxyContext, REQUEST_PATH_PROGRAMS, runPairs, startPeers, type Arm, type RoundPlan } from '../request-path.js';
import { notes, tracingTable } from '../request-path-report.js';

const PAIRS: Sizes<RoundPlan> = { full: { rounds: 10, seconds: 2 }, quick: { rounds: 3, seconds: 1 } };
const SHARES = [0.01, 1];

export const tracingPart: Part = {
  name: 'tracing',
  programs: REQUEST_PATH_PROGRAMS,
  missing: () => null,
  run: async ({ size, folder, tools }) => {
    const { arms, leftOut } = await startPeers([tracedPeer(UNTRACED, 0), ...SHARES.map((share) => tracedPeer(`traced, ${share * 100} %`, share))], await proxyContext(folder, tools), tools);
    if (leftOut.length > 0) return notes(arms, leftOut);
    const [off, ...traced] = arms as [Arm, ...Arm[]];
    const pairs: [without: Arm, traced: Arm][] = [];
    for (const arm of traced) {
      const without: Arm = { ...off, samples: [] };
      await runPairs(without, arm, PAIRS[size], tools);
      pairs.push([without, arm]);
    }
    return [tracingTable(pairs), ...notes(arms, [])];
  },
};
