/** What recording adds to a request, by the data path alone. */
import type { Part, Sizes } from '../part.js';
import { recordingPeer, unrecordedPeer } from '../peers/recording.js';
import { proxyContext, REQUEST_PATH_PROGRAMS, runPairs, startPeers, type Arm, type RoundPlan, type Sample } from '../request-path.js';
import { notes, recordingTable } from '../request-path-report.js';

const PAIRS: Sizes<RoundPlan> = { full: { rounds: 4, seconds: 3 }, quick: { rounds: 2, seconds: 1 } };
/** Processes of each arm: what V8 makes of the same code differs from one to the next. */
const LIVES: Sizes<number> = { full: 4, quick: 2 };

export const recordingPart: Part = {
  name: 'recording',
  programs: REQUEST_PATH_PROGRAMS,
  missing: () => null,
  run: async ({ size, folder, tools }) => {
    const peers = Array.from({ length: LIVES[size] }, (_, i) => [recordingPeer(i + 1), unrecordedPeer(i + 1)]).flat();
    const { arms, leftOut } = await startPeers(peers, await proxyContext(folder, tools), tools);
    if (leftOut.length > 0) return notes(arms, leftOut);
    const recording: Sample[] = [];
    const without: Sample[] = [];
    for (let i = 0; i < arms.length; i += 2) {
      const [one, other] = arms.slice(i, i + 2) as [Arm, Arm];
      await runPairs(one, other, PAIRS[size], tools);
      recording.push(...one.samples);
      without.push(...other.samples);
    }
    return [recordingTable(recording, without, LIVES[size]), ...notes(arms, [])];
  },
};
