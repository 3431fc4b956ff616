/** What recording adds to a request, by the data path alone. */
import type { Part, Sizes } from '../part.js';
import { recordingPeer, unrecordedPeer } from '../peers/recording.js';
import { proxyContext, REQUEST_PATH_PROGRAMS, runPairs, startPeers, type RoundPlan } from '../request-path.js';
import { notes, recordingTable } from '../request-path-report.js';

const PAIRS: Sizes<RoundPlan> = { full: { rounds: 7, seconds: 2 }, quick: { rounds: 3, seconds: 1 } };

export const recordingPart: Part = {
  name: 'recording',
  programs: REQUEST_PATH_PROGRAMS,
  missing: () => null,
  run: async ({ size, folder, tools }) => {
    const { arms, leftOut } = await startPeers([recordingPeer, unrecordedPeer], await proxyContext(folder, tools), tools);
    const [recording, without] = arms;
    if (recording === undefined || without === undefined) return notes(arms, leftOut);
    await runPairs(recording, without, PAIRS[size], tools);
    return [recordingTable(recording, without), ...notes(arms, leftOut)];
  },
};
